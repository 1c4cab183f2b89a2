"""Batches come in order from a thread that takes no core away from training."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from training.dataset.collate import prefetch


@pytest.fixture
def two_threads():
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(threads)


def test_the_collating_thread_computes_by_itself_and_training_keeps_its_threads(two_threads: None):
    def collate(batch: Any) -> Any:
        # An operation that would begin a team, as resizing a picture does.
        torch.ones(1 << 16).mul_(2.0)
        return SimpleNamespace(batch=batch, threads=torch.get_num_threads())

    found = [fed.micro for fed in prefetch(collate, range(6), ahead=2)]
    assert [one.batch for one in found] == list(range(6))
    assert {one.threads for one in found} == {1}
    assert torch.get_num_threads() == 2


def test_an_error_arrives_where_its_batch_would_have_come():
    def collate(batch: int) -> int:
        if batch == 3:
            raise ValueError("no picture")
        return batch

    taken = []
    with pytest.raises(ValueError, match="no picture"):
        taken += [fed.micro for fed in prefetch(collate, range(6))]
    done = prefetch(collate, range(6))
    assert [next(done).micro for _ in range(3)] == [0, 1, 2]
    with pytest.raises(ValueError, match="no picture"):
        next(done)
