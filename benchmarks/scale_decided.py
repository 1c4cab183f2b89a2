"""Write the stages from `embed` to `score` of a synthetic pool as what is planted decides them.

It takes seconds where running them takes an hour: for measuring `score` and `select` on large
pools. Dropped is the later row of each planted pair, one patient of ten is held out, and nothing
leaks.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa

from benchmarks.scale_pool import BLOCK, PICTURES, image_name, planted, row_name, row_numbers
from curation.ledger import Balance
from curation.pipeline import mark_finished, planned_outputs
from curation.recipe import Recipe
from curation.stage_outputs import StageOutputs
from curation.stages import STAGES
from curation.stages.stage import FinishedStage
from medsift import records
from medsift.arrays import Indices

BLOCKS_AT_ONCE = 500
HELD_OUT = 10
"""One patient in so many is held out."""


def write_decided(folder: Path, recipe: Recipe, blocks: int, seed: int) -> None:
    """Write every stage up to `decontaminate` that the pool in a folder does not have yet."""
    finished: list[FinishedStage] = []
    rows = blocks * BLOCK
    for stage in STAGES:
        if stage.name == "score":
            return
        if not stage.applies(recipe):
            continue
        outputs = planned_outputs(stage, recipe, folder / "run", finished)
        dropped = len(planted(np.arange(blocks))[0]) if stage.name == "dedup" else 0
        balance = Balance(stage.name, rows, rows - dropped, dropped, 0)
        rows -= dropped
        if not outputs.folder.exists():
            for ordinal, first in enumerate(range(0, blocks, BLOCKS_AT_ONCE)):
                some = np.arange(first, min(first + BLOCKS_AT_ONCE, blocks))
                _write(outputs, some, seed, ordinal)
            mark_finished(outputs, balance, 0.0, ())
        finished.append(FinishedStage(outputs, balance, 0.0, False, ()))


def _write(outputs: StageOutputs, blocks: Indices, seed: int, ordinal: int) -> None:
    if outputs.stage == "dedup":
        pairs = zip(*(rows.tolist() for rows in planted(blocks)), strict=True)
        dropped = [
            records.decision(
                row_name(copy), "dedup", records.DROPPED, "planted", witness=row_name(original)
            )
            for copy, original in pairs
        ]
        outputs.decisions.write(records.decisions(dropped), ordinal)
        names = [
            [image_name(seed, block, number) for number in range(PICTURES)]
            for block in blocks.tolist()
        ]
        # The fifth picture of a block is a copy of its first.
        groups = [[*block[:-1], block[0]] for block in names]
        columns = [[name for block in table for name in block] for table in (names, groups)]
        outputs.groups.write(pa.Table.from_arrays(columns, schema=records.GROUPS), ordinal)
    elif outputs.stage == "split":
        rows = row_numbers(blocks)
        # Two blocks are of one patient.
        held_out = rows // (2 * BLOCK) % HELD_OUT == 0
        split = np.where(held_out, "test", "train").tolist()
        table = pa.table({"row_id": [row_name(row) for row in rows.tolist()], "split": split})
        outputs.updates.write(table.cast(outputs.schemas["updates"]), ordinal)
