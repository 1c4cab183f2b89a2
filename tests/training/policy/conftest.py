"""Tiny models that say little but yes and no, so that some of their replies are right."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer, GenerationConfig

from tests.training.conftest import asked, draw, write_run

FEW = ("yes", "no", "left", "Ġlung")


def saying_little(folder: Path, copy: Path) -> Path:
    """A copy of a model that writes a few words and the end of its turn, and nothing else."""
    shutil.copytree(folder, copy)
    tokenizer = AutoTokenizer.from_pretrained(copy)
    kept = {*tokenizer.convert_tokens_to_ids(list(FEW)), tokenizer.eos_token_id}
    assert len(kept) == len(FEW) + 1
    others = sorted(set(range(len(tokenizer))) - kept)
    settings: dict[str, Any] = {"eos_token_id": tokenizer.eos_token_id}
    GenerationConfig(**settings, suppress_tokens=others).save_pretrained(copy)
    return copy


@pytest.fixture(scope="session")
def talker(llama: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Llama that says little."""
    return saying_little(llama, tmp_path_factory.mktemp("talker") / "llama")


@pytest.fixture(scope="session")
def seer(qwen: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Qwen2.5-VL that says little."""
    return saying_little(qwen, tmp_path_factory.mktemp("seer") / "qwen")


@pytest.fixture(scope="session")
def worded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six closed questions of text alone, and one whose answer no rule can check."""
    answers = ("yes", "no") * 3
    lines = [
        asked(f"is lung {k} clear?", answer, answer_type="closed")
        for k, answer in enumerate(answers)
    ]
    free = asked("what is seen?", "a large effusion on the left side", answer_type="open")
    return write_run(tmp_path_factory.mktemp("worded") / "run", [*lines, free])


@pytest.fixture(scope="session")
def pictured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Closed questions with one picture, two pictures and none, and one with options."""
    folder = tmp_path_factory.mktemp("pictured")
    files = [draw(folder / f"{k}.png", k, 56 + 28 * k, 56) for k in range(3)]
    lines = [
        asked("is it clear?", "yes", files[0], answer_type="closed"),
        asked("is it the same lung?", "no", *files[:2], answer_type="closed"),
        asked("is a lung an organ?", "yes", answer_type="closed"),
        asked("which side? A. left B. right", "A", files[2], answer_type="choice"),
    ]
    return write_run(folder / "run", lines)
