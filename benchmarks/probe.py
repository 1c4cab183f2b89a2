"""`medsift probe` on pools that double: CPU and wall seconds, next to scikit-learn's KernelRidge.

    python benchmarks/probe.py [--samples 1250 2500 5000] [--ray] [--learner kernel|network]

Nine methods, six budgets, twenty draws, on planted samples of pictures that share answers by what
they show and what is asked, a tenth as many copies, and vectors as wide as the embedded encoder's.
Every size runs in a process of its own. `whole` is everything that the command does after a run is
loaded: folds, graphs, selections, trainings, intervals. The peer carries out the same trainings,
its regularisation chosen on the same parts, by `KernelRidge` on the same kernel matrix, without
any selection; its answers must be ours. Bounds: 120 s for 5,000 samples and 20 minutes for 50,000
(`--samples 50000 --peer-up-to 0`) on two quiet cores.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from curation.neighbors import NeighborsConfig
from curation.pool import GraphConfig, Pool, SampleVectors, stratum_names
from curation.probe.heap import Heap
from curation.probe.kernel_learner import RIDGES, deal
from curation.probe.least_squares import equal_weights
from curation.probe.results import result_rows
from curation.probe.run_probe import ProbeInputs, ProbeRun, run_probe
from curation.probe.settings import ProbeConfig
from curation.probe.trainings import ProbeTrainer, Trainings
from curation.selection.quality import Scores
from medsift import records
from medsift.arrays import Doubles, Floats, Indices
from medsift.execution import LocalExecutor

METHODS: list[Any] = ["facility_location", "cluster_temperature", "k_center", "stratified_random"]
METHODS += ["longest", "top_score", "deita", "prototype_pruning"]
# A sixty-fourth of the samples: `target` takes at most 1,000.
ASKED_ABOUT = "modality = 'ct' AND question = 'question 3?'"
METHODS.append({"name": "target", "method": {"kind": "target", "where": ASKED_ABOUT}})
SETTINGS = {"arms": METHODS, "budgets": [0.02, 0.05, 0.1, 0.2, 0.3, 0.5], "draws": 20}
IMAGE, TEXT, SHOWN, ASKED, ANSWERS = 1280, 384, 12, 16, 60
VARIED = 24
"""Directions in which items of one kind differ."""
MODALITIES = np.array(["ct", "mr", "xray", "ultrasound"])
KIB = 1024


def planted_inputs(samples: int) -> ProbeInputs:
    """A pool of pictures with four questions each, and copies of a tenth of it."""
    rng = np.random.default_rng(samples)
    picture = np.arange(samples) // 4
    shown = rng.integers(0, SHOWN, picture[-1] + 1)[picture]
    asked = rng.integers(0, ASKED, samples)
    answer = rng.integers(0, ANSWERS, (SHOWN, ASKED))[shown, asked]
    answer = np.where(rng.random(samples) < 0.1, rng.integers(0, ANSWERS, samples), answer)
    rows = np.concatenate([np.arange(samples), rng.permutation(samples)[: samples // 10]])
    table = pa.Table.from_pylist(
        [
            {
                "sample_id": f"{row:08d}",
                "row_id": f"planted:{place}",
                "source": "planted",
                "modality": str(MODALITIES[shown[row] % 4]),
                "answer_type": "closed" if asked[row] % 2 else "open",
                "question": f"question {asked[row]}?",
                "answer": f"answer {answer[row]:04d}" + "." * (asked[row] % 7),
                "messages": [
                    {"role": "user", "content": f"question {asked[row]}?"},
                    {"role": "assistant", "content": f"answer {answer[row]:04d}"},
                ],
                "images": [f"picture {picture[row]}"],
            }
            for place, row in enumerate(rows.tolist())
        ],
        records.SAMPLES,
    )
    vectors = SampleVectors(
        image=_around(shown, IMAGE, rng, picture)[rows],
        question=_around(asked, TEXT, rng, np.arange(samples))[rows],
        answer=_around(answer, TEXT, rng, np.arange(samples))[rows],
        shared_space=False,
    )
    strata = stratum_names(table, ["modality", "answer_type"])
    mass = np.ones(len(rows))
    pool = Pool(table, records.IMAGES.empty_table(), vectors, mass, strata)
    heap = Heap(pool, np.arange(len(rows)) < samples, picture[rows])
    return ProbeInputs(heap, Scores(None), GraphConfig(), NeighborsConfig())


def _around(kind: Indices, width: int, rng: np.random.Generator, item: Indices) -> Floats:
    """Unit vectors (n, width) around one centre for each kind; equal for equal items."""
    centre = rng.standard_normal((int(kind.max()) + 1, width), dtype=np.float32)
    along = rng.standard_normal((VARIED, width), dtype=np.float32) / np.float32(VARIED**0.5)
    noise = rng.standard_normal((int(item.max()) + 1, VARIED), dtype=np.float32) @ along
    vectors = centre[kind] + noise[item]
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)


class Recording:
    """Runs in this process and remembers the trainings with their answers."""

    def __init__(self) -> None:
        self.local = LocalExecutor()
        self.trainer: Any = None
        self.done: list[tuple[Trainings, Doubles]] = []

    def stream(self, *arguments: Any, **more: Any) -> None:
        """Stream as this process does."""
        self.local.stream(*arguments, **more)

    def run(self, function: Callable[[Any], Any], items: Sequence[Any]) -> Iterator[Any]:
        """Apply the function, one item after another."""
        for item, result in zip(items, self.local.run(function, items), strict=True):
            if isinstance(item, Trainings):
                self.trainer = function
                self.done.append((item, result))
            yield result


def peer(trainer: ProbeTrainer, done: list[tuple[Trainings, Doubles]]) -> tuple[float, float]:
    """Carry out the same trainings by scikit-learn.

    Returns CPU seconds, and the share of its answers that are ours.
    """
    from sklearn.kernel_ridge import KernelRidge  # type: ignore[import-untyped]

    kernel, answers = trainer.space.matrix, trainer.answers
    hot = np.eye(len(answers.classes))[answers.label]

    def right(rows: Indices, asked: Indices, ridge: float) -> Doubles:
        weight = equal_weights(answers.label[rows])
        mean = weight @ hot[rows] / weight.sum()
        model = KernelRidge(alpha=ridge, kernel="precomputed")
        model.fit(kernel[np.ix_(rows, rows)], hot[rows] - mean, sample_weight=weight)
        return answers.correct(asked, model.predict(kernel[np.ix_(asked, rows)]) + mean)

    started, same, asked_in_all = time.process_time(), 0, 0
    for trainings, ours in done:
        rows = trainings.subsets[0]
        fold = deal(trainer.group[rows])
        parts = [(rows[fold != out], rows[fold == out]) for out in np.unique(fold)]
        good = [sum(right(*part, ridge).sum() for part in parts) for ridge in RIDGES]
        ridge = max(zip(good, RIDGES, strict=True))[1]
        theirs = np.stack([right(own, trainings.asked, ridge) for own in trainings.subsets])
        same, asked_in_all = same + int((theirs == ours).sum()), asked_in_all + ours.size
    return time.process_time() - started, same / asked_in_all


def measure_on_ray(samples: int, learner: str) -> dict[str, Any]:
    """Probe one pool by tasks on a local Ray; its start counts."""
    from ray_jobs.cluster import connected
    from ray_jobs.executor import RayExecutor

    inputs = planted_inputs(samples)
    config = ProbeConfig.model_validate({**SETTINGS, "learner": {"kind": learner}})
    wall = time.perf_counter()
    with connected():
        done = run_probe(inputs, config, 0, RayExecutor())
    list(result_rows(done.answers, config.margin, 0))
    return {"wall": time.perf_counter() - wall, **_accuracies(done)}


def measure(samples: int, learner: str, compared: bool) -> dict[str, Any]:
    """Probe one pool in this process."""
    inputs, executor = planted_inputs(samples), Recording()
    settings = {**SETTINGS, "learner": {"kind": learner}, "spread_above": 0}
    config = ProbeConfig.model_validate(settings)
    wall, cpu = time.perf_counter(), time.process_time()
    done = run_probe(inputs, config, 0, executor)
    trained = time.process_time() - cpu
    list(result_rows(done.answers, config.margin, 0))
    found: dict[str, Any] = {
        "wall": time.perf_counter() - wall,
        "cpu": time.process_time() - cpu,
        "intervals": time.process_time() - cpu - trained,
        "mebibytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / KIB,
        "trainings": sum(len(each.subsets) for each, _ in executor.done),
        **_accuracies(done),
    }
    if compared:
        found["peer"], found["same"] = peer(executor.trainer, executor.done)
    return found


def _accuracies(done: ProbeRun) -> dict[str, float]:
    return {
        "full": float(done.answers.full.correct.mean()),
        "random": float(done.answers.cell("random", 0.1).correct.mean()),
    }


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--samples", type=int, nargs="+", default=[1250, 2500, 5000])
    parser.add_argument("--learner", choices=["kernel", "network"], default="kernel")
    parser.add_argument("--peer-up-to", type=int, default=5000)
    parser.add_argument("--ray", action="store_true", help="spread over the cores by Ray")
    parser.add_argument("--only", action="store_true", help="run one size, in this process")
    chosen = parser.parse_args()
    if chosen.only:
        if chosen.ray:
            print(json.dumps(measure_on_ray(chosen.samples[0], chosen.learner)))
            return
        compared = chosen.learner == "kernel" and chosen.samples[0] <= chosen.peer_up_to
        print(json.dumps(measure(chosen.samples[0], chosen.learner, compared)))
        return
    print(f"load {os.getloadavg()[0]:.1f}, {os.cpu_count()} CPUs", flush=True)
    for samples in chosen.samples:
        options = ["--only", "--samples", str(samples), "--learner", chosen.learner]
        options += ["--peer-up-to", str(chosen.peer_up_to), *(["--ray"] if chosen.ray else [])]
        command = [sys.executable, __file__, *options]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        one = json.loads(done.stdout.splitlines()[-1])
        process = (
            ""
            if chosen.ray
            else f", {one['cpu']:.1f} CPU s of which intervals {one['intervals']:.1f}, "
            f"{one['mebibytes']:,.0f} MiB, {one['trainings']:,} trainings"
        )
        print(
            f"{samples:,} samples: {one['wall']:.1f} s{process}; "
            f"accuracy {one['random']:.3f} (random, 10 %) to {one['full']:.3f} (full)",
            flush=True,
        )
        if "peer" in one:
            print(
                f"    KernelRidge {one['peer']:.1f} CPU s for the trainings alone, "
                f"{100 * one['same']:.3f} % of its answers are ours",
                flush=True,
            )


if __name__ == "__main__":
    main()
