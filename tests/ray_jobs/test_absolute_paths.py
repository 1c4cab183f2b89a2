"""A recipe that leaves its directory still means the same files."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from curation.pipeline import curate
from curation.recipe import parse_recipe
from medsift.errors import UsageError
from medsift.execution import LocalExecutor
from medsift.storage.local_paths import url_of
from ray_jobs.absolute_paths import with_absolute_paths
from tests.expect import raises_code

BASE = Path("/home/somebody/work")


def recipe(source: str = "", encoder: str = "kind: embedded"):
    return parse_recipe(
        "name: x\n"
        "sources:\n"
        "  - {name: a, reader: table, path: 'data/*.jsonl', image_root: s3://bucket/images}\n"
        "  - {name: b, reader: image_folder, path: /pictures, captions: captions.csv}\n"
        f"{source}"
        f"encoder: {{{encoder}}}\n"
    )


def test_relative_paths_become_absolute_and_others_stay():
    moved = with_absolute_paths(recipe(), BASE)
    table, folder = moved.sources
    assert table.path == f"{BASE}/data/*.jsonl"
    assert table.image_root == "s3://bucket/images"
    assert folder.path == "/pictures"
    assert folder.captions == f"{BASE}/captions.csv"
    assert moved.run_dir == BASE / "medsift-runs" / "x"
    assert moved.cache_dir == BASE / "medsift-runs" / "cache"


def test_moving_again_changes_nothing():
    moved = with_absolute_paths(recipe(), BASE)
    assert with_absolute_paths(moved, Path("/elsewhere")) == moved


def test_a_moved_recipe_survives_the_journey_as_yaml():
    moved = with_absolute_paths(recipe(), BASE)
    assert parse_recipe(yaml.safe_dump(moved.resolved())) == moved


@pytest.mark.parametrize("exists", [True, False])
def test_a_hub_name_is_a_path_only_where_that_exists(tmp_path, exists):
    if exists:
        (tmp_path / "owner" / "set").mkdir(parents=True)
    source = "  - {name: c, reader: hf, path: owner/set}\n"
    moved = with_absolute_paths(recipe(source), tmp_path)
    assert moved.sources[-1].path == (f"{tmp_path}/owner/set" if exists else "owner/set")


def test_a_local_bundle_is_anchored_and_a_hub_model_is_not():
    bundle = with_absolute_paths(recipe(encoder="kind: open_clip, model: 'local-dir:bundle'"), BASE)
    assert bundle.encoder.model == f"local-dir:{BASE}/bundle"
    hub = with_absolute_paths(recipe(encoder="kind: open_clip, model: 'hf-hub:owner/model'"), BASE)
    assert hub.encoder.model == "hf-hub:owner/model"


URLS = ("s3://bucket/r", "gs://bucket/r", "hdfs://host/r", "file:///tmp/r", "S3://b")


@pytest.mark.parametrize("url", URLS)
def test_a_url_is_known_as_text_and_as_the_path_it_becomes(url):
    assert url_of(url) == url
    assert url_of(Path(url)) in (url, url.replace("///", "//"))


@pytest.mark.parametrize("place", ["runs/a", "/runs", "a:b/c", "C:/runs", "s3:", "a//b"])
def test_a_place_on_a_disk_is_no_url(place):
    assert url_of(place) is None
    assert url_of(Path(place)) is None


COMMANDS = (
    ("curate", "vqa_rad", "--local", "--run-dir", "URL"),
    ("query", "URL", "SELECT 1"),
    ("report", "URL"),
    ("report", "here", "--output", "URL"),
    ("export", "URL", "--format", "llava", "--output", "o"),
    ("export", "here", "--format", "llava", "--output", "URL"),
    ("select", "URL", "--name", "small", "--budget", "20%"),
    ("compare", "URL", "kept", "small"),
    ("phantoms", "URL", "--images", "20"),
    ("demo", "--out", "URL"),
    ("train", "train_vqa_rad", "--run-dir", "URL"),
    ("merge", "URL", "--output", "m"),
    ("merge", "result", "--output", "URL"),
    ("evaluate", "--model", "majority", "--benchmark", "vqa_rad=d", "--run-dir", "URL"),
    ("rescore", "URL", "--protocol", "medevalkit"),
    ("splits", "URL"),
    ("index", "URL", "--output", "o"),
    ("index", "here", "--output", "URL"),
    ("submit", "curate", "vqa_rad", "--address", "http://h:1", "--run-dir", "URL"),
)


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_every_command_refuses_a_url_for_a_folder_in_one_line(
    words, medsift, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    said = medsift(*("s3://bucket/x" if word == "URL" else word for word in words))
    assert said.code == 2
    assert "s3://bucket/x" in said.error
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("key", ["runs", "cache"])
@pytest.mark.parametrize("url", URLS)
def test_a_recipe_refuses_a_url_for_its_runs_or_cache(key, url):
    with raises_code("recipe_invalid", paths=[key]):
        parse_recipe(yaml.safe_dump(recipe().resolved() | {key: url}))


def test_the_pipeline_itself_refuses_a_url(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError):
        curate(recipe(), Path("s3://bucket/run"), LocalExecutor())
    assert list(tmp_path.iterdir()) == []
