"""Define a row filter: one method that says which samples of a table go, and why."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import pyarrow as pa
from pydantic import Field

from medsift import records
from medsift.config import Config

COLUMNS = [name for name in records.SAMPLES.names if name != "refs"]
"""Columns of ``SAMPLES`` that a filter sees; references are places on a disk, not content."""


class Drop(NamedTuple):
    """Why a row goes: words for people, and a number where there is one."""

    detail: str
    value: float | None = None


class RowFilter(Config):
    """Settings of a filter; a subclass adds what it needs and the method `drops`.

    The stage counts, times and writes the ledger: a dropped row has the reason ``filter:NAME``.
    """

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")
    """Name of the filter, which becomes the reason ``filter:NAME`` in the ledger."""

    def fingerprint(self) -> Any:
        """Return what decides the result, JSON-able. Raises RecipeError when it cannot work."""
        return self.model_dump(mode="json")

    def drops(self, samples: pa.Table) -> Mapping[int, Drop]:
        """Return the rows of `samples` (n) to drop, by place, with the reason of each.

        A row's fate depends on the row alone: the same row is judged alike in any table.
        """
        raise NotImplementedError
