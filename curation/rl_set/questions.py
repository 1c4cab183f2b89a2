"""Decide which questions a policy is trained on, from counts of right replies to each."""

from __future__ import annotations

from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from curation.rl_set.usefulness import expected_usefulness
from medsift.config import Config
from medsift.manifest.schema import arrow_schema

THIRDS: Final = ("easy", "medium", "hard")
QUESTIONS: Final = arrow_schema("rollout_questions", without=("rollouts",))


class RlSetConfig(Config):
    """Settings of the set of questions that is kept."""

    group: int = Field(8, ge=2)
    """Replies of a group in the training to come."""
    min_usefulness: float = Field(0.5, ge=0.0, le=1.0)
    """Least probability that the rewards of such a group differ."""
    per_cell: int | None = Field(None, ge=1)
    """Most questions of one modality, task type and third of difficulty; null keeps all."""
    most: int | None = Field(None, ge=1)
    """Most questions in all, the most useful ones; null keeps all."""


def decide(counts: pa.Table, config: RlSetConfig) -> pa.Table:
    """Return a ``QUESTIONS`` table: each question with its usefulness, its third, and a verdict.

    Suspects are questions that the model answers no better than by chance, and as well with a blank
    picture: their label may be wrong. They are kept from training and listed for review.

    Args:
        counts: `sample_id, row_id, modality, task_type, chance, drawn, correct, unparsed, cut,
            unanswered, blank_drawn, blank_correct`, one line a question.
        config: what is kept.
    """
    drawn, correct = _numbers(counts, "drawn"), _numbers(counts, "correct")
    useful = expected_usefulness(correct, drawn, config.group)
    share = correct / np.maximum(1, drawn)
    blank_drawn = _numbers(counts, "blank_drawn")
    blind = _numbers(counts, "blank_correct") / np.maximum(1, blank_drawn)
    chance = counts["chance"].to_numpy()
    suspect = (share <= chance) & (blank_drawn > 0) & (blind >= share)
    verdict = np.select(
        [drawn == 0, suspect, useful >= config.min_usefulness, share < 0.5],
        ["unanswered", "suspect", "kept", "too hard"],
        default="too easy",
    )
    table = counts.append_column("usefulness", pa.array(useful))
    table = table.append_column("verdict", pa.array(verdict.tolist(), pa.string()))
    table = table.append_column("third", pa.array(_thirds(table, share), pa.string()))
    cells = [pc.fill_null(table[name], "") for name in ("modality", "task_type", "third")]
    table = table.append_column("stratum", pc.binary_join_element_wise(*cells, "|"))
    if config.per_cell is not None:
        table = _at_most(table, config.per_cell, table["stratum"].to_pylist())
    if config.most is not None:
        table = _at_most(table, config.most, [""] * table.num_rows)
    return table.select(QUESTIONS.names).cast(QUESTIONS)


def _numbers(table: pa.Table, name: str) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    values: np.ndarray[tuple[int], np.dtype[np.int64]] = table[name].to_numpy().astype(np.int64)
    return values


def _thirds(
    table: pa.Table, share: np.ndarray[tuple[int], np.dtype[np.float64]]
) -> list[str | None]:
    """Return the third of difficulty of each kept question, within its modality and task type."""
    thirds: list[str | None] = [None] * table.num_rows
    kept = np.flatnonzero(np.array(table["verdict"].to_pylist()) == "kept")
    names = [pc.fill_null(table[name], "") for name in ("modality", "task_type")]
    cells = np.array(pc.binary_join_element_wise(*names, "|").to_pylist())[kept]
    ids = np.array(table["sample_id"].to_pylist())[kept]
    for cell in np.unique(cells):
        own = kept[cells == cell]
        # Equal shares are ordered by id, so that the order of rows changes nothing.
        ranked = own[np.lexsort((ids[cells == cell], -share[own]))]
        for place, index in enumerate(ranked.tolist()):
            thirds[index] = THIRDS[place * len(THIRDS) // len(ranked)]
    return thirds


def _at_most(table: pa.Table, most: int, cells: list[str]) -> pa.Table:
    """Give the least useful questions beyond the most of each of the cells (n) verdict `quota`."""
    verdict = np.array(table["verdict"].to_pylist(), dtype=object)
    strata, ids = np.array(cells), np.array(table["sample_id"].to_pylist())
    useful = table["usefulness"].to_numpy()
    for stratum in np.unique(strata):
        own = np.flatnonzero((strata == stratum) & (verdict == "kept"))
        beyond = own[np.lexsort((ids[own], -useful[own]))][most:]
        verdict[beyond] = "quota"
    place = table.column_names.index("verdict")
    return table.set_column(place, "verdict", pa.array(verdict.tolist(), pa.string()))
