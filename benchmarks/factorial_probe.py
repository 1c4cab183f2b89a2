"""Probe one pool of the factorial: train on subsets of its rows, ask its test split."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curation.current_samples import read_samples
from curation.pool import build_graph
from curation.pool.pool import pool_of
from curation.probe.answers import answer_classes
from curation.probe.heap import Heap, load_heap
from curation.probe.pool_figures import pool_figures, read_doubts
from curation.probe.settings import ArmConfig
from curation.probe.space import EXACT_UP_TO, probe_space
from curation.probe.subsets import ArmSelector, draw_random
from curation.probe.trainings import ProbeTrainer, Trainings
from curation.recipe import Recipe
from curation.selection.load_inputs import read_scores
from curation.selection.method import Candidates
from curation.stage_outputs import Upstream
from medsift.arrays import Indices
from medsift.execution import LocalExecutor
from medsift.leakage_groups import components
from medsift.reorder import sorted_rows

SHARES: Final = (0.05, 0.1, 0.2, 0.5)
"""Sizes at which arms select, as shares of the distinct rows."""
BEYOND: Final = (1.0, 2.0)
"""Further sizes of `random`, as far as there are rows."""
DRAWS: Final = 16
DRAWS_OF_ARMS: Final = 6
DRAWS_BEYOND: Final = 4
RARE: Final = 2
"""Patients that must give an answer for it to be a class: rare cells must not drop out."""
ARMS: Final = [
    ArmConfig.model_validate(arm)
    for arm in (
        "stratified_random",
        {"name": "equal_strata", "method": {"kind": "stratified_random"}, "quotas": "equal"},
        "facility_location",
        {"name": "facility_equal", "method": {"kind": "facility_location"}, "quotas": "equal"},
        {"name": "coverage_only", "method": {"kind": "facility_location", "quality_weight": 0}},
        "cluster_temperature",
        "top_score",
        "k_center",
    )
]


def probe_pool(upstream: Upstream, recipe: Recipe, distinct: int, seed: int) -> pa.Table:
    """Return what each arm answers on the test split: a row for each arm and size.

    Args:
        upstream: The stages of the pool's run, up to its scores.
        recipe: Its recipe.
        distinct: Rows that it had before any were repeated.
        seed: Seed of draws.
    """
    heap = load_heap(upstream, recipe.strata)
    samples = read_samples(upstream)
    test = sorted_rows(samples.filter(pc.equal(samples["split"], "test")), ["sample_id", "row_id"])
    everyone = pa.concat_tables([heap.samples.samples, test])
    pool = pool_of(everyone, upstream, recipe.strata, shared_space=False)
    group = components(pool.samples, pool.images, "patient")
    answers = answer_classes(pool.samples, group, RARE)
    usable = answers.label >= 0
    place = np.arange(len(pool))
    everything = place[(place < len(heap)) & usable]
    kept = place[: len(heap)][heap.in_pool & usable[: len(heap)]]
    asked = place[(place >= len(heap)) & usable]
    exact = replace(probe_space(pool.vectors, seed), exact_up_to=len(pool))
    train = ProbeTrainer(exact, answers, group)
    selector = ArmSelector(
        pool, kept, recipe.graph, recipe.neighbors, read_scores(upstream), LocalExecutor()
    )
    cells: list[tuple[str, int, list[Indices]]] = []
    sizes = [round(share * distinct) for share in SHARES]
    for size in sizes:
        for name, rows in (("random", everything), ("dedup_random", kept)):
            cells.append((name, size, _draws(rows, size, DRAWS, seed)))
    for arm in ARMS:
        subsets_of = selector.draws(arm, sizes, DRAWS_OF_ARMS, seed)
        cells += [(arm.name, size, subsets) for size, subsets in subsets_of.items()]
    cells.append(("dedup_random", len(kept), [kept]))
    for share in BEYOND:
        size = round(share * distinct)
        if size < len(everything):
            cells.append(("random", size, _draws(everything, size, DRAWS_BEYOND, seed)))
    rows = [
        _row(name, size, train(Trainings(name, 0.0, 0, subsets, asked)))
        for name, size, subsets in cells
    ]
    # As `medsift probe` does: above a size the kernel of all rows is approximated.
    whole = (
        train
        if len(everything) <= EXACT_UP_TO
        else replace(train, space=probe_space(pool.vectors, seed))
    )
    rows.append(
        _row("full", len(everything), whole(Trainings("full", 1.0, 0, [everything], asked)))
    )
    cluster = np.unique(group[asked], return_inverse=True)[1].tolist()
    ids = pool.samples["sample_id"].take(pa.array(asked)).to_pylist()
    facts = {"all_rows": len(everything), "kept": len(kept)} | _figures(heap, upstream, recipe)
    return pa.Table.from_pylist(
        [{**row, **facts, "cluster": cluster, "asked": ids} for row in rows]
    )


def _figures(heap: Heap, upstream: Upstream, recipe: Recipe) -> dict[str, Any]:
    """Return the figures by which `medsift probe` diagnoses the pool."""
    engine = LocalExecutor()
    pool = heap.samples.take(np.flatnonzero(heap.in_pool))
    graph = build_graph(pool.vectors, recipe.graph, recipe.neighbors, engine.run)
    candidates = Candidates(pool, graph, recipe.graph, recipe.neighbors)
    figures = pool_figures(heap, candidates, read_doubts(upstream, recipe, heap), engine)
    return {
        "redundancy": figures.redundancy,
        "coverage": figures.coverage,
        "doubts": None if figures.doubts is None else figures.doubts.share,
        "evenness": figures.evenness,
        "largest": figures.largest,
        "smallest": figures.smallest,
    }


def _draws(rows: Indices, size: int, count: int, seed: int) -> list[Indices]:
    return [draw_random(rows, size, (seed, draw)) for draw in range(count)]


def _row(arm: str, size: int, correct: Any) -> dict[str, Any]:
    """Return an arm's cell: the share of draws (n,) that answer each test question rightly."""
    return {"arm": arm, "samples": size, "draws": len(correct), "right": correct.mean(0).tolist()}


def distinct_rows(data: Path) -> int:
    """Count the training rows of a pool before any were repeated."""
    import json

    import pyarrow.parquet as pq

    copies = pc.sum(
        pc.is_valid(pq.read_table(data / "truth.parquet")["original_row_index"])
    ).as_py()
    lines = (data / "samples.jsonl").read_text(encoding="utf-8").splitlines()
    return sum(json.loads(line)["split"] == "train" for line in lines) - (copies or 0)
