"""Say in one plain sentence what a probe shows, whatever it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

Row = Mapping[str, Any]


def verdict(rows: Sequence[Row], arm: str, margin: float) -> str:
    """Return what the probe shows of one arm, from its rows over all asked samples.

    "Better" and "worse" mean that the 95% interval of the difference to random excludes zero at
    that budget; intervals are not widened for the number of budgets.
    """
    own = sorted((row for row in rows if row["arm"] == arm), key=lambda row: row["budget"])
    better = [row for row in own if (row["random_low"] or 0.0) > 0.0]
    worse = [row for row in own if (row["random_high"] or 0.0) < 0.0]
    parts = [_against_random(arm, own, better, worse)]
    if better:
        parts.append(_efficiency(better[0]))
    enough = [row for row in own if row["non_inferiority"] == "non-inferior"]
    if enough:
        parts.append(
            f"{_share(enough[0])} of the pool is enough to be within {100 * margin:g} points of "
            "all of it"
        )
    else:
        parts.append(f"no budget is shown to be within {100 * margin:g} points of all data")
    return "; ".join(parts) + "."


def _against_random(
    arm: str, own: Sequence[Row], better: Sequence[Row], worse: Sequence[Row]
) -> str:
    if better and worse:
        return f"{arm} beats random at {_shares(better)} and loses to it at {_shares(worse)}"
    for verb, rows in (("beats", better), ("loses to", worse)):
        if rows:
            where = "every budget" if len(rows) == len(own) else _shares(rows)
            first = f" at {_share(rows[0])}" if len(rows) > 1 else ""
            return f"{arm} {verb} random at {where}, by {_gap(rows[0])}{first}"
    widest = max(row["random_high"] - row["random_low"] for row in own)
    return (
        f"The probe does not tell {arm} from random at any budget (intervals up to "
        f"{100 * widest:.1f} points wide)"
    )


def _efficiency(row: Row) -> str:
    replaced = {"above": "at least ", "below": "at most "}.get(row["efficiency_beyond"] or "", "")
    return (
        f"at {_share(row)} one selected sample replaces {replaced}{row['efficiency']:.1f} random "
        f"ones ({row['efficiency_low']:.1f} to {row['efficiency_high']:.1f})"
    )


def _gap(row: Row) -> str:
    ends = sorted((abs(row["random_low"]), abs(row["random_high"])))
    gap = 100 * abs(row["random_difference"])
    return f"{gap:.1f} points ({100 * ends[0]:.1f} to {100 * ends[1]:.1f})"


def _share(row: Row) -> str:
    return f"{100 * row['budget']:g} %"


def _shares(rows: Sequence[Row]) -> str:
    shares = [_share(row) for row in rows]
    return shares[0] if len(shares) == 1 else f"{', '.join(shares[:-1])} and {shares[-1]}"
