"""The time of a worker's item is divided into that of its model and that without it."""

from __future__ import annotations

import time

import pytest

from medsift.device_clock import WAITED, WORKED, DeviceClock, waiting_share


def test_work_waiting_and_loading_are_told_apart():
    clock = DeviceClock()
    with clock.item():
        with clock.loading():
            time.sleep(0.3)
        time.sleep(0.1)
        for _ in range(2):
            with clock.working():
                time.sleep(0.1)
    assert clock.spent[WORKED] == pytest.approx(0.2, abs=0.1)
    assert clock.spent[WAITED] == pytest.approx(0.1, abs=0.1)
    assert waiting_share(clock.spent) == pytest.approx(1 / 3, abs=0.2)


def test_an_item_that_needs_no_model_counts_for_nothing():
    clock = DeviceClock()
    with clock.item(), clock.working():
        time.sleep(0.01)
    with clock.item():
        time.sleep(0.01)
    assert clock.spent == {}
    assert waiting_share(clock.spent) is None
