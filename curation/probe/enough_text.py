"""Say in one plain sentence why a size is enough, or why no size is shown to be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

Row = Mapping[str, Any]


def why_enough(curve: Sequence[Row], chosen: Row, margin: float) -> str:
    """Return why a row of a probe's curve is the smallest size that is enough."""
    words = (
        f"{_share(chosen)} of the pool is the smallest of {len(curve)} sizes that, like every "
        f"larger one, is shown to lose less than {100 * margin:g} points of a probe's accuracy "
        f"against all rows: it loses {_loss(chosen)} points"
    )
    smaller = [row for row in curve if row["budget"] < chosen["budget"]]
    if not smaller:
        return f"{words}; nothing smaller was tried."
    next_one = max(smaller, key=lambda row: float(row["budget"]))
    said = next_one["non_inferiority"]
    return f"{words}; {_share(next_one)} loses {_loss(next_one)}, which is {said} at that margin."


def why_not_shown(curve: Sequence[Row], margin: float) -> str:
    """Return why the largest size of a probe's curve is not shown to be enough."""
    largest = max(curve, key=lambda row: float(row["budget"]))
    return (
        f"no share of the pool is shown to be enough: {_share(largest)}, the largest that is "
        f"tried, loses {_loss(largest)} points of a probe's accuracy against all rows, which is "
        f"{largest['non_inferiority']} at a margin of {100 * margin:g} points"
    )


def _share(row: Row) -> str:
    return f"{100 * row['budget']:g} %"


def _loss(row: Row) -> str:
    """Return how many points a size loses against all rows, with the interval if it has one."""
    ends = (row["full_difference"], row["full_high"], row["full_low"])
    # Adding zero turns a rounded -0.0 into 0.0.
    loss, least, most = (None if end is None else round(-100 * end, 1) + 0.0 for end in ends)
    return f"{loss} ({least} to {most})" if least is not None else f"{loss} (without an interval)"
