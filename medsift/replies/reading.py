"""Define what reading a part of a reply gives: an answer, or why there is none."""

from __future__ import annotations

from typing import NamedTuple


class Reading(NamedTuple):
    """An answer read from one span, or None, and the rule that read it or why none was.

    `settled` is False where the span states nothing, so that a less explicit span may be read; a
    contradiction or a refusal is settled.
    """

    answer: str | None
    rule: str
    settled: bool = True
