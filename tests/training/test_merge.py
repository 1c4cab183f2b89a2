"""Merging: the merged model says what base and adapter say, or there is no merged model."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from evaluation.evaluate_model import lineage_of
from evaluation.generators import ImageTextGenerator
from medsift.models import ImageTextModelConfig
from tests.expect import raises_code
from tests.training.conftest import asked, draw, recipe, write_run
from training.merge import TOLERANCE, merge
from training.results.lineage import read_lineage
from training.run import train_here

ADAPTER = "adapter_model.safetensors"


@pytest.fixture(scope="module")
def result(qwen: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a short training."""
    folder = tmp_path_factory.mktemp("merge")
    picture = draw(folder / "a.png", 1, 56, 56)
    run = write_run(folder / "run", [asked("is it clear?", "yes", picture)])
    settings: dict[str, Any] = {
        "lora": {"rank": 2},
        "optimiser": {"lr": 1e-2, "warmup_ratio": 0.0},
        "steps": 3,
        "log": {"tensorboard": False},
    }
    return train_here(recipe(run, qwen, **settings)).training.result


@pytest.fixture
def copied(result: Path, tmp_path: Path) -> Path:
    """The same folder, for a test to spoil."""
    return Path(shutil.copytree(result, tmp_path / "result"))


def test_a_merged_model_agrees_and_brings_all_along(result: Path, tmp_path: Path):
    done = merge(result, tmp_path / "merged")
    assert done.difference < 1e-3
    assert done.dtype == "float32"
    names = {path.name for path in done.folder.iterdir()}
    assert names >= {"model.safetensors", "tokenizer.json", "chat_template.jinja", "README.md"}
    assert read_lineage(done.folder) == read_lineage(result)
    model = ImageTextModelConfig(model=str(done.folder))
    assert model.build().model.config.model_type == "qwen2_5_vl"
    lineage = lineage_of(ImageTextGenerator(model=model))
    assert lineage["training_id"] == read_lineage(result)["training_id"]


def test_the_weights_differ_from_the_base_where_the_adapter_was(
    qwen: Path, result: Path, tmp_path: Path
):
    merged = load_file(merge(result, tmp_path / "merged").folder / "model.safetensors")
    base = load_file(qwen / "model.safetensors")
    moved = {name for name in base if not torch.equal(base[name], merged[name])}
    assert len(moved) == 14
    assert all("_proj" in name and "visual" not in name for name in moved)


def test_logits_that_differ_leave_nothing_behind(result: Path, tmp_path: Path):
    with raises_code("merge_refused", tolerance=0.0):
        merge(result, tmp_path / "merged", tolerance=0.0)
    assert [path.name for path in tmp_path.iterdir()] == []


def test_a_spoiled_adapter_is_refused(copied: Path, tmp_path: Path):
    weights = load_file(copied / ADAPTER)
    weights[sorted(weights)[0]][0, 0] = torch.nan
    save_file(weights, copied / ADAPTER, {"format": "pt"})
    with raises_code("merge_refused", tolerance=TOLERANCE) as refused:
        merge(copied, tmp_path / "merged")
    assert math.isnan(refused.value.values["difference"])
    assert not (tmp_path / "merged").exists()
    save_file({name: one for name, one in weights.items() if "q_proj" in name}, copied / ADAPTER)
    with raises_code("adapter_unusable"):
        merge(copied, tmp_path / "merged")


def test_an_adapter_that_changes_nothing_proves_nothing(copied: Path, tmp_path: Path):
    weights = {name: torch.zeros_like(one) for name, one in load_file(copied / ADAPTER).items()}
    save_file(weights, copied / ADAPTER, {"format": "pt"})
    with raises_code("merge_refused", tolerance=TOLERANCE) as refused:
        merge(copied, tmp_path / "merged")
    assert math.isnan(refused.value.values["difference"])


def test_what_cannot_be_merged_is_refused(copied: Path, tmp_path: Path):
    (tmp_path / "there").mkdir()
    with raises_code("merge_output_in_the_way", path=str(tmp_path / "there")):
        merge(copied, tmp_path / "there")
    lineage = json.loads((copied / "lineage.json").read_text())
    for change, value in (
        ({"base": lineage["base"] | {"fingerprint": "other"}}, {"base": lineage["base"]["name"]}),
        ({"recipe": lineage["recipe"] | {"lora": {"full": True}}}, {"full": True}),
    ):
        (copied / "lineage.json").write_text(json.dumps(lineage | change))
        with raises_code("merge_refused", **value):
            merge(copied, tmp_path / "merged")
