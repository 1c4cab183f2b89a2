"""A recipe that leaves its directory still means the same files."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from curation.recipe import parse_recipe
from ray_jobs.places import anchored

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
    moved = anchored(recipe(), BASE)
    table, folder = moved.sources
    assert table.path == f"{BASE}/data/*.jsonl"
    assert table.image_root == "s3://bucket/images"
    assert folder.path == "/pictures"
    assert folder.captions == f"{BASE}/captions.csv"
    assert moved.run_dir == BASE / "medsift-runs" / "x"
    assert moved.cache_dir == BASE / "medsift-runs" / "cache"


def test_moving_again_changes_nothing():
    moved = anchored(recipe(), BASE)
    assert anchored(moved, Path("/elsewhere")) == moved


def test_a_moved_recipe_survives_the_journey_as_yaml():
    moved = anchored(recipe(), BASE)
    assert parse_recipe(yaml.safe_dump(moved.resolved())) == moved


@pytest.mark.parametrize("exists", [True, False])
def test_a_hub_name_is_a_path_only_where_that_exists(tmp_path, exists):
    if exists:
        (tmp_path / "owner" / "set").mkdir(parents=True)
    source = "  - {name: c, reader: hf, path: owner/set}\n"
    moved = anchored(recipe(source), tmp_path)
    assert moved.sources[-1].path == (f"{tmp_path}/owner/set" if exists else "owner/set")


def test_a_local_bundle_is_anchored_and_a_hub_model_is_not():
    bundle = anchored(recipe(encoder="kind: open_clip, model: 'local-dir:bundle'"), BASE)
    assert bundle.encoder.model == f"local-dir:{BASE}/bundle"
    hub = anchored(recipe(encoder="kind: open_clip, model: 'hf-hub:owner/model'"), BASE)
    assert hub.encoder.model == "hf-hub:owner/model"
