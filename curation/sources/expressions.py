"""Parse SQL expressions over one row: which columns they read, and what none may use."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, Final

from curation.sql_limits import BATCH_MEMORY
from medsift.errors import RecipeError
from medsift.manifest.connections import lock, start
from medsift.text import shown

BATCH_CLASSES: Final = {"WINDOW", "SUBQUERY", "STAR"}


@lru_cache(maxsize=1)
def engine() -> Any:
    """Return this process's in-memory DuckDB on one thread, shut off from files and network."""
    connection = start(memory_limit=f"{BATCH_MEMORY}B")
    connection.execute("SET threads = 1")
    lock(connection)
    return connection


@lru_cache(maxsize=4096)
def column_names(expression: str) -> frozenset[str]:
    """Return the columns that an SQL expression reads. Raises RecipeError if it does not parse."""
    names: set[str] = set()
    bound: set[str] = set()
    for node in _nodes(_parse(expression)):
        # `a -> b` may be JSON access as well as an old lambda: only `lambda x: …` binds names.
        if node.get("class") == "LAMBDA" and node.get("syntax_type") == "LAMBDA_KEYWORD":
            bound.update(
                inner["column_names"][0] for inner in _nodes(node["lhs"]) if "column_names" in inner
            )
        elif node.get("class") == "COLUMN_REF":
            names.add(node["column_names"][0])
    return frozenset(names - bound)


@lru_cache(maxsize=4096)
def _parse(expression: str) -> Any:
    statement = f"SELECT {expression}\n"
    parser = engine().cursor()
    (text,) = parser.execute("SELECT json_serialize_sql(?::VARCHAR)", [statement]).fetchone()
    try:
        tree = json.loads(text)
    except RecursionError as error:
        raise _too_deep(expression) from error
    if tree["error"]:
        words = f"column expression {shown(expression)}: {tree['error_message']}"
        raise RecipeError(words, code="expression_invalid", expression=expression)
    node = tree["statements"][0]["node"]
    selected = node.get("select_list", [])
    clauses = ("modifiers", "where_clause", "group_expressions", "having", "qualify", "sample")
    plain = node.get("from_table", {}).get("type") == "EMPTY"
    single = plain and len(tree["statements"]) == len(selected) == 1
    if not single or any(map(node.get, clauses)):
        words = f"column expression {shown(expression)} must be one SQL expression"
        raise RecipeError(words, code="expression_invalid", expression=expression)
    try:
        deque(_nodes(selected[0]), maxlen=0)
    except RecursionError as error:
        raise _too_deep(expression) from error
    return selected[0]


def _too_deep(expression: str) -> RecipeError:
    words = f"column expression {shown(expression)} is nested too deeply"
    return RecipeError(words, code="expression_invalid", expression=expression)


def _nodes(tree: Any) -> Iterator[dict[str, Any]]:
    if isinstance(tree, dict):
        yield tree
        tree = list(tree.values())
    if isinstance(tree, list):
        for value in tree:
            yield from _nodes(value)


def unrepeatable(expression: str) -> str | None:
    """Return the part of an expression whose value depends on more than one row, or None.

    That is a random function, one that reads the clock, a window, an aggregate or a subquery.
    Raises RecipeError for what is no single expression.
    """
    unfit = _unfit_functions()
    for node in _nodes(_parse(expression)):
        name = str(node.get("function_name", "")).lower()
        if node.get("class") in BATCH_CLASSES or name in unfit:
            return name or str(node["class"]).lower()
    return None


@lru_cache(maxsize=1)
def _unfit_functions() -> frozenset[str]:
    query = """
        SELECT function_name FROM duckdb_functions()
        WHERE function_type = 'table' OR stability IN ('VOLATILE', 'CONSISTENT_WITHIN_QUERY')
        EXCEPT SELECT function_name FROM duckdb_functions()
        WHERE function_type IN ('scalar', 'macro') AND stability = 'CONSISTENT'
    """
    names = {str(row[0]) for row in engine().cursor().execute(query).fetchall()}
    return frozenset(names | {"pg_sleep"})  # a macro, which hides that it waits
