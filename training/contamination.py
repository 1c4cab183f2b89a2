"""The gate: nothing is trained on that a benchmark of the recipe is known, or may be, to hold.

What curation found is read from the manifest; nothing is compared here. A benchmark is one that the
run's recipe names under `decontaminate`, or ``split:NAME`` for a split of the run itself.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple

from medsift.errors import LedgerError
from medsift.manifest import read
from medsift.vocabulary import NEAR
from training.recipe import TrainingRecipe

SPLIT: Final = "split:"
LEAVE_OUT: Final = "set leaks: drop to train on the others alone"
ALLOW: Final = "or set allow_contaminated: true, which is then written into every result"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What may be said of a selection.

    `contaminated` is whether training is allowed despite `reasons`; None where no benchmark was
    named, so that nobody looked. `left_out` are rows that are not trained on, and why.
    """

    benchmarks: tuple[str, ...] = ()
    contaminated: bool | None = None
    reasons: tuple[str, ...] = ()
    left_out: Mapping[str, str] = field(default_factory=dict)


class _Objection(NamedTuple):
    """A reason against training, what fixes it, and the rows that it is about, each in words."""

    reason: str
    mend: str
    rows: Mapping[str, str]


def check_contamination(
    manifest: Path, run_id: str, selection: str, recipe: TrainingRecipe
) -> Verdict:
    """The verdict on a selection that is compared with the recipe's benchmarks.

    Raises:
        LedgerError: a benchmark was not compared, or selected samples are near one and unresolved
            or known to be in it, and the recipe neither leaves them out nor allows it.
    """
    found = [
        objection
        for name in recipe.benchmarks
        for objection in _objections(manifest, run_id, selection, name)
    ]
    left_out: dict[str, str] = {}
    if recipe.leaks == "drop":
        for objection in reversed(found):
            left_out |= objection.rows
        found = [objection for objection in found if not objection.rows]
    if found and not recipe.allow_contaminated:
        raise LedgerError(
            f"{found[0].reason}: {found[0].mend}, {ALLOW}", code="selection_contaminated"
        )
    reasons = tuple(objection.reason for objection in found)
    contaminated = bool(found) if recipe.benchmarks else None
    return Verdict(recipe.benchmarks, contaminated, reasons, left_out)


def _objections(
    manifest: Path, run_id: str, selection: str, benchmark: str
) -> Iterator[_Objection]:
    """What speaks against training on a selection that is compared with one benchmark."""
    unchecked = _unchecked(manifest, run_id, benchmark)
    if unchecked is not None:
        yield _Objection(*unchecked, {})
        return
    known, near = _hits(manifest, run_id, selection, benchmark)
    of = f"of {_size(manifest, run_id, selection)} selected samples are"
    if known:
        reason = f"{len(known)} {of} in benchmark {benchmark!r}, for example {_example(known)}"
        yield _Objection(reason, LEAVE_OUT, known)
    if near:
        reason = f"{len(near)} {of} near benchmark {benchmark!r} and unresolved, for example "
        look = "look at the report's review list"
        yield _Objection(f"{reason}{_example(near)}", f"{look}, {LEAVE_OUT}", near)


def _unchecked(manifest: Path, run_id: str, benchmark: str) -> tuple[str, str] | None:
    """Why nobody knows whether a benchmark is among the samples; None where it is known."""
    if benchmark.startswith(SPLIT):
        return _without_split(manifest, run_id, benchmark.removeprefix(SPLIT))
    held = read(manifest, "SELECT recipe FROM runs WHERE run_id = $1", [run_id])
    recipe: dict[str, Any] = json.loads(held["recipe"][0].as_py() or "{}")
    listed = recipe.get("decontaminate", {}).get("benchmarks", [])
    names = [one["name"] for one in listed]
    if benchmark in names:
        return None
    return (
        f"benchmark {benchmark!r} was not compared with the samples; decontamination of run "
        f"{run_id} names {', '.join(names) or 'none'}",
        "index it, name it under decontaminate.benchmarks and curate again",
    )


def _without_split(manifest: Path, run_id: str, split: str) -> tuple[str, str] | None:
    """Leaks between the splits of a run are always listed, where it has such a split."""
    sql = "SELECT DISTINCT split FROM samples WHERE run_id = $1 AND split NOT NULL"
    names = sorted(read(manifest, sql, [run_id])["split"].to_pylist())
    if split in names:
        return None
    return (
        f"run {run_id} has no split {split!r} to hold the samples against; it has "
        f"{', '.join(names) or 'none'}",
        "set splits.assign and curate again",
    )


def _hits(
    manifest: Path, run_id: str, selection: str, benchmark: str
) -> tuple[dict[str, str], dict[str, str]]:
    """Selected rows that are known to be in a benchmark, and those near it, each in words."""
    lines = read(
        manifest,
        "SELECT row_id, verdict, item_id FROM leaks "
        "WHERE run_id = $run AND benchmark = $benchmark AND row_id IN "
        "(SELECT row_id FROM selections WHERE run_id = $run AND selection = $selection) "
        "ORDER BY similarity DESC NULLS LAST, row_id, item_id",
        {"run": run_id, "benchmark": benchmark, "selection": selection},
    ).to_pylist()
    known: dict[str, str] = {}
    near: dict[str, str] = {}
    for line in lines:
        words = f"{line['verdict']} as {line['item_id']} of {benchmark}"
        (near if line["verdict"] == NEAR else known).setdefault(line["row_id"], words)
    return known, {row: words for row, words in near.items() if row not in known}


def _example(rows: Mapping[str, str]) -> str:
    row, words = next(iter(rows.items()))
    return f"{row} ({words})"


def _size(manifest: Path, run_id: str, selection: str) -> int:
    held = read(
        manifest,
        "SELECT count(*) AS n FROM selections WHERE run_id = $1 AND selection = $2",
        [run_id, selection],
    )
    return int(held["n"][0].as_py())
