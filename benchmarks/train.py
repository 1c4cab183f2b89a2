"""The training loop next to a bare PyTorch loop: steps a second, losses, waiting for data.

Run: python benchmarks/train.py [--steps 8] [--rounds 3] [--samples 2] [--alone].

All train adapters of the embedded vision-language model on the same batches of phantoms, two
batches a step, and begin with the same weights. The bare loop has all its tensors ready before it
starts, and computes logits at learned tokens alone; it neither logs nor keeps anything. MedSift
decodes pictures, tokenises, logs every step (JSON Lines, TensorBoard) and keeps a checkpoint at the
end: alone, and, in the first round, on Ray Train. Alone it takes turns with the bare loop by
rounds. With Ray Train, whose start takes longer than many steps, the bare loop takes turns by
steps: the speed of a machine that others share may change by half within a minute. A ratio is the
median, over rounds and steps, of what a step took in both; the first steps are left out.

Losses have to agree between loops that cut sums into as many pieces as each other: by as many
threads in all. One thread rounds otherwise than two, and training grows the difference.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

import numpy as np
from numpy.typing import NDArray

from medsift.progress import StepLine
from training.prepare import Prepared, prepare
from training.recipe import TrainingRecipe

Doubles = NDArray[np.float64]

TARGET, MOST_WAITING = 0.95, 0.05
AGREE = 1e-3  # nats
WARM_UP = 2
BATCHES = 2  # of a step: two workers have one each
RATE = 1e-4
IMAGES = 30
CURATION = """
name: train
sources:
  - {{name: phantoms, reader: table, path: {root}/samples.jsonl, image_root: {root}/images}}
encoder: {{kind: embedded}}
failures: {{tolerance: 0.5}}
selections:
  - {{name: all, method: {{kind: random}}, budget: {{fraction: 1.0}}}}
"""


class Curve(NamedTuple):
    """Seconds (n,) and losses (n,) of the steps after the first ones, and the share of waiting."""

    seconds: Doubles
    losses: Doubles
    waiting: float | None


def training(folder: Path, steps: int, samples: int) -> TrainingRecipe:
    """Curate phantoms, and say how they are trained on."""
    from curation.phantoms import make_phantoms
    from curation.pipeline import curate
    from curation.recipe import parse_recipe
    from medsift.execution import LocalExecutor

    made = make_phantoms(folder / "phantoms", images=IMAGES, seed=0)
    curation = parse_recipe(CURATION.format(root=made.root), [f"cache={folder / 'cache'}"])
    curate(curation, folder / "run", LocalExecutor())
    return TrainingRecipe.model_validate(
        {
            "name": "bench",
            "run": folder / "run",
            "base": {"kind": "embedded_vlm"},
            "data": {"weights": "none"},
            "optimiser": {"lr": RATE, "schedule": "constant", "warmup_ratio": 0.0},
            "batches": {"samples": samples, "grad_accumulation_steps": BATCHES},
            "steps": WARM_UP + steps,
            "precision": "float32",
            "checkpoints": {"interval_steps": None},
        }
    )


def bare(prepared: Prepared) -> Curve:
    """All steps of the bare loop."""
    taken, losses = zip(*bare_steps(prepared), strict=True)
    return Curve(np.array(taken)[WARM_UP:], np.array(losses)[WARM_UP:], None)


def bare_steps(prepared: Prepared) -> Iterator[tuple[float, float]]:
    """The loop one writes first, its data ready: seconds and loss of every step."""
    import torch
    from torch.nn.functional import cross_entropy

    plan, collate = prepared.training.plan, prepared.training.collator
    steps = [[collate(batch) for batch in plan.batches(step)] for step in range(plan.steps)]
    model, device = prepared.model.get_base_model(), prepared.base.device
    learning = [part for part in model.parameters() if part.requires_grad]
    optimiser = torch.optim.AdamW(learning, lr=RATE, weight_decay=0.0)
    for micros in steps:
        start = time.perf_counter()
        optimiser.zero_grad()
        count, total = sum(len(micro.targets) for micro in micros), 0.0
        for micro in (micro.to(device) for micro in micros):
            hidden = model.model(**micro.inputs, use_cache=False)[0]
            logits = model.lm_head(hidden[micro.rows, micro.positions])
            loss = cross_entropy(logits, micro.targets, reduction="sum") / count
            loss.backward()  # type: ignore[no-untyped-call]
            total += float(loss.detach())
        torch.nn.utils.clip_grad_norm_(learning, 1.0)
        optimiser.step()
        yield time.perf_counter() - start, total


def alone(prepared: Prepared, folder: Path) -> Curve:
    """MedSift's loop in this process."""
    from training.loop.checkpoint import FolderCheckpointStore
    from training.loop.logs import Journal
    from training.loop.loop import train

    lines: list[StepLine] = []
    recipe = prepared.recipe
    folder.mkdir()
    train(
        prepared,
        FolderCheckpointStore(folder / "checkpoints", count=1),
        lambda resumed: Journal(folder, recipe.log, recipe.name, resumed),
        watch=lines.append,
    )
    return told(lines)


