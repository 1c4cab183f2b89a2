"""Put a study's results into sentences that claim no more than the intervals, and one table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from math import ceil
from typing import Any, Final

import pyarrow as pa

from evaluation.records import ORIGINAL
from evaluation.study_results import NON_INFERIORITY, SUPERIORITY
from evaluation.study_scores import BASELINES, FULL, RANDOM, UNTRAINED
from medsift.pages.number_format import NO_VALUE, listed, with_interval
from medsift.statistics import remark
from medsift.statistics.breakdown import ALL

FEW_SEEDS: Final = 3
"""With fewer, the spread over seeds is a guess."""
STEADIER: Final = 0.95
"""More seeds are spoken of where they would narrow an interval to less than this."""
NAMES: Final = {FULL: "full data", UNTRAINED: "the untrained model"}
Line = Mapping[str, Any]


def sentence(line: Line) -> str:
    """One comparison in words, with what it could have shown where it shows nothing."""
    rival, verdict = line["versus"], line["verdict"]
    first, second = named(line), NAMES.get(rival) or f"{rival} at the same budget"
    found = f"{signed(line['difference'])} points"
    if line["diff_low"] is not None:
        found += f" [{signed(line['diff_low'])}, {signed(line['diff_high'])}]"
    if line["test"] == NON_INFERIORITY:
        claim = f"{second} by more than {_points(line['margin'])} points"
        says = {
            "non-inferior": f"{first} is not worse than {claim}: {found}.",
            "inferior": f"{first} is worse than {claim}: {found}.",
            "inconclusive": f"It is open whether {first} is worse than {claim}: {found}.",
        }
    else:
        says = {
            "superior": f"{first} is better than {second}: {found}.",
            "worse": f"{first} is worse than {second}: {found}.",
            "inconclusive": f"{first} and {second} are not told apart: {found}.",
        }
    said = says[verdict]
    parts = [said[0].upper() + said[1:] if first in NAMES.values() else said]
    if verdict == "non-inferior" and line["diff_high"] is not None and line["diff_high"] < 0:
        parts.append("It is worse, by less than that.")
    words = remark(line["n"], line["clusters"])
    parts += [_could(line), f"({words})" if words else ""]
    return " ".join(part for part in parts if part)


def summary(lines: Sequence[Line]) -> list[str]:
    """What the verdicts on one benchmark add up to, the most important first.

    `lines` are its lines of `study_results` on whole benchmarks.
    """
    tested = [line for line in lines if line["verdict"] is not None]
    arms = dict.fromkeys(
        line["arm"] for line in tested if line["arm"] not in (FULL, UNTRAINED, *BASELINES)
    )
    said = [words for arm in arms for words in _about(arm, tested)]
    return [*said, *_cautions(lines, tested)]


def summaries(results: pa.Table) -> dict[str, list[str]]:
    """The summary of each benchmark, from `study_results`."""
    whole = [line for line in results.to_pylist() if is_whole(line)]
    names = dict.fromkeys(line["benchmark"] for line in whole)
    return {name: summary([line for line in whole if line["benchmark"] == name]) for name in names}


def study_table(results: pa.Table) -> pa.Table:
    """One row a benchmark, arm and budget: accuracy, and how it stands to full data and a rival.

    The rival is random, or the first control of a study without random selections.
    """
    whole = [line for line in results.to_pylist() if is_whole(line)]
    compared = {
        (*_key(line), line["versus"], line["test"]): line for line in whole if line["versus"]
    }
    rival = rival_of(whole)
    rows = []
    for line in whole:
        if line["versus"] is not None:
            continue
        full = compared.get((*_key(line), FULL, NON_INFERIORITY))
        other = compared.get((*_key(line), rival, SUPERIORITY))
        rows.append(
            {
                "benchmark": line["benchmark"],
                "arm": line["arm"],
                "budget": line["budget"],
                "samples": line["samples"],
                "seeds": line["seeds"],
                "n": line["n"],
                "images": line["clusters"],
                "accuracy": with_interval(line["value"], line["low"], line["high"]),
                "- full": _difference(full),
                "no worse": full["verdict"] if full else NO_VALUE,
                f"- {rival}": _difference(other),
                "better": other["verdict"] if other else NO_VALUE,
            }
        )
    return pa.Table.from_pylist(rows)


def rival_of(lines: Iterable[Line]) -> str:
    """Return the arm that others are best compared with: random, else the first control."""
    met = [
        line["versus"]
        for line in lines
        if line["test"] == SUPERIORITY and line["versus"] != UNTRAINED
    ]
    return RANDOM if RANDOM in met or not met else str(met[0])


def named(line: Line) -> str:
    """The arm with its budget."""
    arm = line["arm"]
    return NAMES.get(arm) or f"{arm} at {line['budget']}"


def signed(value: float | None) -> str:
    """A difference of shares in points, with its sign."""
    if value is None:
        return NO_VALUE
    text = f"{100 * value:+.1f}"
    return "0.0" if float(text) == 0 else text.replace("-", "−")


def _about(arm: str, tested: Sequence[Line]) -> Iterable[str]:
    """Where an arm is enough, and where it beats random."""
    own = [line for line in tested if line["arm"] == arm]
    against_full = [line for line in own if line["versus"] == FULL]
    if against_full:
        yield _enough(arm, against_full)
    for versus in dict.fromkeys(line["versus"] for line in own if line["test"] == SUPERIORITY):
        against = [line for line in own if line["versus"] == versus]
        better = [line["budget"] for line in against if line["verdict"] == "superior"]
        worse = [line["budget"] for line in against if line["verdict"] == "worse"]
        if better:
            yield f"It is better than {versus} at {listed(better)}."
        if worse:
            yield f"It is worse than {versus} at {listed(worse)}."
        if against and not better and not worse:
            yield f"It is not told apart from {versus} at any budget."


def _enough(arm: str, against_full: Sequence[Line]) -> str:
    """The smallest budget that is shown to do, and larger ones that are not."""
    margin = f"worse than full data by more than {_points(against_full[0]['margin'])} points"
    shown = [line for line in against_full if line["verdict"] == "non-inferior"]
    if not shown:
        return f"At no budget is {arm} shown not to be {margin}."
    least = min(shown, key=lambda line: line["samples"])
    open_ = [
        line["budget"]
        for line in against_full
        if line["samples"] > least["samples"] and line["verdict"] != "non-inferior"
    ]
    but = f", and yet not at {listed(open_)}" if open_ else ""
    return (
        f"{arm} is shown not to be {margin} at {least['budget']} ({least['samples']:,} samples), "
        f"the smallest budget that shows it{but}."
    )


def _cautions(lines: Sequence[Line], tested: Sequence[Line]) -> Iterable[str]:
    """What a reader must know before believing any of it."""
    for line in tested:
        if line["arm"] == FULL and line["verdict"] != "superior":
            yield (
                "Full data itself is not shown to be better than the untrained model: that "
                "something is not worse than it says little."
            )
    fewest = min((line["seeds"] for line in lines if line["arm"] != UNTRAINED), default=FEW_SEEDS)
    if fewest == 1:
        yield "One seed: the intervals do not hold what another seed would have given."
    elif fewest < FEW_SEEDS:
        yield f"{fewest} seeds: how far seeds differ is hardly known, and intervals are wide."
    if len(tested) > 1:
        yield (
            f"{len(tested)} verdicts, each from a 95% interval and none corrected for the others: "
            "of twenty intervals one misses by chance."
        )


def _could(line: Line) -> str:
    """What an inconclusive comparison could have shown, and what it would take."""
    able, by_items, margin = (
        line[name] for name in ("detectable", "detectable_by_items", "margin")
    )
    if line["verdict"] != "inconclusive" or able is None or by_items is None:
        return ""
    of = f"So wide an interval ({line['n']:,} items on {line['clusters']:,} images) shows"
    if margin is None:
        power = f"{of} a gain of {_points(able)} points 8 times in 10"
        steadier = by_items < STEADIER * able
        return f"{power}, with many seeds one of {_points(by_items)}." if steadier else f"{power}."
    power = f"{of} that two equal models are within {_points(able)} points 8 times in 10"
    if by_items <= margin:
        return f"{power}; with more seeds these items could show {_points(margin)}."
    needed = ceil(line["n"] * (by_items / margin) ** 2)
    return f"{power}; {_points(margin)} take some {needed:,} such items, whatever the seeds."


def is_whole(line: Line) -> bool:
    """Whether a line is of the accuracy of a whole benchmark as published."""
    return (line["facet"], line["variant"], line["metric"]) == (ALL, ORIGINAL, "accuracy")


def _key(line: Line) -> tuple[Any, ...]:
    return line["benchmark"], line["arm"], line["budget"]


def _difference(line: Line | None) -> str:
    if line is None:
        return NO_VALUE
    return with_interval(line["difference"], line["diff_low"], line["diff_high"], "+")


def _points(value: float) -> str:
    return f"{100 * value:.1f}"
