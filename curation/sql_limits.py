"""Run the SQL of a recipe within a limit of memory: a recipe may come from anyone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeVar

from medsift.errors import RecipeError

Result = TypeVar("Result")
TOO_COSTLY: Final = "expression_too_costly"
BATCH_MEMORY: Final = 1 << 30
"""Bytes that an expression may make of a batch, which has at most 64 MiB of text; also those that
a sort or a grouping may need. DuckDB does not count what one call of a function takes."""


def within_limits(work: Callable[[], Result], what: str) -> Result:
    """Run `work`, which uses an engine, in the engine's memory; its time is not limited.

    Raises:
        RecipeError: the expression that `what` names takes more.
    """
    import duckdb

    try:
        return work()
    except duckdb.OutOfMemoryException as error:
        raise too_costly(what, "needs more memory than it may have") from error


def too_costly(what: str, problem: str) -> RecipeError:
    """Return the error of an expression that takes more than it may."""
    message = f"{what} {problem}; write an expression that makes less of each row"
    return RecipeError(message, code=TOO_COSTLY, expression=what)
