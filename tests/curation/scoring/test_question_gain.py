"""Question gain on small real models: agreement with plain calls, order, sharing, meaning."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from curation.scoring.multimodal_gain import MultimodalGainConfig
from curation.scoring.question_gain import QuestionGainConfig
from medsift.models.image_text import Illustrated, ImageTextLikelihood
from tests.curation.scoring.conftest import Illustrations
from tests.curation.scoring.test_multimodal_gain import plain_logprob, teach
from tests.tiny_models import Make, idefics, llava, qwen, saved, seeded

Coloured = list[tuple[Path, str]]


def lines_of(pictures: Coloured) -> list[tuple[Path, str, str]]:
    """Two questions about each picture: the answer to one is its colour."""
    asked = [(file, "what colour?", name) for file, name in pictures]
    return asked + [(file, "is it a lung?", "no") for file, _ in pictures]


@pytest.mark.parametrize("make", [llava, idefics, qwen])
def test_it_is_the_difference_of_two_plain_calls_whatever_the_batch(
    make: Make, coloured: Coloured, context: Illustrations, tmp_path: Path
) -> None:
    model, processor = seeded(make)
    config = QuestionGainConfig(model=saved((model, processor), tmp_path / "model"))
    lines = lines_of(coloured[:3])
    wanted = []
    for file, question, answer in lines:
        shown = [Image.open(file).convert("RGB")]
        asked = Illustrated([("user", f"<image>{question}")], answer, shown)
        silent = Illustrated([("user", "<image>")], answer, shown)
        wanted.append(
            plain_logprob(model, processor, asked, True)
            - plain_logprob(model, processor, silent, True)
        )
    np.testing.assert_allclose(config.score(context(lines)), wanted, atol=1e-4)
    batched = config.model_copy(update={"batch_size": 4})
    fresh = context(lines[::-1], "back", cache=tmp_path / "new")
    np.testing.assert_allclose(batched.score(fresh)[::-1], wanted, atol=2e-4)


def test_the_right_question_helps_a_model_that_listens_and_another_one_harms(
    coloured: Coloured, context: Illustrations, tmp_path: Path
) -> None:
    model, processor = seeded(llava)
    right = lines_of(coloured)
    silent = [(file, "", answer) for file, _, answer in right]
    teach(model.train(), processor, right, silent)
    config = QuestionGainConfig(model=saved((model, processor), tmp_path / "model"))
    questions = [question for _, question, _ in right]
    shuffled = [
        (file, question, answer)
        for (file, _, answer), question in zip(right, questions[::-1], strict=True)
    ]
    gain = config.score(context([*right, *shuffled]))
    assert gain[:12].mean() > 0.1
    assert gain[12:].mean() < gain[:12].mean() - 0.5


def test_no_word_before_the_answer_reaches_the_second_term(
    coloured: Coloured, context: Illustrations, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []
    plain = ImageTextLikelihood.answer_logprob

    def noted(self: Any, samples: Any, with_image: bool) -> Any:
        asked.append((with_image, [sample.turns for sample in samples]))
        return plain(self, samples, with_image)

    monkeypatch.setattr(ImageTextLikelihood, "answer_logprob", noted)
    config = QuestionGainConfig(model=saved(seeded(llava), tmp_path / "model"))
    config.score(context([(coloured[0][0], "what colour?", "red")]))
    assert asked == [
        (True, [(("user", "<image>what colour?"),)]),
        (True, [(("user", "<image>"),)]),
    ]


def test_both_gains_ask_about_the_whole_sample_once(
    coloured: Coloured, context: Illustrations, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    plain = ImageTextLikelihood.answer_logprob

    def counted(self: Any, samples: Any, with_image: bool) -> Any:
        asked.append(len(samples))
        return plain(self, samples, with_image)

    monkeypatch.setattr(ImageTextLikelihood, "answer_logprob", counted)
    model, lines = saved(seeded(llava), tmp_path / "model"), lines_of(coloured)
    MultimodalGainConfig(model=model).score(context(lines, "a"))
    assert sum(asked) == 2 * len(lines)
    QuestionGainConfig(model=model).score(context(lines, "b"))
    assert sum(asked) == 3 * len(lines)


def test_samples_without_picture_question_or_answer_have_no_gain(
    coloured: Coloured, context: Illustrations, tmp_path: Path
) -> None:
    config = QuestionGainConfig(model=saved(seeded(llava), tmp_path / "model"))
    file = coloured[0][0]
    lines = [(file, "why?", "so"), (None, "why?", "so"), (file, "", "so"), (file, "why?", " ")]
    assert np.isnan(config.score(context(lines))).tolist() == [False, True, True, True]
