"""What a cluster cannot run is refused in one line, before a task waits for ever."""

from __future__ import annotations

import itertools
import random

import pytest

from ray_jobs import cluster_room
from ray_jobs.cluster_room import Request, require_room
from tests.expect import raises_code


def most_by_trying(request: Request, nodes: list[dict[str, float]]) -> int:
    """Place one after another on any node with room until none has."""
    left = [dict(node) for node in nodes]
    placed = 0
    for node in itertools.chain.from_iterable(itertools.repeat(one, 100) for one in left):
        if all(node.get(kind, 0.0) + 1e-9 >= amount for kind, amount in request.bundle.items()):
            for kind, amount in request.bundle.items():
                node[kind] -= amount
            placed += 1
    return placed


@pytest.mark.parametrize("seed", range(200))
def test_as_many_fit_as_can_be_placed_one_by_one(seed):
    draw = random.Random(seed)
    nodes = [
        {"CPU": float(draw.randrange(9)), **({"GPU": float(draw.randrange(3))} if seed % 2 else {})}
        for _ in range(draw.randrange(5))
    ]
    request = Request(
        "tasks", 1, draw.choice([0.1, 0.3, 1.0, 2.0, 3.0]), draw.choice([0.0, 0.5, 1])
    )
    assert request.fits(nodes) == most_by_trying(request, nodes)


def test_cpus_of_two_nodes_do_not_make_one_worker():
    nodes = [{"CPU": 2.0}, {"CPU": 2.0}]
    assert Request("workers", 1, cpus=4.0).fits(nodes) == 0
    assert Request("workers", 2, cpus=2.0).fits(nodes) == 2


def test_without_a_cluster_what_does_not_fit_is_refused_at_once(monkeypatch):
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr(cluster_room, "live_nodes", lambda: [{"CPU": 2.0}])
    require_room(Request("workers", 2))
    with raises_code("cluster_too_small", wanted=3, fits=2, bundle={"CPU": 1.0}) as caught:
        require_room(Request("workers", 3))
    for part in ("3 workers", "1 CPU each", "2 CPU and 0 GPU"):
        assert part in str(caught.value)


def test_a_wait_that_is_no_number_is_refused(monkeypatch):
    monkeypatch.setattr(cluster_room, "live_nodes", list)
    monkeypatch.setenv("MEDSIFT_SCALE_UP_SECONDS", "soon")
    with raises_code("option_invalid", option="MEDSIFT_SCALE_UP_SECONDS"):
        require_room(Request("workers"))


@pytest.mark.ray
def test_a_cluster_that_does_not_grow_in_time_is_refused(ray_session, monkeypatch, caplog):
    monkeypatch.setenv("MEDSIFT_SCALE_UP_SECONDS", "0.1")
    with raises_code("cluster_too_small", wanted=1, fits=0, bundle={"CPU": 64.0, "GPU": 1.0}):
        require_room(Request("workers", cpus=64.0, gpus=1.0))
    assert "waiting up to" in caplog.text
    require_room(Request("tasks", 2))
