"""Constructed samples travel: dedup, scores, selection, exports, and a step of training."""

from __future__ import annotations

import json
import re
import tarfile

import pyarrow.parquet as pq
import pytest
import yaml

from curation.construct.construct import construct
from curation.exports import FORMATS
from curation.exports.write_export import export
from curation.phantoms import make_phantoms
from curation.pipeline import curate
from curation.recipe import parse_recipe
from medsift.execution import LocalExecutor
from medsift.manifest import read
from tests.curation.construct.conftest import recipe_for
from tests.curation.construct.teacher_server import (
    DOUBTS,
    THOUGHTS,
    TeacherServer,
    completion,
    text_of,
)
from tests.training.conftest import recipe
from training.dataset.chat_labels import ChatEncoder
from training.dataset.samples import read_selection
from training.model.base_model import PretrainedBase, load_base
from training.run import train_here

# Two runs are curated and one is trained on.
pytestmark = pytest.mark.nightly

QUESTIONS = ("trl_grpo", "verl", "easyr1")
"""Formats of policy trainers: questions with the right answer alone."""
TOLD = re.compile(r"The right answer is: (.*)")
RECIPE = """
name: origin
sources:
  - {{name: p, reader: table, path: {rows}, image_root: {images}, columns: {{images: image}}}}
encoder: {{kind: embedded}}
cache: {cache}
failures: {{tolerance: 0.5}}
scores:
  scorers: [{{kind: text_quality}}, {{kind: rarity}}, {{kind: label_noise}}]
selections:
  - {{name: half, method: {{kind: facility_location}}, budget: {{fraction: 0.5}}}}
"""


def told(body):
    shown = TOLD.search(text_of(body))
    thoughts = DOUBTS if body["model"] == "reflective" else THOUGHTS
    return completion(shown[1] if shown else "no idea", f"{thoughts} {body['seed']}")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A run of phantoms, two constructions on it, and a run of all three as one pool."""
    root = tmp_path_factory.mktemp("travel")
    phantoms = make_phantoms(root / "phantoms", images=16, seed=3)
    text = RECIPE.format(rows=phantoms.samples, images=phantoms.images, cache=root / "cache")
    curate(parse_recipe(text), root / "run", LocalExecutor())
    server = TeacherServer(told)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NO_PROXY", "127.0.0.1")
        patch.delenv("OPENAI_API_KEY", raising=False)
        folders = []
        for kind in ("plain", "reflective"):
            settings = {"kinds": (kind, "label_told"), "attempts": 1, "blind": {"attempts": 0}}
            own = recipe_for(root / "run", server, name=kind, teacher={"model": kind}, **settings)
            done = construct(own)
            folders.append(done.samples.parent)
    server.close()
    recipes = [yaml.safe_load((folder / "curate.yaml").read_text()) for folder in folders]
    origin = yaml.safe_load(text)["sources"]
    pool = recipes[0] | {"name": "all", "sources": [*origin, *(r["sources"][0] for r in recipes)]}
    result = curate(parse_recipe(yaml.safe_dump(pool)), root / "all", LocalExecutor())
    return root, result.manifest


def test_a_trace_its_origin_and_another_trace_are_neither_duplicates_nor_conflicts(made):
    root, manifest = made
    before = root / "run" / "manifest.duckdb"
    sql = "SELECT count(*) AS n FROM why WHERE action = 'kept'"
    origin = read(before, sql)["n"][0].as_py()
    kept = read(before, "SELECT count(*) AS n FROM traces WHERE action = 'kept'")["n"][0].as_py()
    assert kept > 10
    [counted] = read(manifest, sql).to_pylist()
    assert counted["n"] == origin + kept
    lost = "SELECT reason FROM why WHERE action <> 'kept' AND row_id NOT LIKE 'p:%'"
    assert read(manifest, lost).num_rows == 0
    pairs = "SELECT count(*) AS n FROM conflicts WHERE answer LIKE '%think%'"
    assert read(manifest, pairs)["n"][0].as_py() == 0
    names = "SELECT sample_id FROM traces WHERE action = 'kept' ORDER BY 1"
    listed = read(before, names)["sample_id"].to_pylist()
    sql = "SELECT sample_id FROM samples WHERE extra LIKE '%derived_from%' ORDER BY 1"
    assert sorted(read(manifest, sql)["sample_id"].to_pylist()) == listed
    noted = "SELECT unnest(notes) AS note FROM samples"
    notes = read(manifest, noted)["note"].to_pylist()
    assert not [note for note in notes if note.startswith("answer_type")]


def test_scores_and_a_selection_have_them(made):
    _, manifest = made
    sql = """
    SELECT scorer, count(*) FILTER (s.extra LIKE '%derived_from%') AS made, count(*) AS n
    FROM scores JOIN samples s USING (run_id, sample_id) GROUP BY ALL
    """
    scored = read(manifest, sql).to_pylist()
    assert {line["scorer"] for line in scored} >= {"text_quality", "rarity", "label_noise"}
    assert all(0 < line["made"] < line["n"] for line in scored)
    chosen = "SELECT count(*) AS n FROM selected_samples WHERE messages[-1].content LIKE '<think>%'"
    assert read(manifest, chosen)["n"][0].as_py() > 0


def contents(path):
    """All texts of an export, as one string."""
    files = [path] if path.is_file() else sorted(path.rglob("*"))
    said = []
    for file in files:
        if file.suffix == ".parquet":
            said += [json.dumps(line, default=str) for line in pq.read_table(file).to_pylist()]
        elif file.suffix == ".tar":
            with tarfile.open(file) as tar:
                members = [one for one in tar.getmembers() if one.name.endswith(".json")]
                said += [tar.extractfile(one).read().decode() for one in members]
        elif file.suffix in (".json", ".jsonl"):
            said.append(file.read_text())
    return "\n".join(said)


@pytest.mark.parametrize("format", [one for one in FORMATS if one not in QUESTIONS])
def test_every_export_of_conversations_has_the_reasoning(made, tmp_path, format):
    _, manifest = made
    sql = "SELECT messages, answer FROM selected_samples WHERE messages[-1].content LIKE '<think>%'"
    selected = read(manifest, sql).to_pylist()
    output = tmp_path / (f"out.{'parquet' if format == 'parquet' else 'json'}")
    export(manifest, format, output, record=False)
    text = contents(output)
    for line in selected:
        content = line["messages"][-1]["content"]
        words = content.removeprefix("<think>\n").partition("\n</think>")[0]
        assert json.dumps(words, ensure_ascii=False)[1:-1] in text
        assert line["answer"] == content.rpartition("</think>")[2].strip()


def test_the_chat_format_renders_the_reasoning_and_the_loss_is_on_it(made, qwen):
    root, _ = made
    heard = []
    steps = {"steps": 1, "lora": {"rank": 2, "alpha": 4}, "log": {"tensorboard": False}}
    trained = train_here(recipe(root / "all", qwen, **steps), heard.append)
    begun, line = heard
    assert begun.trained_on > 10
    assert line.step == 1
    selected = read_selection(root / "all").samples
    [first, *_] = [one for one in selected if one.turns[-1][1].startswith("<think>")]
    encoder = ChatEncoder(load_base(PretrainedBase(model=str(qwen)), "float32", full=False))
    [encoded] = encoder.encode([first])
    learned = encoder.decoded_example(encoded).partition("⟦")[2].partition("⟧")[0]
    assert learned.removesuffix("<|im_end|>") == first.turns[-1][1]
    assert trained.training.result.is_dir()
