"""Curves: every line on disk, none twice after a restart, and packages that are missing named."""

from __future__ import annotations

import json
import struct
from dataclasses import replace
from pathlib import Path

import pytest
from tensorboardX.proto.event_pb2 import Event

from medsift.progress import StepLine
from tests.expect import raises_code
from training.loop.logs import STEPS, Journal, read_lines
from training.recipe import LogConfig

LINE = StepLine(
    step=1,
    epoch=0.5,
    loss=2.0,
    held_out_loss=None,
    learning_rate=1e-4,
    grad_norm=3.0,
    samples=8,
    tokens=80,
    supervised_tokens=16,
    seconds=1.0,
    samples_per_second=8.0,
    tokens_per_second=80.0,
    mfu=None,
    peak_memory_mb=100.0,
    data_wait=0.01,
)


def journal(folder: Path, resumed: int = 0, **settings) -> Journal:
    return Journal(folder, LogConfig(**{"tensorboard": False} | settings), "tiny", resumed)


def test_lines_after_the_step_that_was_resumed_from_are_written_anew(tmp_path: Path):
    first = journal(tmp_path)
    for step in (1, 2, 3):
        first.write(replace(LINE, step=step))
    with (tmp_path / STEPS).open("a") as file:
        file.write('{"step": 4, "lo')
    again = journal(tmp_path, resumed=2)
    again.write(replace(LINE, step=3, loss=1.5))
    again.close()
    first.close()
    assert [(line["step"], line["loss"]) for line in read_lines(tmp_path / STEPS)] == [
        (1, 2.0),
        (2, 2.0),
        (3, 1.5),
    ]


def test_a_line_is_on_disk_when_it_is_written(tmp_path: Path):
    opened = journal(tmp_path)
    opened.write(LINE)
    assert json.loads((tmp_path / STEPS).read_text())["grad_norm"] == 3.0
    opened.close()


def events(folder: Path) -> list[Event]:
    """The records of TensorBoard's files: length, checksum, data, checksum."""
    found = []
    for path in sorted(folder.iterdir()):
        data, place = path.read_bytes(), 0
        while place < len(data):
            (length,) = struct.unpack_from("<Q", data, place)
            found.append(Event.FromString(data[place + 12 : place + 12 + length]))
            place += length + 16
    return found


def test_tensorboard_shows_every_figure_that_there_is(tmp_path: Path):
    opened = journal(tmp_path, tensorboard=True)
    opened.write(LINE)
    opened.write(replace(LINE, step=2, held_out_loss=1.25))
    opened.close()
    figures = {
        (event.step, value.tag): value.simple_value
        for event in events(tmp_path / "tensorboard")
        for value in event.summary.value
    }
    assert figures[1, "loss"] == 2.0
    assert figures[2, "held_out_loss"] == 1.25
    assert (1, "held_out_loss") not in figures
    assert (1, "mfu") not in figures


@pytest.mark.parametrize("package", ["mlflow", "wandb"])
def test_a_package_that_is_not_there_is_named(tmp_path: Path, package: str, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with raises_code("package_missing", package=package):
        journal(tmp_path, **{package: "project"})
