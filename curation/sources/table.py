"""Tables of questions and answers, one record a row."""

from __future__ import annotations

from typing import Literal

from curation.sources.tabular import TabularReader


class TableReader(TabularReader):
    """A JSON array, JSON Lines, CSV or Parquet table mapped by SQL expressions.

    `columns` maps targets (question, answer, messages, images, options, any tag; other names go
    to `extra`) to DuckDB expressions over one record. An input column named like a target is
    mapped by itself. JSON and CSV scalars arrive as text, nested values as JSON text.
    """

    reader: Literal["table"] = "table"
    """Kind of source."""
