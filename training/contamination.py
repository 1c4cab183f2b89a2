"""Refuse a training on samples that are, or may be, in a benchmark that the recipe names.

What curation found is read from the manifest; nothing is compared here. A benchmark is one that the
run's recipe names under `decontaminate`, or ``split:NAME`` for a split of the run itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple

from medsift.errors import LedgerError
from medsift.manifest import training_queries
from medsift.vocabulary import NEAR
from training.recipe import TrainingRecipe

SPLIT: Final = "split:"
LEAVE_OUT: Final = "set leaks: drop to train on the others alone"
ALLOW: Final = "or set allow_contaminated: true, which is then written into every result"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is known about a selection and the recipe's benchmarks.

    `contaminated` is whether training is allowed despite `reasons`; None where no benchmark was
    named, so that nothing was checked. `left_out` are rows that are not trained on, and why.
    """

    benchmarks: tuple[str, ...] = ()
    contaminated: bool | None = None
    reasons: tuple[str, ...] = ()
    left_out: Mapping[str, str] = field(default_factory=dict)


class _Objection(NamedTuple):
    """A reason against training, what fixes it, and what it is about.

    `rows` have their matches; `known` are the benchmarks or splits that could be named instead.
    """

    benchmark: str
    reason: str
    remedy: str
    rows: Mapping[str, str]
    known: Sequence[str] = ()


def check_contamination(
    manifest: Path, run_id: str, selection: str, recipe: TrainingRecipe
) -> Verdict:
    """Return the verdict on a selection that was compared with the recipe's benchmarks.

    Args:
        manifest: the manifest of the run.
        run_id: the run.
        selection: what would be trained on.
        recipe: names the benchmarks, and what to do about leaks.

    Raises:
        LedgerError: a benchmark was not compared, or selected samples are near one and undecided
            or known to be in it, and the recipe neither leaves them out nor allows it.
    """
    objections = [
        objection
        for name in recipe.benchmarks
        for objection in _objections(manifest, run_id, selection, name)
    ]
    left_out: dict[str, str] = {}
    if recipe.leaks == "drop":
        # The first objection to a row is the one that is reported.
        for objection in reversed(objections):
            left_out |= objection.rows
        # A benchmark that was never compared is not cured by leaving rows out.
        objections = [objection for objection in objections if not objection.rows]
    if objections and not recipe.allow_contaminated:
        first = objections[0]
        raise LedgerError(
            f"{first.reason}: {first.remedy}, {ALLOW}",
            code="selection_contaminated",
            benchmark=first.benchmark,
            rows=list(first.rows),
            known=list(first.known),
        )
    reasons = tuple(objection.reason for objection in objections)
    contaminated = bool(objections) if recipe.benchmarks else None
    return Verdict(recipe.benchmarks, contaminated, reasons, left_out)


def _objections(
    manifest: Path, run_id: str, selection: str, benchmark: str
) -> Iterator[_Objection]:
    """Yield what speaks against training on a selection, of one benchmark."""
    unchecked = _why_unchecked(manifest, run_id, benchmark)
    if unchecked is not None:
        yield unchecked
        return
    known: dict[str, str] = {}
    near: dict[str, str] = {}
    for leak in training_queries.selected_leaks(manifest, run_id, selection, benchmark):
        match = f"{leak['verdict']} as {leak['item_id']} of {benchmark}"
        # Leaks come nearest first, so the nearest of a row is named.
        (near if leak["verdict"] == NEAR else known).setdefault(leak["row_id"], match)
    # A row with both verdicts is reported once, by the graver one.
    near = {row: match for row, match in near.items() if row not in known}
    size = training_queries.selection_weights(manifest, run_id, selection).num_rows
    for rows, where, remedy in (
        (known, f"in benchmark {benchmark!r}", LEAVE_OUT),
        (
            near,
            f"near benchmark {benchmark!r} and unresolved",
            f"look at the report's review list, {LEAVE_OUT}",
        ),
    ):
        if rows:
            row, match = next(iter(rows.items()))
            yield _Objection(
                benchmark,
                f"{len(rows)} of {size} selected samples are {where}, for example {row} ({match})",
                remedy,
                rows,
            )


def _why_unchecked(manifest: Path, run_id: str, benchmark: str) -> _Objection | None:
    """Return why a benchmark was never compared with the samples; None where it was."""
    if benchmark.startswith(SPLIT):
        # Leaks between the splits of a run are always listed, where it has such a split.
        split, names = benchmark.removeprefix(SPLIT), training_queries.split_names(manifest, run_id)
        reason = f"run {run_id} has no split {split!r} to compare the samples with; it has "
        remedy = "set splits.assign and curate again"
        missing = split not in names
    else:
        names = training_queries.compared_benchmarks(manifest, run_id)
        reason = (
            f"benchmark {benchmark!r} was not compared with the samples; decontamination of run "
            f"{run_id} names "
        )
        remedy = "index it, name it under decontaminate.benchmarks and curate again"
        missing = benchmark not in names
    reason += ", ".join(names) or "none"
    return _Objection(benchmark, reason, remedy, {}, names) if missing else None
