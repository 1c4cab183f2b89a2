"""A recipe is refused in one line that names the path, the value and what is allowed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from curation.ingest import ingest
from curation.recipe import load_recipe, parse_recipe
from curation.stages.ingest import check_splits
from medsift.images.blob_store import BlobStore
from ray_jobs.check.recipe_kinds import load_any
from tests.expect import raises_code

RECIPES = Path(__file__).resolve().parents[2] / "recipes"
GOOD = """
name: tiny
sources:
  - {name: one, reader: table, path: rows.jsonl, columns: {question: q}}
encoder: {kind: embedded}
"""


def refuse(code: str, text: str, *overrides: str) -> dict[str, Any]:
    """Expect a recipe to be refused with this code, in one line; return the error's values."""
    with raises_code(code) as caught:
        parse_recipe(text, overrides)
    assert "\n" not in str(caught.value)
    return caught.value.values


@pytest.mark.parametrize("path", sorted(RECIPES.glob("*.yaml")), ids=lambda path: path.stem)
def test_shipped_recipes_are_valid(path):
    kind, settings, _ = load_any(path)
    # The settings of a probe have no name.
    assert kind == "probe" or settings.name == path.stem


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
    ("override", "path"),
    [
        ("sed=1", "sed"),
        ("dedup.image.cosin=0.9", "dedup.image.cosin"),
        ("sources.0.colums={}", "sources.0.colums"),
        ("sources.0.reader=tabel", "sources.0"),
        ("encoder.kind=clip", "encoder"),
        ("dedup.image.cosine=1.5", "dedup.image.cosine"),
        ("seed=many", "seed"),
        ("failures.tolerance=-1", "failures.tolerance"),
        ("sources=[]", "sources"),
        ("name=../up", "name"),
    ],
)
def test_a_wrong_setting_is_named(override, path):
    settings = yaml.safe_load(GOOD) | {"seed": 3}
    assert refuse("recipe_invalid", yaml.safe_dump(settings), override) == {"paths": [path]}


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("sed=1", "did you mean 'seed'?"),
        ("dedup.image.cosin=0.9", "did you mean 'cosine'?"),
        ("sources.0.colums={}", "did you mean 'columns'?"),
        ("encoder.kind=clip", "'open_clip'"),
        ("dedup.image.cosine=1.5", "1.5"),
    ],
)
def test_the_line_names_the_value_or_what_is_allowed(override, words):
    with raises_code("recipe_invalid") as caught:
        parse_recipe(yaml.safe_dump(yaml.safe_load(GOOD) | {"seed": 3}), [override])
    assert words in str(caught.value)


@pytest.mark.parametrize("override", ["sources.1.name=x", "nonsense", "seed.deeper.still=1"])
def test_an_override_that_names_no_setting_is_refused(override):
    text = yaml.safe_dump(yaml.safe_load(GOOD) | {"seed": 3})
    assert refuse("recipe_override_invalid", text, override)["override"] == override


def test_a_missing_key_is_named():
    text = GOOD.replace("encoder: {kind: embedded}", "")
    assert refuse("recipe_invalid", text) == {"paths": ["encoder"]}


def test_a_key_given_twice_is_refused():
    refuse("recipe_unreadable", GOOD + "name: other\n")


def test_two_sources_of_one_name_are_refused():
    settings = yaml.safe_load(GOOD)
    settings["sources"] *= 2
    assert refuse("recipe_invalid", yaml.safe_dump(settings)) == {"paths": ["sources"]}


@pytest.mark.parametrize("text", ["- a\n- b\n", "just words", ""])
def test_yaml_that_is_no_mapping_is_refused(text):
    refuse("recipe_unreadable", text)


def test_broken_yaml_is_refused():
    refuse("recipe_unreadable", "a: [1\nb: }")


def test_a_recipe_that_is_not_there_is_named(tmp_path):
    with raises_code("recipe_missing"):
        load_recipe(tmp_path / "nothing.yaml")


def test_variables_are_filled_in_and_a_missing_one_is_named(monkeypatch):
    monkeypatch.delenv("NO_SUCH_PLACE", raising=False)
    assert parse_recipe(GOOD, ["runs=${NO_SUCH_PLACE:here}"]).runs == Path("here")
    monkeypatch.setenv("NO_SUCH_PLACE", "there")
    assert parse_recipe(GOOD, ["runs=${NO_SUCH_PLACE:here}"]).runs == Path("there")
    monkeypatch.delenv("NO_SUCH_PLACE")
    values = refuse("environment_variable_missing", GOOD, "runs=${NO_SUCH_PLACE}")
    assert values == {"name": "NO_SUCH_PLACE"}


@pytest.mark.parametrize(
    "name",
    [
        *("AWS_SECRET_ACCESS_KEY", "AWS_ACCESS_KEY_ID", "AWS_SESSION_TOKEN", "HF_TOKEN"),
        *("OPENAI_API_KEY", "RAY_AUTH_TOKEN", "MEDSIFT_ENDPOINT_KEYS", "PGPASSWORD", "my_apikey"),
    ],
)
def test_a_recipe_is_never_filled_with_a_secret(name, monkeypatch):
    monkeypatch.setenv(name, "hunter2")
    for asked in (f"${{{name}}}", f"${{{name}:default}}"):
        with raises_code("credentials_in_recipe") as caught:
            parse_recipe(GOOD.replace("{question: q}", f"{{question: \"'{asked}'\"}}"))
        assert name in str(caught.value)
        assert "hunter2" not in f"{caught.value}{caught.value.values}"


@pytest.mark.parametrize("name", ["MEDSIFT_DATA", "MONKEYS", "TOKENIZER_FOLDER", "AWS_REGION"])
def test_other_variables_are_no_secrets(name, monkeypatch):
    monkeypatch.setenv(name, "there")
    assert parse_recipe(GOOD, [f"runs=${{{name}}}"]).runs == Path("there")


@pytest.mark.parametrize("text", ["name: &a [*a]", f"name: {'[' * 5_000}", "name: 2001-99-99"])
def test_yaml_that_would_exhaust_is_refused(text):
    refuse("recipe_unreadable", text)
    refuse("recipe_override_invalid", GOOD, text.replace(": ", "=", 1))


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
