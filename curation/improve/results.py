"""Write an improvement as tables of the manifest."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa

from curation.improve.judging import TestFigures
from curation.improve.parts import Material
from curation.improve.rounds import LOOP, Round, Rounds
from medsift.manifest.schema import arrow_schema
from medsift.statistics import interval


def improve_tables(
    facts: Mapping[str, Any],
    rounds: Rounds,
    figures: Mapping[str, TestFigures],
    material: Material,
    candidate_ids: list[str],
) -> dict[str, pa.Table]:
    """Return the tables of an improvement.

    Args:
        facts: columns of `improvements` that the rounds do not know, with `improve_id`.
        rounds: those of the development.
        figures: of the test data, by arm.
        material: training part and validation data.
        candidate_ids: sample ids of the candidates, by row.
    """
    name = {"improve_id": facts["improve_id"]}
    curves = rounds.curves
    line = dict(facts) | {
        "created_at": datetime.now(UTC).replace(tzinfo=None),
        "settings": json.dumps(facts["settings"], sort_keys=True),
        "pool": int(rounds.have.sum()),
        "validation": len(rounds.asked),
        "cells": list(rounds.cells),
        "gain": curves.gain,
        "gain_low": curves.low,
        "gain_high": curves.high,
        "curves_used": curves.worthwhile,
    }
    cluster = material.group[rounds.asked].tolist()
    rows = {
        "improvements": [line],
        "improve_rounds": [name | _round_row(each, cluster, figures) for each in rounds.rounds],
        "improve_cells": [name | row for each in rounds.rounds for row in _cell_rows(each, rounds)],
        "improve_curves": [name | row for row in _curve_rows(rounds)],
        "improve_rows": [
            name | row
            for each in rounds.rounds
            if each.arm == LOOP
            for row in _reasons(each, material, candidate_ids)
        ],
    }
    return {
        table: pa.Table.from_pylist(lines, schema=arrow_schema(table))
        for table, lines in rows.items()
    }


def _round_row(
    each: Round, cluster: list[int], figures: Mapping[str, TestFigures]
) -> dict[str, Any]:
    accuracy = interval(1.0 - each.wrong, cluster)
    row = {
        "arm": each.arm,
        "round": each.number,
        "selection": each.selection,
        "parent": each.parent,
        "samples": int(each.counts.sum()),
        "by_failure": int((each.chosen.target >= 0).sum()),
        "accuracy": accuracy.value,
        "low": accuracy.low,
        "high": accuracy.high,
        "failures": int((each.wrong >= 0.5).sum()),
    }
    last = figures[each.arm]
    if last.round is not each:
        return row
    row |= {
        "test_accuracy": last.accuracy.value,
        "test_low": last.accuracy.low,
        "test_high": last.accuracy.high,
    }
    if last.gap is None:
        return row
    return row | {
        "test_difference": last.gap.value,
        "test_difference_low": last.gap.low,
        "test_difference_high": last.gap.high,
    }


def _cell_rows(each: Round, rounds: Rounds) -> Iterator[dict[str, Any]]:
    figures = (each.errors, each.shrunk, each.excess, each.change, each.p, each.adjusted)
    names = ("error", "shrunk", "excess", "change", "p", "p_holm")
    for place, cell in enumerate(rounds.cells):
        values = [float(part[place]) for part in figures]
        yield {
            "arm": each.arm,
            "round": each.number,
            "cell": cell,
            "pool": int(rounds.have[place]),
            "samples": int(each.counts[place]),
            "asked": int(rounds.asked_by_cell[place]),
            **{
                name: None if np.isnan(value) else value
                for name, value in zip(names, values, strict=True)
            },
        }


def _curve_rows(rounds: Rounds) -> Iterator[dict[str, Any]]:
    curves = rounds.curves
    for place, cell in enumerate(rounds.cells):
        curve = curves.curves[place]
        fitted = ("form", "epsilon", "beta", "alpha")
        yield {
            "cell": cell,
            "importance": float(rounds.importance[place]),
            **{name: getattr(curve, name) if curve else None for name in fitted},
            "pool": int(rounds.have[place]),
            "proportional": int(curves.proportional[place]),
            "best": int(curves.counts[place]),
            "advised": int(curves.advised[place]),
        }


def _reasons(each: Round, material: Material, ids: list[str]) -> Iterator[dict[str, Any]]:
    chosen, known = each.chosen, material.pool.sample_ids
    picks = zip(
        chosen.selection.order.tolist(),
        chosen.target.tolist(),
        chosen.similarity.tolist(),
        strict=True,
    )
    for row, target, similarity in picks:
        yield {
            "selection": each.selection,
            "sample_id": ids[row],
            "reason": "quota" if target < 0 else "failure",
            "target": None if target < 0 else known[target],
            "similarity": None if target < 0 else similarity,
            "parent": each.parent,
        }
