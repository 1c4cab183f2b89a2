"""Ray runs the same workers to the same bytes."""

from __future__ import annotations

import pyarrow as pa
import pytest

from curation.errors import InputError
from curation.execution import LocalExecutor
from ray_jobs.executor import RayExecutor

pytestmark = pytest.mark.ray


def doubles(item):
    yield {"numbers": pa.table({"number": [2 * number for number in item]})}


def refuses(item):
    raise InputError(f"cannot read {item}")


def contents(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.rglob("*.parquet"))}


def test_ray_and_local_write_the_same_bytes(ray_session, tmp_path):
    items = [[1, 2], [3], [4, 5, 6]]
    LocalExecutor().stream(items, lambda: doubles, tmp_path / "local", lambda rows: None)
    seen: list[int] = []
    RayExecutor().stream(items, lambda: doubles, tmp_path / "ray", seen.append)
    assert contents(tmp_path / "ray") == contents(tmp_path / "local")
    assert sorted(seen) == [1, 2, 3]


def test_an_error_of_ours_arrives_as_itself(ray_session, tmp_path):
    with pytest.raises(InputError, match=r"cannot read \[7\]"):
        RayExecutor().stream([[7]], lambda: refuses, tmp_path, lambda rows: None)


def test_run_keeps_the_order_of_items(ray_session):
    assert list(RayExecutor().run(lambda number: number + 1, [3, 1, 2])) == [4, 2, 3]
