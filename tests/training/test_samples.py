"""Rows of a manifest as samples: order, weights, what is held out, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.expect import raises_code
from tests.training.conftest import MakeRun, asked, draw
from training.dataset.sample_weights import sample_weights
from training.dataset.samples import read_selection
from training.dataset.validation_split import hold_out
from training.recipe import DataConfig, HeldOutConfig, MixtureConfig


def pictured(tmp_path: Path, count: int = 8) -> list[dict]:
    """Two questions on each of some pictures."""
    files = [draw(tmp_path / f"{place}.png", place) for place in range(count)]
    return [
        asked(question, "no", file, patient_id=f"p{place // 2}")
        for place, file in enumerate(files)
        for question in (f"is {place} clear?", f"is {place} large?")
    ]


def test_samples_come_in_rank_order_with_turns_pictures_and_sizes(make_run: MakeRun, tmp_path):
    lines = pictured(tmp_path, 2)
    found = read_selection(make_run(lines))
    assert found.selection == "chosen"
    assert [sample.sample_id for sample in found.samples] == ["id0", "id1", "id2", "id3"]
    first = found.samples[0]
    assert first.turns == (("user", "<image>is 0 clear?"), ("assistant", "no"))
    assert first.pictures[0].ref == str(tmp_path / "0.png")
    assert first.pictures[0][2:] == (40, 28)


def test_an_unknown_selection_and_an_empty_one_are_refused_in_one_line(make_run: MakeRun):
    run = make_run([])
    with raises_code("selection_unknown", selection="other", known=[]):
        read_selection(run, "other")
    with raises_code("selection_unknown", selection=None, known=[]):
        read_selection(run)
    with raises_code("manifest_missing"):
        read_selection(run / "nowhere")


def test_a_vanished_picture_is_named(make_run: MakeRun, tmp_path):
    run = make_run(pictured(tmp_path, 2))
    (tmp_path / "1.png").unlink()
    with raises_code("picture_changed", path=str(tmp_path / "1.png"), count=1):
        read_selection(run)


@pytest.mark.parametrize("level", ["image", "patient"])
def test_held_out_samples_share_neither_picture_nor_patient(make_run: MakeRun, tmp_path, level):
    found = read_selection(make_run(pictured(tmp_path)))
    config = HeldOutConfig(share=0.25, level=level)
    training, held = hold_out(found, config, 3)
    assert len(training) + len(held) == 16
    assert len(held) == 4
    seen = {picture.image_id for sample in training for picture in sample.pictures}
    assert not any(picture.image_id in seen for sample in held for picture in sample.pictures)
    if level == "patient":
        patients = {sample.tags["patient_id"] for sample in training}
        assert not any(sample.tags["patient_id"] in patients for sample in held)
    assert hold_out(found, config, 3) == (training, held)


def test_a_split_is_measured_when_it_stands_apart(make_run: MakeRun, tmp_path):
    lines = pictured(tmp_path)
    rest = [asked("and?", "yes", draw(tmp_path / "new.png", 99), split="validation")]
    run = make_run(lines, rest)
    found = read_selection(run, split="validation")
    training, held = hold_out(found, HeldOutConfig(split="validation"), 0)
    assert training == found.samples
    assert [sample.sample_id for sample in held] == ["id16"]
    with raises_code("held_out_invalid", split="test"):
        hold_out(read_selection(run, split="test"), HeldOutConfig(split="test"), 0)


@pytest.mark.parametrize("how", ["same picture", "copy", "same words"])
def test_a_split_that_shares_content_with_training_is_refused(make_run: MakeRun, tmp_path, how):
    lines = [*pictured(tmp_path, 2), asked("what is it?", "a lung")]
    new = draw(tmp_path / "new.png", 99)
    groups = {"0.png": "g", "new.png": "g"} if how == "copy" else {}
    held = {
        "same picture": asked("and?", "yes", tmp_path / "1.png", split="validation"),
        "copy": asked("and?", "yes", new, split="validation"),
        "same words": asked("What is it?", "A lung", split="validation"),
    }[how]
    found = read_selection(make_run(lines, [held], groups=groups), split="validation")
    with raises_code("held_out_invalid", shared=1) as refused:
        hold_out(found, HeldOutConfig(split="validation"), 0)
    assert refused.value.values["rows"][0] == "s:f.jsonl:5"


def test_one_picture_alone_cannot_be_divided(make_run: MakeRun, tmp_path):
    found = read_selection(make_run(pictured(tmp_path, 1)))
    with raises_code("held_out_invalid", empty="held_out"):
        hold_out(found, HeldOutConfig(share=0.3), 0)


def test_weights_have_mean_one_and_a_mixture_gives_each_source_its_share(make_run: MakeRun):
    lines = [
        asked(f"q{place}?", "a", weight=place % 3 + 1, source="big" if place < 9 else "small")
        for place in range(12)
    ]
    samples = read_selection(make_run(lines)).samples
    weights = sample_weights(samples, DataConfig()).loss
    np.testing.assert_allclose(weights, np.array([1, 2, 3] * 4) / 2)
    mixed = sample_weights(
        samples, DataConfig(mixture=MixtureConfig(shares={"big": 1, "small": 3}))
    ).loss
    assert mixed.mean() == pytest.approx(1.0)
    assert mixed[9:].sum() / mixed.sum() == pytest.approx(0.75)
    assert mixed[1] / mixed[0] == pytest.approx(2.0)
    assert (sample_weights(samples, DataConfig(weights="none")).loss == 1).all()


def test_weights_and_mixtures_that_do_not_fit_are_refused(make_run: MakeRun):
    samples = read_selection(make_run([asked("a?", "b", weight=-1.0)])).samples
    with raises_code("weights_invalid", weight=-1.0):
        sample_weights(samples, DataConfig())
    positive = read_selection(make_run([asked("a?", "b")], folder="other")).samples
    for shares in ({"s": 1.0, "t": 1.0}, {"t": 1.0}):
        with raises_code("mixture_unfit", allowed=["s"]):
            sample_weights(positive, DataConfig(mixture=MixtureConfig(shares=shares)))
