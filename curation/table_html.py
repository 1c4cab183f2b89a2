"""Show a small table in a notebook, every value escaped."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import pyarrow as pa

MAX_ROWS: Final = 20
MAX_CHARACTERS: Final = 120


def html_table(table: pa.Table, caption: str) -> str:
    """Return the first rows of a table as HTML with a caption that counts the rest."""
    more = f" (first {MAX_ROWS} of {table.num_rows:,} rows)" if table.num_rows > MAX_ROWS else ""
    head = "".join(f"<th>{escape(name)}</th>" for name in table.column_names)
    body = "".join(
        "<tr>" + "".join(f"<td>{escape(_text(value))}</td>" for value in line.values()) + "</tr>"
        for line in table.slice(0, MAX_ROWS).to_pylist()
    )
    return (
        f"<table><caption>{escape(caption)}{more}</caption>"
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    )


def _text(value: Any) -> str:
    if value is None:
        return ""
    text = f"{value:.4g}" if isinstance(value, float) else str(value)
    return text if len(text) <= MAX_CHARACTERS else f"{text[:MAX_CHARACTERS]}…"
