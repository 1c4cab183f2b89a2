"""The gate: nothing is trained on that a benchmark of the recipe is known, or may be, to hold.

What curation found is read from the manifest; nothing is compared here. A benchmark is one that the
run's recipe names under `decontaminate`, or ``split:NAME`` for a split of the run itself.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from curation.decontaminate import NEAR
from curation.errors import LedgerError
from curation.manifest import query
from curation.manifest.schema import quoted

SPLIT: Final = "split:"
ALLOW: Final = "or set allow_contaminated: true, which is then written into every result"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What may be said of the samples: `reasons` against them, in words, one a benchmark and kind.

    `contaminated` is whether training was allowed despite reasons; None where no benchmark was
    named, so that nobody looked.
    """

    benchmarks: tuple[str, ...] = ()
    contaminated: bool | None = None
    reasons: tuple[str, ...] = ()


def pass_gate(
    manifest: Path, run_id: str, selection: str, benchmarks: Sequence[str], allow: bool
) -> Verdict:
    """The verdict on a selection that is held against benchmarks.

    Raises:
        LedgerError: a benchmark was not compared, or selected samples are near one and unresolved
            or known to be in it; not with `allow`.
    """
    found = [
        reason for name in benchmarks for reason in _objections(manifest, run_id, selection, name)
    ]
    if found and not allow:
        reason, mend = found[0]
        raise LedgerError(f"{reason}: {mend}, {ALLOW}")
    contaminated = bool(found) if benchmarks else None
    return Verdict(tuple(benchmarks), contaminated, tuple(reason for reason, _ in found))


def _objections(
    manifest: Path, run_id: str, selection: str, benchmark: str
) -> list[tuple[str, str]]:
    """Reasons against training, each with its mend."""
    unchecked = _unchecked(manifest, run_id, benchmark)
    if unchecked is not None:
        return [unchecked]
    known, near = _hits(manifest, run_id, selection, benchmark)
    of = f"of {_size(manifest, run_id, selection)} selected samples are"
    drop = "splits.assign" if benchmark.startswith(SPLIT) else "decontaminate.confirmed: drop"
    found = []
    if known:
        reason = f"{len(known)} {of} in benchmark {benchmark!r}, for example {known[0]}"
        found.append((reason, f"set {drop} and curate again"))
    if near:
        reason = (
            f"{len(near)} {of} near benchmark {benchmark!r} and unresolved, for example {near[0]}"
        )
        mend = "look at the report's review list, set decontaminate.unresolved: drop"
        found.append((reason, f"{mend} and curate again"))
    return found


def _unchecked(manifest: Path, run_id: str, benchmark: str) -> tuple[str, str] | None:
    """Why nobody knows whether a benchmark is among the samples; None where it is known."""
    if benchmark.startswith(SPLIT):
        return _without_split(manifest, run_id, benchmark.removeprefix(SPLIT))
    held = query(manifest, f"SELECT recipe FROM runs WHERE run_id = {quoted(run_id)}")
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
    sql = f"SELECT DISTINCT split FROM samples WHERE run_id = {quoted(run_id)} AND split NOT NULL"
    names = sorted(query(manifest, sql)["split"].to_pylist())
    if split in names:
        return None
    return (
        f"run {run_id} has no split {split!r} to hold the samples against; it has "
        f"{', '.join(names) or 'none'}",
        "set splits.assign and curate again",
    )


def _hits(
    manifest: Path, run_id: str, selection: str, benchmark: str
) -> tuple[list[str], list[str]]:
    """Selected rows that are known to be in a benchmark, and those that are near it, in words."""
    chosen = (
        f"SELECT row_id FROM selections WHERE run_id = {quoted(run_id)} "
        f"AND selection = {quoted(selection)}"
    )
    lines = query(
        manifest,
        "SELECT row_id, verdict, item_id FROM leaks "
        f"WHERE run_id = {quoted(run_id)} AND benchmark = {quoted(benchmark)} "
        f"AND row_id IN ({chosen}) ORDER BY similarity DESC NULLS LAST, row_id, item_id",
    ).to_pylist()
    known: dict[str, str] = {}
    near: dict[str, str] = {}
    for line in lines:
        row, verdict = line["row_id"], line["verdict"]
        words = f"{row} ({verdict} as {line['item_id']})"
        (near if verdict == NEAR else known).setdefault(row, words)
    return list(known.values()), [words for row, words in near.items() if row not in known]


def _size(manifest: Path, run_id: str, selection: str) -> int:
    held = query(
        manifest,
        f"SELECT count(*) AS n FROM selections WHERE run_id = {quoted(run_id)} "
        f"AND selection = {quoted(selection)}",
    )
    return int(held["n"][0].as_py())
