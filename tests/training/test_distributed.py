"""Workers of torch's process group, really two processes: sums, buckets, gradients that lack."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import torch

from training.loop.distributed import SingleProcess, sum_gradients

WORKER = """
import sys
import torch
import torch.distributed as group
from training.loop import distributed

rank, place = int(sys.argv[1]), sys.argv[2]
group.init_process_group("gloo", init_method=f"file://{place}", rank=rank, world_size=2)
me = distributed.ProcessGroup()
assert (me.rank, me.world_size) == (rank, 2)
distributed.BUCKET = 5
parts = [torch.nn.Parameter(torch.zeros(size)) for size in (3, 4, 1, 2)]
for place, part in enumerate(parts):
    if place != 2 or rank == 0:
        part.grad = torch.full_like(part, (rank + 1.0) * 10**place)
distributed.sum_gradients(parts, me)
me.barrier()
assert [part.grad.unique().tolist() for part in parts] == [[3.0], [30.0], [100.0], [3000.0]]
assert float(me.reduce_sum(torch.tensor(rank + 1.0))) == 3.0
group.destroy_process_group()  # else its threads may still run when the process ends: an abort
"""


def test_two_processes_sum_their_gradients(tmp_path: Path):
    command = [sys.executable, "-c", WORKER]
    workers = [
        subprocess.Popen([*command, str(rank), str(tmp_path / "meeting")], stderr=subprocess.PIPE)
        for rank in range(2)
    ]
    for worker in workers:
        _, told = worker.communicate(timeout=120)
        assert worker.returncode == 0, told.decode()


def test_alone_a_sum_is_what_was_given():
    part = torch.nn.Parameter(torch.zeros(2))
    part.grad = torch.ones(2)
    sum_gradients([part], SingleProcess())
    assert part.grad.tolist() == [1.0, 1.0]
    SingleProcess().barrier()