def single(prepared: Prepared) -> Curve:
    """The bare loop on one thread: it rounds as workers of one core do."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return bare(prepared)
    finally:
        torch.set_num_threads(threads)


class Gate:
    """An actor that keeps the events of a training, and makes it wait until the gate is opened."""

    def __init__(self) -> None:
        self.events: list[Any] = []
        self.opened = asyncio.Event()

    async def push(self, event: Any, seconds: float) -> None:
        """Add an event and the seconds before it; return once the gate was opened."""
        self.opened.clear()
        self.events.append((event, seconds))
        await self.opened.wait()

    async def drain(self) -> list[Any]:
        """Return the events since the last call."""
        events, self.events = self.events, []
        return events

    async def open(self) -> None:
        """Let the training continue."""
        self.opened.set()


class Turns:
    """Replaces a training's event queue: a worker that reports an event waits for its turn."""

    def __init__(self, gate: Any) -> None:
        self.gate, self.push, self.since = gate, self, time.perf_counter()

    @property
    def drain(self) -> Any:
        """Return the actor's method that the driver calls."""
        return self.gate.drain

    def remote(self, event: Any) -> None:
        """Report an event, and wait."""
        import ray

        ray.get(self.gate.push.remote(event, time.perf_counter() - self.since))
        self.since = time.perf_counter()


def in_turn(prepared: Prepared, recipe: TrainingRecipe, folder: Path) -> tuple[Curve, Curve]:
    """Ray Train with one worker, and the bare loop, one step each in turn."""
    from ray_jobs.cluster import connected
    from ray_jobs.event_queue import EventQueue
    from ray_jobs.training import train_on_ray

    lines, seconds, steps = [], [], bare_steps(prepared)
    bares: list[tuple[float, float]] = []
    os.environ.setdefault("RAY_worker_niceness", "0")
    with connected(os.cpu_count()):
        import ray

        gate: Any = ray.remote(num_cpus=0)(Gate)
        turns = Turns(gate.remote())

        def listen(said: Any) -> None:
            event, took = said
            if isinstance(event, StepLine):
                lines.append(event)
                seconds.append(took)
                bares.append(next(steps))
            ray.get(turns.gate.open.remote())

        with patch.object(EventQueue, "start", lambda: turns):
            train_on_ray(placed(recipe, folder, 1), listen)
    taken, losses = (np.array(those)[WARM_UP:] for those in zip(*bares, strict=True))
    ours = told(lines)
    return ours._replace(seconds=np.array(seconds)[WARM_UP:]), Curve(taken, losses, None)


def placed(recipe: TrainingRecipe, folder: Path, workers: int) -> TrainingRecipe:
    """The training with its files in a folder of its own, its batches dealt to workers."""
    settings = recipe.resolved()
    settings["workers"]["count"] = workers
    settings["batches"]["grad_accumulation_steps"] = BATCHES // workers
    settings["checkpoints"]["storage"] = str(folder)
    return TrainingRecipe.model_validate(settings)


def on_ray(recipe: TrainingRecipe, folder: Path, workers: int) -> Curve:
    """The same on a Ray Train whose workers have one core each."""
    from ray_jobs.cluster import connected
    from ray_jobs.training import train_on_ray

    lines: list[StepLine] = []
    # Ray's workers give way to whatever else runs; here they are compared with what does not.
    os.environ.setdefault("RAY_worker_niceness", "0")
    with connected(workers):
        train_on_ray(
            placed(recipe, folder, workers),
            lambda one: lines.append(one) if isinstance(one, StepLine) else None,
        )
    return told(lines)


def told(lines: Sequence[StepLine]) -> Curve:
    """What the lines of a training say; a step lasts from one line to the next."""
    ends = np.array([line.seconds for line in lines])
    seconds = np.diff(ends)[WARM_UP - 1 :]
    losses = np.array([line.loss for line in lines])[WARM_UP:]
    waited = np.array([line.data_wait for line in lines])[WARM_UP:]
    return Curve(seconds, losses, float(np.average(waited, weights=seconds)))


