"""`--retry failed[:reason]`: what failed is tried again, and everything else is reused."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import medsift as ms
from curation.image_pass import ImagePass
from curation.phantoms import PhantomSet
from curation.pipeline import curate
from curation.retried import times_retried
from curation.retry import retry_failed
from medsift.execution import LocalExecutor
from medsift.manifest import read
from tests.curation.increments.pools import contents, recipe_of
from tests.expect import raises_code


def failures(manifest: Path, run_id: str) -> dict[str, str]:
    sql = "SELECT row_id, reason FROM decisions WHERE run_id = $1 AND action = 'failed'"
    lines = read(manifest, sql, [run_id]).to_pylist()
    return {line["row_id"]: line["reason"] for line in lines}


@pytest.fixture
def spoiled(first, files, phantoms, tmp_path, monkeypatch) -> tuple[Path, PhantomSet, Path]:
    """A run in which the decoder failed for a while: its failures are in the cache."""
    cache = tmp_path / "cache"
    shutil.copytree(first / "cache" / "texts", cache / "texts")
    looked = ImagePass.__call__

    def failing(self, refs):
        seen = looked(self, refs)
        column = seen.column_names.index("error")
        broken = ["decoder_lost" if at % 3 == 0 else old
                  for at, old in enumerate(seen["error"].to_pylist())]  # fmt: skip
        seen = seen.set_column(column, seen.schema.field(column), [broken])
        nothing = [None if error else image for error, image in
                   zip(broken, seen["image_id"].to_pylist(), strict=True)]  # fmt: skip
        place = seen.column_names.index("image_id")
        return seen.set_column(place, seen.schema.field(place), [nothing])

    recipe = recipe_of(files[0].parent, phantoms, cache, "failures.tolerance=1.0")
    with monkeypatch.context() as patch:
        patch.setattr(ImagePass, "__call__", failing)
        curate(recipe, tmp_path / "run", LocalExecutor())
    return tmp_path / "run", recipe, first / "run"


def test_what_failed_is_tried_again_and_the_rest_is_reused(spoiled, monkeypatch):
    run_dir, recipe, sound = spoiled
    manifest = run_dir / "manifest.duckdb"
    [run_id] = read(manifest, "SELECT run_id FROM runs")["run_id"].to_pylist()
    before = failures(manifest, run_id)
    assert "decoder_lost" in before.values()
    again = curate(recipe, run_dir, LocalExecutor())
    assert again.run_id == run_id, "the same command alone changes nothing"
    with raises_code("nothing_failed"):
        retry_failed(run_dir, "another_reason")
    counts = retry_failed(run_dir, "decoder_lost")
    assert sum(counts.values()) == list(before.values()).count("decoder_lost")
    decoded: list[str] = []
    looked = ImagePass.__call__
    monkeypatch.setattr(
        ImagePass,
        "__call__",
        lambda self, refs: (decoded.extend(refs["ref"].to_pylist()), looked(self, refs))[1],
    )
    retried = curate(recipe, run_dir, LocalExecutor())
    assert retried.run_id != run_id
    assert dict(times_retried(run_dir)) == {"images": 1}
    reused = [stage.stage for stage in retried.stages if stage.reused]
    assert reused == ["ingest"]
    pictures = read(manifest, "SELECT count(*) AS n FROM images WHERE run_id = $1", [run_id])
    assert 0 < len(decoded) < pictures["n"][0].as_py() + len(decoded)
    # Every picture that could be decoded all along comes from the cache.
    kept = read(manifest, "SELECT ref FROM images WHERE run_id = $1", [run_id])["ref"].to_pylist()
    assert not set(decoded) & set(kept)
    expected = contents(sound / "manifest.duckdb")
    found = contents(manifest, retried.run_id)
    for name in ("rows", "samples", "images", "decisions", "scores", "clusters"):
        assert found[name] == expected[name], name


def test_from_python_a_retry_names_what_failed_as_the_command_does(spoiled):
    run_dir, recipe, sound = spoiled
    before = ms.open_run(run_dir)
    with raises_code("option_invalid", option="retry"):
        ms.curate(recipe, run_dir, ray=False, retry="dropped")
    with raises_code("nothing_failed"):
        ms.curate(recipe, run_dir, ray=False, retry="failed:another_reason")
    again = ms.curate(recipe, run_dir, ray=False, retry="failed:decoder_lost")
    assert dict(times_retried(run_dir)) == {"images": 1}
    assert contents(again.manifest)["decisions"] == contents(sound / "manifest.duckdb")["decisions"]
    found = ms.diff(run_dir)
    assert (found.before.run_id, found.after.run_id) == (before.run_id, again.run_id)
    assert "returned" in {line["change"] for line in found.counts.to_pylist()}
