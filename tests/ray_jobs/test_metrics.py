"""What a run reports becomes metrics of Ray, and the dashboard shows exactly those."""

from __future__ import annotations

import dataclasses
import json
import re
import time
import urllib.request

import pytest

from medsift.progress import (
    StageAdvanced,
    StageFinished,
    StageStarted,
    StageWarned,
    StepLine,
    TrialFinished,
)
from ray_jobs.metrics import METRICS, TAGS, Metering, samples
from tests.conftest import REPOSITORY

DASHBOARD = REPOSITORY / "ray_jobs" / "grafana" / "medsift.json"
STEP = StepLine(
    **{field.name: 1.0 for field in dataclasses.fields(StepLine)}
    | {"step": 7, "held_out_loss": None, "data_wait": 0.25}
)
EVENTS = (
    StageStarted("embed", 10, "images"),
    StageStarted("dedup", None, "pairs"),
    StageAdvanced("embed", 4),
    StageFinished("embed", 10, 7, 2, 1, 3.5, False),
    StageWarned("embed", "careful"),
    STEP,
    dataclasses.replace(STEP, held_out_loss=0.5),
    TrialFinished("a", False, None),
    TrialFinished("b", False, "no"),
)


def values(event: object, units: dict[str, str] | None = None) -> dict[str, float]:
    return {
        sample.name + "".join(f" {value}" for value in sample.tags.values()): sample.value
        for sample in samples(event, units or {})
    }


def test_rows_of_a_finished_stage_add_up():
    assert values(EVENTS[3]) == {
        "medsift_stage_seconds embed": 3.5,
        "medsift_rows embed kept": 7,
        "medsift_rows embed dropped": 2,
        "medsift_rows embed failed": 1,
    }


def test_progress_names_its_unit_and_an_unknown_total_is_left_out():
    assert values(EVENTS[2], {"embed": "images"}) == {"medsift_stage_done embed images": 4}
    assert values(EVENTS[0], {"embed": "images"}) == {"medsift_stage_planned embed images": 10}
    assert values(EVENTS[1]) == {}


def test_a_step_without_a_held_out_loss_leaves_the_last_one():
    assert "medsift_training_held_out_loss" not in values(STEP)
    assert values(STEP)["medsift_training_data_wait"] == 0.25


def test_every_metric_has_a_source_and_the_tags_that_it_declares():
    seen = {}
    for event in EVENTS:
        for sample in samples(event, {"embed": "images"}):
            assert set(sample.tags) == set(METRICS[sample.name].tags)
            seen[sample.name] = sample
    assert set(seen) == set(METRICS)


def test_the_dashboard_shows_every_metric_and_no_other_with_tags_that_they_have():
    dashboard = json.loads(DASHBOARD.read_text(encoding="utf-8"))
    shown = set()
    for panel in dashboard["panels"]:
        for target in panel["targets"]:
            [name] = re.findall(r"ray_(medsift_\w+?)(?:_total)?\{", target["expr"])
            shown.add(name)
            tags = {*TAGS, *METRICS[name].tags}
            assert set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"])) <= tags
            counted = f"ray_{name}_total" in target["expr"]
            assert counted == (METRICS[name].kind == "counter")
    assert shown == set(METRICS)
    places = [tuple(panel["gridPos"].values()) for panel in dashboard["panels"]]
    assert len(set(places)) == len(places)


def test_without_ray_events_only_pass():
    passed: list[object] = []
    listener = Metering("run", "curate", passed.append)
    for event in EVENTS:
        listener(event)
    assert passed == list(EVENTS)


@pytest.mark.ray
def test_ray_serves_them_under_the_names_that_the_dashboard_asks_for(ray_session):
    import ray

    listener = Metering("my-run", "curate", lambda event: None)
    for event in EVENTS:
        listener(event)
    [node] = [one for one in ray.nodes() if one["Alive"]]
    address = f"http://{node['NodeManagerAddress']}:{node['MetricsExportPort']}/metrics"
    asked = set(re.findall(r"ray_medsift_\w+", DASHBOARD.read_text(encoding="utf-8")))
    deadline, served = time.monotonic() + 60, set()
    while not asked <= served and time.monotonic() < deadline:
        with urllib.request.urlopen(address, timeout=30) as answer:
            text = answer.read().decode()
        served = set(re.findall(r"^(ray_medsift_\w+)\{", text, re.MULTILINE))
        time.sleep(1)
    assert asked - {"ray_medsift_"} <= served
    # Other tests of the session may have counted rows of their own runs.
    rows = re.findall(r"^ray_medsift_rows\{[^}]*dropped[^}]*\} .*$", text, re.MULTILINE)
    [line] = [one for one in rows if "my-run" in one]
    assert 'run="my-run"' in line
    assert 'stage="embed"' in line
    assert line.endswith(" 2.0")
