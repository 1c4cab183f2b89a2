"""Ten times as many bytes of pixels as Ray's object store holds pass through it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

STORE_BYTES = 80_000_000
"""Ray takes no store of less than 75 MB."""
PICTURES, SIDE = 80, 3_200
STREAMED, STREAMED_SIDE = 800, 600
SCRIPT = """
import hashlib, json, sys
from pathlib import Path
import ray
from curation.pipeline import run_stages
from curation.recipe import parse_recipe
from medsift.execution import LocalExecutor
from medsift.images import ImagesConfig, decode
from ray_jobs.executor import RayExecutor
from ray_jobs.streaming import stream_pictures
from training.dataset.samples import Picture

root, store, streamed = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])

def seen(engine, name):
    recipe = parse_recipe((root / "recipe.yaml").read_text(), [f"cache={root / name / 'cache'}"])
    upstream = run_stages(recipe, root / name, engine, until="embed").upstream
    samples = upstream.images.updates.read(["row_id", "sample_id", "images"]).sort_by("row_id")
    vectors = hashlib.sha256()
    for stage in (upstream.images, upstream.embed):
        for path in stage.vectors.parts():
            vectors.update(path.read_bytes())
    return {"samples": samples.to_pylist(), "vectors": vectors.hexdigest()}

ray.init(
    address="local", num_cpus=2, object_store_memory=store, include_dashboard=False,
    log_to_driver=False, configure_logging=False,
)
found = {"store": int(ray.cluster_resources()["object_store_memory"])}
found["ray"] = seen(RayExecutor(), "ray")
files = sorted((root / "streamed").glob("*.png"))
images = [decode(file.read_bytes(), file.name, ImagesConfig()) for file in files]
few = [
    Picture(image.image_id, str(file), *image.image.size)
    for image, file in zip(images, files, strict=True)
]
order = [few[number % len(few)] for number in range(streamed)]
sums = [[picture.width, picture.height, picture.tobytes()[0]] for picture in
        stream_pictures(order, None)]
found["streamed"] = sums
ray.shutdown()
found["local"] = seen(LocalExecutor(), "local")
print(json.dumps(found))
"""
RECIPE = """
name: large
sources: [{{name: pool, reader: table, path: {rows}}}]
encoder: {{kind: embedded}}
compute: {{images_per_batch: 8}}
"""


def draw(path: Path, number: int, side: int) -> None:
    """A grey picture of large squares, whose first pixel says its number."""
    coarse = np.random.default_rng(number).integers(0, 256, (16, 16), np.uint8)
    coarse[0, 0] = number
    path.parent.mkdir(exist_ok=True)
    large = Image.fromarray(coarse).resize((side, side), Image.Resampling.NEAREST)
    large.save(path, compress_level=1)


@pytest.mark.cluster
@pytest.mark.slow
def test_pixels_of_ten_object_stores_pass_and_ids_are_those_of_one_process(tmp_path: Path):
    rows = []
    for number in range(PICTURES):
        draw(tmp_path / "pictures" / f"{number:03d}.png", number, SIDE)
        asked = {"question": f"Which is number {number}?", "answer": f"picture {number}"}
        rows.append(asked | {"images": [f"pictures/{number:03d}.png"]})
    for number in range(4):
        draw(tmp_path / "streamed" / f"{number}.png", 10 * number, STREAMED_SIDE)
    (tmp_path / "rows.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    (tmp_path / "recipe.yaml").write_text(RECIPE.format(rows=tmp_path / "rows.jsonl"))
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(tmp_path), str(STORE_BYTES), str(STREAMED)],
        env=os.environ | {"RAY_USAGE_STATS_ENABLED": "0"},
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert 10 * found["store"] < PICTURES * SIDE * SIDE
    assert 10 * found["store"] < STREAMED * STREAMED_SIDE**2 * 3
    assert len(found["ray"]["samples"]) == PICTURES
    assert found["ray"] == found["local"]
    expected = [[STREAMED_SIDE] * 2 + [10 * (number % 4)] for number in range(STREAMED)]
    assert found["streamed"] == expected
