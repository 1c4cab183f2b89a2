"""Define a row filter: one method that returns which samples of a table to drop, and why."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import pyarrow as pa
from pydantic import Field

from medsift import records
from medsift.config import Config

COLUMNS = [name for name in records.SAMPLES.names if name != "refs"]
"""Columns of ``SAMPLES`` for filters; references are left out, as they are paths, not content."""


class Drop(NamedTuple):
    """The reason for a drop: words for people, and a number where there is one."""

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
        """Return index → reason of the rows of `samples` (n) to drop.

        The result for a row depends on that row alone, not on the others of the table.
        """
        raise NotImplementedError
