"""Say what an error code means and what to do about it."""

from __future__ import annotations

from typing import NamedTuple


class ErrorCode(NamedTuple):
    """The documentation of one code: both are full sentences."""

    meaning: str
    remedy: str
