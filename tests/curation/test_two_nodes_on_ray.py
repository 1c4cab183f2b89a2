"""Two Ray nodes that share no disk curate into a store, with the ids of a run on one machine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from medsift.manifest import read
from medsift.storage.mirror import mirror_of

TOKEN = "a-token-of-the-tests-alone-0123456789"
SCRIPT = """
import json, os, sys
from pathlib import Path
import ray
from ray.cluster_utils import Cluster
from curation.recipe import load_recipe
from medsift.errors import MedSiftError
from medsift.progress import silent
from ray_jobs.actions.curate import curate_quietly

place, recipe, root = sys.argv[1], load_recipe(Path(sys.argv[2])), Path(sys.argv[3])
cluster = Cluster()
for name in ("one", "two"):
    # Every process of a node has the cache folder of that node.
    cluster.add_node(
        num_cpus=1, include_dashboard=False, env_vars={"MEDSIFT_CACHE_DIR": str(root / name)}
    )
ray.init(address=cluster.address, log_to_driver=False, configure_logging=False)
refused = []
for folder in (root / "folder", root / "folder"):
    try:
        curate_quietly(recipe, folder, True, silent)
    except MedSiftError as error:
        refused.append([error.code, error.values.get("nodes")])
    break
refused.append(sorted(path.name for path in root.glob("folder/*")))
from medsift.storage.local_paths import path_of
run = curate_quietly(recipe, path_of(place), True, silent)
print(json.dumps({"run_id": run.run_id, "refused": refused}))
ray.shutdown()
cluster.shutdown()
"""


@pytest.mark.cluster
@pytest.mark.slow
def test_two_nodes_without_a_shared_disk_curate_into_a_store(
    phantom_run, phantom_recipe, bucket_url, tmp_path
):
    settings = phantom_recipe().resolved()
    settings |= {"runs": bucket_url, "cache": f"{bucket_url}/cache"}
    settings["compute"] |= {"images_per_batch": 8, "rows_per_batch": 60}
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(settings))
    root = tmp_path / "nodes"
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, f"{bucket_url}/run", tmp_path / "recipe.yaml", root],
        env=os.environ
        | {
            "MEDSIFT_CACHE_DIR": str(root / "driver"),
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": TOKEN,
            "RAY_USAGE_STATS_ENABLED": "0",
        },
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    said = json.loads(done.stdout.splitlines()[-1])
    assert said["run_id"] == phantom_run.run_id
    assert said["refused"] == [["run_directory_not_shared", 2], []]
    sql = "SELECT row_id, sample_id, action, reason, witness FROM why ORDER BY row_id"
    ours = read(mirror_of(f"{bucket_url}/run") / "manifest.duckdb", sql)
    assert ours.equals(read(phantom_run.manifest, sql))
    selected = "SELECT sample_id, weight FROM selected_samples ORDER BY rank"
    ours = read(mirror_of(f"{bucket_url}/run") / "manifest.duckdb", selected)
    assert ours.equals(read(phantom_run.manifest, selected))
    # Both nodes wrote parts, each to a disk of its own.
    for name in ("one", "two"):
        assert list(Path(root, name).rglob("part-*.parquet")), name
