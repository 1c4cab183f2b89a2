"""Kill runs and trainings by SIGKILL at random moments, repeat the command, compare the contents.

    python -m benchmarks.soak --folder DIR [--targets driver actor ...] [--seeds 0] [--images 32]
    python -m benchmarks.soak --folder DIR --table

A chain is one run directory with a cold cache, whose command is killed in one stage after the
other. `driver` is `medsift curate --local`, and `driver on Ray` is `medsift curate --ray` on one
machine. `worker` (a process of Ray that runs tasks), `actor` (one that has the encoder), `node of
2`, `node of 4` (every process of a node) and `head` are of a test cluster with a token, all on this
machine. `disk` is a file system that is too small and then made larger (it needs the right to
mount). `train driver`, `train driver on Ray` and `train worker` are of `medsift train`. A command
that a kill ended is repeated until it ends well. Then every table of the manifest without its
times, and every byte of the stages' tables or of the adapter's weights, are compared with those of
an uninterrupted run in one process. Chains are recorded in DIR/kills.jsonl; started again, a soak
continues there.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from statistics import mean
from typing import Any, Final

import psutil

from benchmarks.soak_commands import COMMAND_SECONDS, Attempt, Workplace
from benchmarks.soak_contents import differences
from benchmarks.soak_plan import DISK, STAGES, TARGETS, TRAINING, Chain, Kill, plan
from benchmarks.soak_victims import (
    NODES,
    Cluster,
    end_group,
    is_idle,
    title,
    work_processes,
)

MOST_FAILURES: Final = 3
HEAD_SECONDS: Final = 600
"""Ray's own patience with a head that is gone is 60 seconds."""
VICTIM_SECONDS: Final = 30
IDLE_SECONDS: Final = 5
"""How long a process that has a task is waited for, before one that has none is taken."""
SHORT_SECONDS: Final = 0.5
"""A stage that takes less is over before the kill unless this comes at once."""
LARGE: Final = 1 << 30
SURVIVED: Final = ("worker", "actor", "node of 2", "node of 4", "train worker")
"""Targets without which the command continues by itself."""
Record = dict[str, Any]


class Soak:
    """Carries out chains of kills in one folder, on clusters of its own."""

    def __init__(self, place: Workplace) -> None:
        self.place = place
        self.cluster: Cluster | None = None
        self.count = 0

    def run(self, chain: Chain) -> Record:
        """Carry out a chain; return its record."""
        reference = self.place.reference(chain.target)
        self._provide_nodes(NODES.get(chain.target, 0))
        self.place.clear(chain.target)
        kills: list[Record] = []
        said: list[str] = []
        began = time.monotonic()
        with self._disk(chain.target) as resize:
            if chain.target == DISK:
                exits = self._run_out_of_space(chain, reference.disk, resize, kills, said)
            else:
                exits = self._run_killed(chain, reference.stages, kills, said)
            seconds = time.monotonic() - began
            found = self.place.contents(chain.target) if exits[-1] == 0 else {}
        different = differences(found, reference.contents)
        return {
            "target": chain.target,
            "seed": chain.seed,
            "number": chain.number,
            "kills": kills,
            "exits": exits,
            "seconds": round(seconds, 1),
            "lost": round(seconds - reference.seconds, 1),
            "resumed": exits[-1] == 0,
            "equal": not different,
            "different": different[:20],
            "said": said[-20:],
        }

    def _run_killed(
        self, chain: Chain, usual: Mapping[str, float], kills: list[Record], said: list[str]
    ) -> list[int]:
        """Repeat the command until it ends well, and kill meanwhile; return its exit statuses."""
        exits: list[int] = []
        pending, failures = list(chain.kills), 0
        while (not exits or exits[-1] != 0) and failures <= MOST_FAILURES:
            struck = len(kills)
            attempt = self.place.start(chain.target, self._joined())
            while pending:
                hit = self._strike(chain, pending[0], attempt, usual)
                if hit is None:
                    break
                kills.append(asdict(pending.pop(0)) | hit)
                if chain.target not in SURVIVED:
                    break
            limit = HEAD_SECONDS if chain.target == "head" else COMMAND_SECONDS
            exits.append(_end(attempt, limit, said))
            if chain.target == "head":
                self._end_nodes()
                self._provide_nodes(NODES[chain.target])
            failures += len(kills) == struck
        return exits

    def _run_out_of_space(
        self,
        chain: Chain,
        usual: Mapping[str, tuple[int, int]],
        resize: Callable[[int], None],
        kills: list[Record],
        said: list[str],
    ) -> list[int]:
        """Run on disks that are full within a stage, then on a large one; return statuses."""
        exits = []
        for kill in chain.kills:
            begun, most = usual[kill.stage]
            resize(int(begun + kill.share * (most - begun)))
            attempt = self.place.start(chain.target, {})
            exits.append(_end(attempt, COMMAND_SECONDS, said))
            kills.append(asdict(kill) | {"hit": attempt.stage(), "code": attempt.error_code})
        resize(LARGE)
        exits.append(_end(self.place.start(chain.target, {}), COMMAND_SECONDS, said))
        return exits

    def _strike(self, chain: Chain, kill: Kill, attempt: Attempt, usual: Any) -> Record | None:
        """Wait for the kill's moment, and kill; return what was hit, None where nothing was."""
        while (begun := attempt.moment(kill.stage)) is None:
            if attempt.process.poll() is not None:
                return None
            time.sleep(0.01)
        if usual[kill.stage] > SHORT_SECONDS:
            time.sleep(max(0.0, begun + kill.share * usual[kill.stage] - time.monotonic()))
        victims: list[psutil.Process] = []
        if chain.target.endswith(("worker", "actor")):
            victims = self._victims(chain.target, attempt)
        if attempt.process.poll() is not None:
            return None
        hit: Record = {"hit": TRAINING if kill.stage == TRAINING else attempt.stage()}
        if "driver" in chain.target:
            attempt.process.kill()
        elif chain.target == "head" and self.cluster is not None:
            self.cluster.call("kill_head")
        elif chain.target.startswith("node") and self.cluster is not None:
            self.cluster.call("kill_node", int(kill.share * 1000))
            self.cluster.call("fill_up")
        elif victims:
            victim = victims[int(kill.share * 1000) % len(victims)]
            hit["victim"] = title(victim)
            victim.send_signal(signal.SIGKILL)
        else:
            return None
        return hit

    def _victims(self, target: str, attempt: Attempt) -> list[psutil.Process]:
        """Return the processes that do the work, once there is one; idle ones after a while."""
        began = time.monotonic()
        while (waited := time.monotonic() - began) < VICTIM_SECONDS:
            if attempt.process.poll() is not None:
                break
            raylets = [] if self.cluster is None else self.cluster.call("raylets")
            victims = work_processes([attempt.process.pid, *raylets], target)
            if victims and (waited > IDLE_SECONDS or not all(map(is_idle, victims))):
                return victims
            time.sleep(0.02)
        return []

    def _joined(self) -> dict[str, str]:
        """Return the variables of a command that joins the cluster, where there is one."""
        if self.cluster is None:
            return {}
        return self.cluster.variables | {"RAY_ADDRESS": self.cluster.call("address")}

    def _provide_nodes(self, count: int) -> None:
        """Have a cluster of so many nodes, or none; one that fits is kept."""
        if count != self.count:
            self._end_nodes()
        if self.cluster is None and count:
            self.cluster, self.count = Cluster(count), count

    def _end_nodes(self) -> None:
        if self.cluster is not None:
            self.cluster.end()
        self.cluster, self.count = None, 0

    @contextmanager
    def _disk(self, target: str) -> Iterator[Callable[[int], None]]:
        """Make the run directory a disk of its own where the target is one; yield its resizing."""
        if target != DISK:
            yield lambda size: None
            return
        self.place.run_dir.mkdir()
        place = str(self.place.run_dir)
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1g", "soak", place], check=True)

        def resize(size: int) -> None:
            # A file system cannot be made smaller than what is on it.
            there = os.statvfs(place)
            used = (there.f_blocks - there.f_bfree) * there.f_frsize
            option = f"remount,size={max(size, used)}"
            subprocess.run(["mount", "-o", option, place], check=True)

        try:
            yield resize
        finally:
            subprocess.run(["umount", "--lazy", place], check=True)

    def end(self) -> None:
        """End the cluster."""
        self._end_nodes()


