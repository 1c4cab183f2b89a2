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
from medsift.storage.mirror import location
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
    ("curate", "vqa_rad", "--local", "--run-dir", "RUN"),
    ("query", "RUN", "SELECT 1"),
    ("report", "RUN"),
    ("report", "here", "--output", "RUN"),
    ("export", "RUN", "--format", "llava", "--output", "o"),
    ("export", "here", "--format", "llava", "--output", "RUN"),
    ("select", "RUN", "--name", "small", "--budget", "20%"),
    ("compare", "RUN", "kept", "small"),
    ("phantoms", "URL", "--images", "20"),
    ("demo", "--out", "URL"),
    ("train", "train_vqa_rad", "--run-dir", "RUN"),
    ("merge", "RUN", "--output", "m"),
    ("merge", "result", "--output", "RUN"),
    ("evaluate", "--model", "majority", "--benchmark", "vqa_rad=d", "--run-dir", "RUN"),
    ("rescore", "RUN", "--protocol", "medevalkit"),
    ("splits", "RUN"),
    ("index", "RUN", "--output", "o"),
    ("index", "here", "--output", "RUN"),
    ("submit", "curate", "vqa_rad", "--address", "http://h:1", "--run-dir", "RUN"),
)


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_every_command_refuses_a_url_for_a_folder_in_one_line(
    words, medsift, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    # A run may be in a store that can swap a key; nothing else may be a URL.
    urls = {"URL": "s3://bucket/x", "RUN": "hdfs://host/x"}
    said = medsift(*(urls.get(word, word) for word in words))
    assert said.code == 2
    [url] = [urls[word] for word in words if word in urls]
    assert url in said.error
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("key", ["runs", "cache"])
@pytest.mark.parametrize("url", ["hdfs://host/r", "file:///tmp/r", "https://host/r"])
def test_a_recipe_refuses_a_url_that_no_run_can_be_written_to(key, url):
    with raises_code("recipe_invalid", paths=[key]):
        parse_recipe(yaml.safe_dump(recipe().resolved() | {key: url}))


@pytest.mark.parametrize("url", ["s3://bucket/r", "gs://bucket/r", "az://container/r"])
def test_a_recipe_keeps_the_url_of_its_runs_and_not_this_machines_path(url, monkeypatch, tmp_path):
    monkeypatch.setenv("MEDSIFT_CACHE_DIR", str(tmp_path))
    stored = parse_recipe(yaml.safe_dump(recipe().resolved() | {"runs": url}))
    assert location(stored.run_dir) == f"{url}/{stored.name}"
    assert stored.resolved()["runs"] == url
    assert str(tmp_path) not in str(with_absolute_paths(stored, BASE).resolved())
    assert stored.fingerprint() == recipe().fingerprint()


def test_the_pipeline_itself_refuses_a_url(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError):
        curate(recipe(), Path("hdfs://host/run"), LocalExecutor())
    assert list(tmp_path.iterdir()) == []
