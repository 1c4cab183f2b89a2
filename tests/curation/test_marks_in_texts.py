"""Marks of pictures anywhere in a conversation go through a whole run and come out in exports."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from curation.current_samples import read_samples
from curation.exports.write_export import export
from curation.pipeline import RunResult, curate
from curation.recipe import parse_recipe
from curation.stages.distinct_texts import distinct_texts
from medsift import records
from medsift.execution import LocalExecutor
from medsift.manifest import read

TALKS = {
    "before": ("<image>\nIs the liver enlarged?", "yes"),
    "behind": ("Where does the needle point?\n<image>", "to the left kidney"),
    "inside": ("In <image> a line is drawn; what does it measure?", "the aorta"),
    "between": ("Compare <image> with <image>, please.", "the second is darker"),
    "talk": ("What do trainers take the word <video> for?", "A film, as <audio> for a sound."),
    "later": (
        "Name an organ of the chest.",
        "the heart",
        "And here, what is this? <image>",
        "lung",
    ),
}


@pytest.fixture(scope="module")
def run(vectors: Path, tmp_path_factory: pytest.TempPathFactory) -> RunResult:
    folder = tmp_path_factory.mktemp("marks")
    pixels = np.random.default_rng(7)
    lines = []
    for name, talk in TALKS.items():
        images = [f"{name}{at}.png" for at in range("".join(talk).count("<image>"))]
        for image in images:
            Image.fromarray(pixels.integers(0, 255, (48, 48), dtype=np.uint8)).save(folder / image)
        turns = [
            {"role": ("user", "assistant")[at % 2], "content": text} for at, text in enumerate(talk)
        ]
        lines.append({"id": name, "messages": turns, "images": images})
    (folder / "in.json").write_text(json.dumps(lines))
    recipe = parse_recipe(
        f"""
name: marks
cache: {vectors}
encoder: {{kind: embedded}}
sources: [{{name: s, reader: messages, path: {folder / "in.json"}, columns: {{id: id}}}}]
strata: []
scores: {{scorers: [{{kind: alignment}}, {{kind: density}}], weights: {{alignment: 1}}}}
selections: [{{name: all, method: {{kind: facility_location}}, budget: 100%}}]
compute: {{ray: false}}
"""
    )
    return curate(recipe, folder / "run", LocalExecutor())


def test_a_mark_anywhere_in_a_text_ends_no_run(run: RunResult) -> None:
    kept = read(run.manifest, "SELECT messages[1].content AS asked FROM selected_samples")
    assert len(kept) == len(TALKS)
    # Marks that only say that the pictures come first are taken out, so that equal samples stay so.
    plain = {talk[0].removeprefix("<image>\n") for talk in TALKS.values()}
    assert set(kept["asked"].to_pylist()) == plain


def test_every_question_and_answer_has_a_vector(run: RunResult) -> None:
    upstream = run.upstream.through("images")
    samples = read_samples(upstream)
    said = distinct_texts(samples)["text"].to_pylist()
    known = set(map(records.text_id, said))
    for name in ("question", "answer"):
        assert {records.text_id(text) for text in samples[name].to_pylist()} <= known


def test_exports_keep_marks_where_they_stood(run: RunResult, tmp_path: Path) -> None:
    export(run.manifest, "sharegpt", tmp_path / "out.json")
    written = json.loads((tmp_path / "out.json").read_text())
    asked = {entry["conversations"][0]["value"] for entry in written}
    assert asked == {TALKS[name][0] for name in TALKS if name != "talk"}


@pytest.mark.parametrize("format", ["sharegpt", "llava"])
def test_formats_with_marks_in_their_texts_leave_out_talk_of_films(
    format: str, run: RunResult, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    result = export(run.manifest, format, tmp_path / "out.json")
    written = json.loads((tmp_path / "out.json").read_text())
    assert result.rows == len(written) == len(TALKS) - 1
    assert not any("<video>" in json.dumps(entry["conversations"]) for entry in written)
    [warned] = [record for record in caplog.records if "left out" in record.message]
    assert warned.args == (1, "s:in.json:4")


@pytest.mark.parametrize("format", ["messages", "parquet", "hf", "webdataset"])
def test_formats_without_marks_in_their_texts_keep_it(
    format: str, run: RunResult, tmp_path: Path
) -> None:
    assert export(run.manifest, format, tmp_path / "out").rows == len(TALKS)
