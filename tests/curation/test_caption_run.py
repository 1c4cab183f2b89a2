"""A run over captions, from the source to the exports, in SQL, scores, splits and selections."""

from __future__ import annotations

import io
import json
import tarfile
from collections import Counter
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from PIL import Image

from curation.exports.write_export import export
from curation.phantoms import make_phantoms
from curation.pipeline import RunResult, curate
from curation.recipe import parse_recipe
from curation.sources.caption import FORMS
from medsift.execution import LocalExecutor
from medsift.manifest import query

IMAGES = 40
RECIPE = """
name: captions
sources:
  - {{name: figures, reader: caption, path: {folder}/captions.jsonl, image_root: {root}/images}}
encoder: {{kind: embedded}}
cache: {cache}
splits: {{assign: case, shares: {{train: 0.8, test: 0.2}}}}
strata: [task_type]
scores:
  scorers:
    [{{kind: alignment}}, {{kind: caption_specificity}}, {{kind: compound}}, {{kind: is_scan}}]
  weights: {{alignment: 1, caption_specificity: 1, compound: 1}}
selections:
  - name: mixed
    method: {{kind: random}}
    budget: 100%
    mix: {{shares: {{figures: 1}}, licences: [commercial], per_article: 1}}
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, vectors: Path) -> RunResult:
    """Captions of phantoms, and three lines that need a decision: empty, blank, Chinese."""
    folder = tmp_path_factory.mktemp("captions")
    made = make_phantoms(folder / "set", images=IMAGES, seed=3)
    rows = [json.loads(line) for line in made.captions.read_text().splitlines()]
    rows[0]["text"], rows[1]["text"] = "", "   "
    rows[2]["text"], rows[2]["language"] = "头部磁共振图像显示一个病灶。", "zh"
    rows[4]["licence"], rows[5]["licence"] = None, "CC BY-NC 4.0"
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    (folder / "captions.jsonl").write_text(lines)
    text = RECIPE.format(folder=folder, root=made.root, cache=vectors)
    return curate(parse_recipe(text), folder / "run", LocalExecutor())


def test_every_row_has_one_fate_and_empty_captions_say_why(run: RunResult):
    fates = query(
        run.manifest, "SELECT row_id, action, reason FROM rows ORDER BY index"
    ).to_pylist()
    assert len(fates) == IMAGES
    assert [fate["reason"] for fate in fates[:3]] == ["empty_answer", "blank_answer", None]


def test_articles_figures_and_licences_are_columns_in_sql(run: RunResult):
    sql = "SELECT article, figure, panel, license, caption FROM captions ORDER BY row_id"
    lines = query(run.manifest, sql).to_pylist()
    assert len(lines) == IMAGES - 2
    assert all(line["article"].startswith("P") and line["figure"] in "12" for line in lines)
    assert {line["panel"] for line in lines} == {None}
    assert {line["license"] for line in lines} == {"CC0-1.0", "CC BY-NC 4.0", None}
    assert "头部磁共振图像显示一个病灶。" in {line["caption"] for line in lines}


def test_no_article_is_in_two_splits(run: RunResult):
    sql = "SELECT article, count(DISTINCT split) AS splits FROM captions GROUP BY article"
    assert set(query(run.manifest, sql)["splits"].to_pylist()) == {1}


def test_scores_of_captions_are_in_the_manifest(run: RunResult):
    sql = "SELECT scorer, value FROM scores ORDER BY ALL"
    found: dict[str, list[float | None]] = {}
    for line in query(run.manifest, sql).to_pylist():
        found.setdefault(line["scorer"], []).append(line["value"])
    assert set(found["compound"]) == {1.0}
    assert None not in found["caption_specificity"]
    assert all(value > 0.5 for value in found["is_scan"])
    # The caption that the encoder cannot read, if it is in the training split.
    assert found["alignment"].count(None) <= 1


def test_a_selection_keeps_to_its_licences_and_to_one_figure_an_article(run: RunResult):
    sql = "SELECT study_id, license FROM selected_samples"
    lines = query(run.manifest, sql).to_pylist()
    assert max(Counter(line["study_id"] for line in lines).values()) == 1
    assert {line["license"] for line in lines} == {"CC0-1.0"}


def test_webdataset_and_parquet_carry_picture_request_and_caption(run: RunResult, tmp_path: Path):
    sql = "SELECT sample_id, answer FROM selected_samples"
    chosen = {line["sample_id"]: line["answer"] for line in query(run.manifest, sql).to_pylist()}
    export(run.manifest, "webdataset", tmp_path / "tars", record=False)
    seen = {}
    for path in (tmp_path / "tars").glob("*.tar"):
        with tarfile.open(path) as tar:
            files = {entry.name: tar.extractfile(entry).read() for entry in tar}
        for name in (name for name in files if name.endswith(".json")):
            entry = json.loads(files[name])
            request, caption = entry["messages"]
            parts = {part["type"]: part.get("text") for part in request["content"]}
            assert parts["text"] in FORMS
            assert "image" in parts
            [picture] = [other for other in files if other.startswith(name[:-4]) and other != name]
            assert Image.open(io.BytesIO(files[picture])).size > (1, 1)
            assert entry["task_type"] == "caption"
            assert entry["study_id"].startswith("P")
            seen[entry["sample_id"]] = caption["content"][0]["text"]
    assert seen == chosen
    export(run.manifest, "parquet", tmp_path / "all.parquet", record=False)
    table = pq.read_table(tmp_path / "all.parquet").to_pylist()
    assert {line["sample_id"]: line["messages"][-1]["content"] for line in table} == chosen
    assert {line["license"] for line in table} == {"CC0-1.0"}