def _end(attempt: Attempt, seconds: float, said: list[str]) -> int:
    """Wait for a command's end, and end what it left; note what it said; return its status."""
    if not attempt.ended(seconds):
        said.append(f"still there after {seconds} s")
    end_group(attempt.process.pid)
    said += [line for line in attempt.errors if "error" in line.lower()][-4:]
    return int(attempt.process.returncode)


def table(records: Sequence[Record]) -> Iterator[str]:
    """Yield the lines of the table, by target and by the stage that was at work."""
    yield "| target | stage | kills | ended well | equal | seconds lost by a kill |"
    yield "|---|---|---|---|---|---|"
    targets, stages = list(TARGETS), [*STAGES, TRAINING]
    rows = [(record, kill) for record in records for kill in record["kills"]]
    keys = {(targets.index(r["target"]), stages.index(k["hit"])) for r, k in rows}
    for target, stage in sorted(keys):
        these = [
            record
            for record, kill in rows
            if (record["target"], kill["hit"]) == (targets[target], stages[stage])
        ]
        lost = mean(record["lost"] / len(record["kills"]) for record in these)
        yield f"| {targets[target]} | {stages[stage]} | {_counts(these)} | {lost:.0f} |"
    yield f"| all | | {_counts([record for record, _ in rows])} | |"


def _counts(records: Sequence[Record]) -> str:
    resumed, equal = (sum(record[name] for record in records) for name in ("resumed", "equal"))
    return f"{len(records)} | {resumed} | {equal}"


def main() -> int:
    """Carry out the chains that are not recorded yet; return 1 where one changed something."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--targets", nargs="+", choices=list(TARGETS), default=list(TARGETS))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--images", type=int, default=32)
    parser.add_argument("--table", action="store_true", help="print the table of what is recorded")
    options = parser.parse_args()
    path: Path = options.folder / "kills.jsonl"
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    records = [json.loads(line) for line in lines]
    if options.table:
        print(*table(records), sep="\n")
        return 0
    done = {(record["target"], record["seed"], record["number"]) for record in records}
    soak = Soak(Workplace(options.folder, options.images))
    try:
        for chain in (chain for seed in options.seeds for chain in plan(seed, options.targets)):
            if (chain.target, chain.seed, chain.number) in done:
                continue
            records.append(soak.run(chain))
            with path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(records[-1]) + "\n")
            print(json.dumps(records[-1]), flush=True)
    finally:
        soak.end()
    return int(not all(record["equal"] for record in records))


if __name__ == "__main__":
    raise SystemExit(main())
