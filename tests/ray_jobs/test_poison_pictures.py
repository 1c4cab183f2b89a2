"""Pictures that crash or hang the decoder fail with their reason, and all others are curated."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from medsift.manifest import read
from tests.curation.poisoned_decoder import install, marked

ORDERS = ("none", "crash", "none", "stall", "none", "crash-once")
REASONS = {"crash": "image_decoder_crashed", "stall": "image_decoder_stalled"}
ENGINES = ["--local", pytest.param("--ray", marks=[pytest.mark.cluster])]


def fates(run_dir: Path) -> list[tuple[str, str | None]]:
    sql = "SELECT action, reason FROM why WHERE run_id = (SELECT run_id FROM runs ORDER BY "
    sql += "created_at DESC LIMIT 1) ORDER BY row_id"
    lines = read(run_dir / "manifest.duckdb", sql).to_pylist()
    return [(line["action"], line["reason"]) for line in lines]


@pytest.mark.slow
@pytest.mark.parametrize("engine", ENGINES)
def test_poison_fails_and_the_rest_is_curated_and_a_retry_tries_it_again(
    engine, recipe, command, tmp_path, monkeypatch
):
    rows = []
    for number, order in enumerate(ORDERS):
        pixels = np.random.default_rng([7, number]).integers(0, 256, (64, 64, 3))
        order = f"{order} {tmp_path / 'mark'}" if order == "crash-once" else order
        picture = marked(Image.fromarray(pixels.astype(np.uint8)), order)
        (tmp_path / f"{number}.png").write_bytes(picture)
        question = f"Question number {number}?"
        rows.append({"question": question, "answer": "yes", "image": f"{number}.png"})
    path = recipe(
        rows,
        source={"image_root": str(tmp_path), "columns": {"images": "image"}},
        cache=str(tmp_path / "cache"),
        compute={"images_per_batch": 2, "workers": 2, "decode_seconds": 8},
        failures={"tolerance": 0.5},
    )
    words = ("curate", path, engine, "--run-dir", tmp_path / "run")
    with monkeypatch.context() as patch:
        install(tmp_path / "site", patch)
        said = command(*words)
    assert said.code == 0, said.err
    assert (tmp_path / "mark").exists()
    expected = [("failed", REASONS[o]) if o in REASONS else ("kept", None) for o in ORDERS]
    assert fates(tmp_path / "run") == expected
    # Another decoder reads them: nothing about them was kept in the cache.
    again = command(*words, "--retry", "failed:image_decoder_crashed")
    assert again.code == 0, again.err
    assert fates(tmp_path / "run") == [("kept", None)] * len(ORDERS)
