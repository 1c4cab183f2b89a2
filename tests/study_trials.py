"""Trials of a study that exist in arithmetic only: models that are right so often."""

from __future__ import annotations

from datetime import datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from evaluation.study_results import study_results
from evaluation.study_scores import Trial
from medsift.manifest import RunRecord, append_tables, write_manifest
from medsift.statistics import Resampling

START = datetime(2026, 1, 1)
BY = ("modality", "modality / task_type", "view")
ITEMS, IMAGES = 120, 60
GAINS = {"small": 0.75, "random": 0.6, "stratified_random": 0.65, "longest": 0.5, "full": 0.8}


def replies(seed, right, variants=("original",), benchmark="vqa"):
    """Scored predictions of a model that is right so often."""
    places = np.arange(ITEMS)
    tables = []
    for number, variant in enumerate(variants):
        rng = np.random.default_rng([seed, number])
        share = right if variant == "original" else 0.4
        table = pa.table(
            {
                "benchmark": [benchmark] * ITEMS,
                "variant": [variant] * ITEMS,
                "item_id": [f"q{place:03}" for place in places],
                "image_id": [f"i{place % IMAGES}" for place in places],
                "modality": np.array(["ct", "mr", "xray"])[places % 3],
                "task_type": pa.array([None if place % 10 == 9 else "side" for place in places]),
                "extra": ['{"view": "front"}' if place % 2 else None for place in places],
                "parse_status": np.where(rng.random(ITEMS) < 0.1, "unparsed", "parsed"),
                "score": (rng.random(ITEMS) < share).astype(float),
            }
        )
        # A variant cannot be made of every item.
        tables.append(table if variant == "original" else table.slice(0, 100))
    return pa.concat_tables(tables)


def trials_of(variants=("original",), seeds=(0, 1, 2), budgets=(("10%", 12), ("50%", 60))):
    found = [Trial("untrained", "0", 0, 0, replies(99, 0.3, variants))]
    for number, (arm, right) in enumerate(GAINS.items()):
        for budget, samples in [("100%", 120)] if arm == "full" else budgets:
            found += [
                Trial(
                    arm,
                    budget,
                    samples,
                    seed,
                    replies(1000 * number + samples * 10 + seed, right, variants),
                )
                for seed in seeds
            ]
    return found


def write_study(path, trials, name="is_it_enough", failed=(), **changed):
    """A manifest with the study of the trials: results, trainings with curves, accuracies."""
    results = study_results(trials, 0.05, BY, Resampling(draws=199))
    study = {
        "study_id": f"{name}-1",
        "name": name,
        "created_at": START,
        "finished_at": START,
        "status": "incomplete" if failed else "done",
        "trials": len(trials) + len(failed),
        "failed": len(failed),
        "seeds": sorted({one.seed for one in trials}),
        "same": "steps",
        "margin": 0.05,
        "benchmarks": ["vqa"],
        "protocol": "strict",
        "contaminated": False,
        "recipe": '{"training": {"steps": 40}}',
        "packages": '{"medsift": "0"}',
        **changed,
    }
    lines = [_line(one) | {"status": "done", "study_id": study["study_id"]} for one in trials]
    lines += [line | {"status": "failed", "study_id": study["study_id"]} for line in failed]
    done = [line for line in lines if line.get("training_id")]
    steps = [
        {"training_id": line["training_id"], "step": step, "epoch": step / 10, "loss": 3 / step}
        for line in done
        for step in range(1, 41)
    ]
    metrics = [
        {
            "evaluation_id": line["evaluation_id"],
            "benchmark": "vqa",
            "variant": "original",
            "facet": "all",
            "metric": "accuracy",
            "value": pc.mean(one.predictions.filter(_original(one.predictions))["score"]).as_py(),
        }
        for line, one in zip(lines, trials, strict=False)
    ]
    ids = pa.array([study["study_id"]] * results.num_rows, pa.string())
    tables = {
        "studies": pa.Table.from_pylist([study]),
        "study_trials": pa.Table.from_pylist(lines),
        "study_results": results.append_column("study_id", ids),
        "metrics": pa.Table.from_pylist(metrics),
        "trainings": pa.Table.from_pylist(
            [
                {
                    "training_id": line["training_id"],
                    "steps": 40,
                    "samples": 320,
                    "loss": 0.075,
                    "seconds": 12.0,
                    "seed": line["seed"],
                }
                for line in done
            ]
        ),
        "training_steps": pa.Table.from_pylist(steps),
    }
    write_manifest(path, {}, RunRecord("one", "test", START))
    append_tables(path, "one", {key: table for key, table in tables.items() if table.num_rows})
    return path


def _line(one):
    trained = one.arm != "untrained"
    name = f"{one.arm}.{one.budget}.s{one.seed}"
    return {
        "arm": one.arm,
        "budget": one.budget,
        "samples": one.samples,
        "seed": one.seed,
        "error": None,
        "selection": f"{one.arm}.{one.budget}" if trained else None,
        "training_id": f"{name}-t" if trained else None,
        "evaluation_id": f"{name}-e",
    }


def _original(table):
    return pc.equal(table["variant"], "original")
