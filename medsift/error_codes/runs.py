"""Error codes of runs, stages, row filters and the Python API."""

from __future__ import annotations

from typing import Final

from medsift.error_codes.code import ErrorCode

CODES: Final[dict[str, ErrorCode]] = {
    "filter_failed": ErrorCode(
        "A row filter does not fit the columns, raised, or returned something it may not.",
        "Correct the condition or the function; docs/filters.md lists the columns and answers.",
    ),
    "filter_function_missing": ErrorCode(
        "The Python function of a row filter cannot be imported.",
        "Name it as package.module:function, importable from the folder where the run starts.",
    ),
    "stage_unknown": ErrorCode(
        "There is no stage of that name.",
        "Use one of the names that the message lists.",
    ),
}
