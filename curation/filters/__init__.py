"""Row filters: drop rows by a SQL condition or a Python function, with the reason in the ledger."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from curation.filters.python_function import PythonFunction
from curation.filters.row_filter import Drop, RowFilter
from curation.filters.sql_condition import SqlCondition

AnyFilter = Annotated[SqlCondition | PythonFunction, Field(discriminator="kind")]

__all__ = ["AnyFilter", "Drop", "PythonFunction", "RowFilter", "SqlCondition"]