class Runs:
    """Curves of every loop, by its name, a row (1, n) a round."""

    def __init__(self) -> None:
        self.curves: dict[str, list[Curve]] = {}

    def add(self, name: str, curve: Curve) -> None:
        """Enter a round."""
        self.curves.setdefault(name, []).append(curve)

    def seconds(self, name: str) -> Doubles:
        """Seconds (rounds, n) of a loop's steps."""
        return np.stack([curve.seconds for curve in self.curves[name]])

    def ratio(self, name: str, reference: str) -> float:
        """How many steps of a loop fall on one of another."""
        return float(np.median(self.seconds(reference) / self.seconds(name)))

    def waiting(self, name: str) -> float | None:
        """Share of its time that a loop waited for data."""
        shares = [one.waiting for one in self.curves[name] if one.waiting is not None]
        return float(np.median(shares)) if shares else None

    def apart(self, names: Sequence[str]) -> float:
        """By how much losses of any two of some loops, or of their rounds, differ, in nats."""
        losses = [curve.losses for name in names for curve in self.curves.get(name, ())]
        return float(np.ptp(np.stack(losses), axis=0).max()) if losses else 0.0


BARE, ALONE = "bare PyTorch loop", "medsift alone"
ON_RAY, IN_TURN = "medsift on Ray Train", "bare loop in turn with it"
ONE, TWO = "one worker of one core", "two workers of one core"
SINGLE = "bare loop of one thread"
AGREEING = ((BARE, ALONE, ON_RAY, IN_TURN), (SINGLE, ONE, TWO))


def measure(recipe: TrainingRecipe, folder: Path, rounds: int, ray: bool) -> Runs:
    """Let the loops take turns."""
    runs = Runs()
    with closing(prepare(recipe)) as prepared:
        first = {name: part.detach().clone() for name, part in learned(prepared)}
        for turn in range(rounds):
            for name in (BARE, ALONE)[:: 1 if turn % 2 == 0 else -1]:
                begin_again(prepared, first)
                here = folder / f"alone-{turn}"
                runs.add(name, bare(prepared) if name == BARE else alone(prepared, here))
            if ray and turn == 0:
                begin_again(prepared, first)
                ours, theirs = in_turn(prepared, recipe, folder / "in-turn")
                runs.add(ON_RAY, ours)
                runs.add(IN_TURN, theirs)
                begin_again(prepared, first)
                runs.add(SINGLE, single(prepared))
                for name, workers in ((ONE, 1), (TWO, 2)):
                    runs.add(name, on_ray(recipe, folder / f"ray-{workers}", workers))
    return runs


def begin_again(prepared: Prepared, first: dict[str, Any]) -> None:
    """Put the first weights back."""
    for name, part in learned(prepared):
        part.data.copy_(first[name])


def learned(prepared: Prepared) -> list[tuple[str, Any]]:
    """What is trained, by name."""
    return [item for item in prepared.model.named_parameters() if item[1].requires_grad]


def show(runs: Runs) -> None:
    """Print the table, and what was aimed at."""
    print(f"{'':28}{'step s':>8}{'steps/s':>9}{'of bare':>9}{'waiting':>9}")
    for name in runs.curves:
        seconds, waiting = float(np.median(runs.seconds(name))), runs.waiting(name)
        share = "" if waiting is None else f"{waiting:.1%}"
        reference = {ALONE: BARE, ON_RAY: IN_TURN}.get(name)
        ratio = "" if reference is None else f"{runs.ratio(name, reference):.3f}"
        print(f"{name:28}{seconds:>8.2f}{1 / seconds:>9.2f}{ratio:>9}{share:>9}")
    if TWO in runs.curves:
        print(f"two workers take {runs.ratio(TWO, ONE):.2f} times the steps of one")
    print(f"wanted: {TARGET:.2f} of the bare loop or more, {MOST_WAITING:.0%} of waiting or less")
    differ = " and ".join(f"{runs.apart(names):.1e}" for names in AGREEING)
    print(f"losses of as many threads differ by at most {differ} nats")


def main() -> None:
    """Measure and print; fail where losses differ."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--steps", type=int, default=8, help="steps measured, after two others")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--samples", type=int, default=2, help="of a batch; a step has two")
    parser.add_argument("--alone", action="store_true", help="leave out Ray")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        recipe = training(Path(folder), given.steps, given.samples)
        runs = measure(recipe, Path(folder), given.rounds, not given.alone)
    print(
        f"adapters of the embedded vision-language model, {BATCHES} x {given.samples} phantom "
        f"samples a step, {given.rounds} x {given.steps} steps, load {os.getloadavg()[0]:.1f}"
    )
    show(runs)
    if max(runs.apart(names) for names in AGREEING) > AGREE:
        raise SystemExit("losses differ")


if __name__ == "__main__":
    main()
