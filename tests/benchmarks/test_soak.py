"""Commands killed by SIGKILL at six places end, when repeated, with what they have without it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.soak import Soak, table
from benchmarks.soak_commands import Workplace
from benchmarks.soak_contents import differences
from benchmarks.soak_plan import STAGES, TARGETS, Chain, Kill, plan


@pytest.fixture(scope="module")
def soak(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Soak]:
    made = Soak(Workplace(tmp_path_factory.mktemp("soak"), images=16))
    yield made
    made.end()


@pytest.mark.nightly
@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize(
    ("target", "kills"),
    [
        ("driver", [Kill("images", 0.6), Kill("score", 0.5)]),
        ("driver", [Kill("publish", 0.4)]),
        pytest.param("worker", [Kill("images", 0.2)], marks=pytest.mark.cluster),
        pytest.param("node of 2", [Kill("images", 0.4)], marks=pytest.mark.cluster),
        pytest.param("head", [Kill("images", 0.6)], marks=pytest.mark.cluster),
        ("train driver", [Kill("training", 0.3)]),
    ],
    ids=["driver in stages", "driver at publish", "worker", "node", "head", "training"],
)
def test_what_was_killed_ends_with_the_contents_of_an_uninterrupted_run(
    soak: Soak, target: str, kills: list[Kill]
):
    record = soak.run(Chain(target, 0, 0, tuple(kills)))
    assert len(record["kills"]) == len(kills), record
    assert record["different"] == [], record
    assert record["equal"]
    assert record["exits"][-1] == 0
    if "driver" in target:
        assert record["exits"] == [-9] * len(kills) + [0]


def test_a_plan_is_the_same_whatever_else_is_planned_and_names_at_least_fifty_kills():
    whole = plan(3)
    assert sum(len(chain.kills) for chain in whole) >= 50
    assert [chain for chain in whole if chain.target == "worker"] == plan(3, ["worker"])
    assert whole != plan(4)
    assert {chain.target for chain in whole} == set(TARGETS)
    driver = {kill.stage for chain in plan(3, ["driver"]) for kill in chain.kills}
    assert driver == set(STAGES)


def test_a_difference_is_named_and_a_table_counts_kills_by_the_stage_that_was_hit(tmp_path: Path):
    assert differences({"a": 1, "b": 2}, {"a": 1, "b": 3, "c": 4}) == ["b", "c"]
    kills = [{"hit": "images"}, {"hit": "embed"}]
    good = {"target": "driver", "kills": kills, "lost": 6.0, "resumed": True, "equal": True}
    lines = list(table([good, good | {"kills": kills[:1], "equal": False}]))
    assert lines[2:] == [
        "| driver | images | 2 | 2 | 1 | 4 |",
        "| driver | embed | 1 | 1 | 1 | 3 |",
        "| all | | 3 | 3 | 2 | |",
    ]
