"""Ray runs the same workers to the same bytes."""

from __future__ import annotations

import pyarrow as pa
import pytest

from medsift.errors import InputError
from medsift.execution import LocalExecutor, Resources
from ray_jobs.executor import RayExecutor, worker_share

pytestmark = pytest.mark.ray


def doubles(item):
    yield {"numbers": pa.table({"number": [2 * number for number in item]})}


def refuses(item):
    raise InputError(f"cannot read {item}", code="file_unreadable", item=item)


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
    with pytest.raises(InputError) as caught:
        RayExecutor().stream([[7]], lambda: refuses, tmp_path, lambda rows: None)
    assert caught.value.values == {"item": [7]}


def test_run_keeps_the_order_of_items(ray_session):
    assert list(RayExecutor().run(lambda number: number + 1, [3, 1, 2])) == [4, 2, 3]


def test_run_hands_on_an_error_of_ours_after_the_results_before_it(ray_session):
    def refuse(number):
        if number == 2:
            raise InputError(f"cannot read {number}", code="file_unreadable", number=number)
        return number

    results = iter(RayExecutor().run(refuse, range(40)))
    assert [next(results), next(results)] == [0, 1]
    with pytest.raises(InputError) as caught:
        next(results)
    assert caught.value.values == {"number": 2}


def test_run_takes_more_items_than_are_submitted_at_once(ray_session):
    assert list(RayExecutor().run(lambda number: -number, range(50))) == [-n for n in range(50)]


@pytest.mark.parametrize(
    ("cluster", "expected"),
    [
        ({"CPU": 8.0}, (1.0, 0.0)),
        ({"CPU": 2.0, "GPU": 1.0}, (2.0, 1.0)),
        ({"CPU": 64.0, "GPU": 8.0}, (4.0, 1.0)),
        ({"CPU": 2.0, "GPU": 4.0}, (1.0, 1.0)),
    ],
)
def test_a_worker_with_a_model_asks_for_no_more_than_its_share(cluster, expected):
    assert worker_share(Resources(accelerated=True, lasting=True), cluster) == expected
    assert worker_share(Resources(), cluster) == (1.0, 0.0)
