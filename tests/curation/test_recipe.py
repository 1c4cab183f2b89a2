"""A recipe is refused in one line that names the path, the value and what is allowed."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from curation.ingest import ingest
from curation.recipe import load_recipe, parse_recipe
from curation.stages.ingest import check_splits
from evaluation.recipe import load_evaluation
from medsift.errors import RecipeError
from medsift.images.blob_store import BlobStore
from ray_jobs.actions.tune import load_tuning
from ray_jobs.study.recipe import load_study
from training.recipe import load_training

RECIPES = Path(__file__).resolve().parents[2] / "recipes"
GOOD = """
name: tiny
sources:
  - {name: one, reader: table, path: rows.jsonl, columns: {question: q}}
encoder: {kind: embedded}
"""


def refused(text: str, *overrides: str) -> str:
    with pytest.raises(RecipeError) as caught:
        parse_recipe(text, overrides)
    message = str(caught.value)
    assert "\n" not in message
    return message


LOADERS = {
    "evaluate": load_evaluation,
    "train": load_training,
    "tune": load_tuning,
    "study": load_study,
}


@pytest.mark.parametrize("path", sorted(RECIPES.glob("*.yaml")), ids=lambda path: path.stem)
def test_shipped_recipes_are_valid(path):
    load = LOADERS.get(path.stem.partition("_")[0], load_recipe)
    assert load(path).name == path.stem


def test_a_resolved_recipe_is_a_recipe_with_the_same_fingerprint():
    recipe = parse_recipe(GOOD)
    again = parse_recipe(yaml.safe_dump(recipe.resolved()))
    assert again == recipe
    assert again.fingerprint() == recipe.fingerprint()


@pytest.mark.parametrize("override", ["runs=elsewhere", "cache=there", "compute.workers=7"])
def test_places_and_compute_do_not_change_the_fingerprint(override):
    assert parse_recipe(GOOD, [override]).fingerprint() == parse_recipe(GOOD).fingerprint()


def test_a_rule_changes_the_fingerprint():
    changed = parse_recipe(GOOD, ["dedup.image.cosine=0.99"])
    assert changed.fingerprint() != parse_recipe(GOOD).fingerprint()


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["sed=1"], "sed: unknown key; did you mean 'seed'?"),
        (["dedup.image.cosin=0.9"], "dedup.image.cosin: unknown key; did you mean 'cosine'?"),
        (["sources.0.colums={}"], "sources.0.colums: unknown key; did you mean 'columns'?"),
        (["sources.0.reader=tabel"], "'table'"),
        (["encoder.kind=clip"], "'open_clip'"),
        (["dedup.image.cosine=1.5"], "dedup.image.cosine: 1.5 is not valid"),
        (["seed=many"], "seed: 'many' is not valid"),
        (["failures.tolerance=-1"], "failures.tolerance: -1 is not valid"),
        (["sources=[]"], "sources: [] is not valid"),
        (["name=../up"], "name: '../up' is not valid"),
        (["sources.1.name=x"], "'1' is not a number from 0 to 0"),
        (["nonsense"], "not of the form a.b=value"),
        (["seed.deeper.still=1"], "is under a value"),
    ],
)
def test_a_wrong_setting_is_named_with_what_is_allowed(overrides, words):
    settings = yaml.safe_load(GOOD) | {"seed": 3}
    assert words in refused(yaml.safe_dump(settings), *overrides)


def test_a_missing_key_is_named():
    assert "encoder: this key is required" in refused(GOOD.replace("encoder: {kind: embedded}", ""))


def test_a_key_given_twice_is_refused():
    assert "'name' is given twice" in refused(GOOD + "name: other\n")


def test_two_sources_of_one_name_are_refused():
    settings = yaml.safe_load(GOOD)
    settings["sources"] *= 2
    assert "two sources are named 'one'" in refused(yaml.safe_dump(settings))


@pytest.mark.parametrize("text", ["- a\n- b\n", "just words", ""])
def test_yaml_that_is_no_mapping_is_refused(text):
    assert "a recipe is a mapping of keys" in refused(text)


def test_broken_yaml_is_refused():
    assert "is not YAML" in refused("a: [1\nb: }")


def test_a_recipe_that_is_not_there_is_named(tmp_path):
    with pytest.raises(RecipeError, match=r"no recipe at .*nothing\.yaml"):
        load_recipe(tmp_path / "nothing.yaml")


def test_variables_are_filled_in_and_a_missing_one_is_named(monkeypatch):
    monkeypatch.delenv("NO_SUCH_PLACE", raising=False)
    assert parse_recipe(GOOD, ["runs=${NO_SUCH_PLACE:here}"]).runs == Path("here")
    monkeypatch.setenv("NO_SUCH_PLACE", "there")
    assert parse_recipe(GOOD, ["runs=${NO_SUCH_PLACE:here}"]).runs == Path("there")
    monkeypatch.delenv("NO_SUCH_PLACE")
    assert "environment variable NO_SUCH_PLACE" in refused(GOOD, "runs=${NO_SUCH_PLACE}")


def write_published(folder: Path) -> None:
    """SLAKE and PathVQA as they are published, one record a file."""
    pair = {"question": "q", "answer": "a"}
    for name in ("train", "validate", "test"):
        line = {**pair, "img_name": "x.jpg", "q_lang": "en", "modality": "CT", "location": "Lung"}
        path = folder / "slake" / f"{name}.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps([{**line, "content_type": "Organ"}]))
    for name in ("train", "validation", "test"):
        path = folder / "path-vqa" / "data" / f"{name}-00000-of-00003-0fa1b2.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        line = {**pair, "image": {"bytes": b"x", "path": None}}
        pq.write_table(pa.Table.from_pylist([line]), path)


def test_the_real_size_recipe_puts_no_held_out_split_into_its_pool(tmp_path, monkeypatch):
    write_published(tmp_path)
    monkeypatch.setenv("MEDSIFT_DATA", str(tmp_path))
    recipe = load_recipe(RECIPES / "infimed_3b.yaml")
    sources = {source.name: source for source in recipe.sources}
    for name in ("slake", "path_vqa"):
        rows = pa.concat_tables(
            table
            for shard in sources[name].shards()
            for table in sources[name].read(shard, BlobStore(tmp_path / "blobs"))
        )
        samples = ingest(rows, recipe.ingest).samples
        check_splits(samples)
        found = dict(zip(samples["row_id"].to_pylist(), samples["split"].to_pylist(), strict=True))
        for row, split in found.items():
            word = row.split(":")[1].split(".")[0].split("-")[0]
            assert split == {"validate": "validation"}.get(word, word)
        assert sorted(found.values()) == ["test", "train", "validation"]
