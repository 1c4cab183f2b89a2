"""Show an audit as text and as one page."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from curation.audit.audit import LABELS, Audit
from medsift.pages.html_page import render, write_page
from medsift.text import escaped

TEMPLATE: Final = Path(__file__).parent / "templates" / "audit.html"
Table = tuple[str, list[str], list[list[str]]]
"""Title, head and lines of a table."""


def tables(audit: Audit) -> list[Table]:
    """Return the tables of an audit that have a line."""
    checks = [
        [
            *(LABELS[check.name], str(check.found)),
            "any" if check.accepted is None else str(check.accepted),
            "passed" if check.passed else "FAILED",
        ]
        for check in audit.checks
    ]
    pairs = [{"one": one, "other": other} for one, other in audit.conflicts]
    found: list[Table] = [("Checks", ["what", "found", "accepted", ""], checks)]
    listed = (
        ("Identifiers by class and action", audit.findings),
        ("Masked pictures", audit.masked),
        ("Licences of kept rows", audit.licences),
        ("Licences that exclude each other", pairs),
        ("Patients across splits", audit.patients),
        ("Rows near a benchmark", audit.near),
        ("Withdrawals", audit.withdrawals),
    )  # fmt: skip
    for title, lines in listed:
        if lines:
            body = [[_cell(value) for value in line.values()] for line in lines]
            found.append((title, [name.replace("_", " ") for name in lines[0]], body))
    return found


def audit_text(audit: Audit) -> str:
    """Return an audit as aligned text."""
    parts = [heading(audit)]
    for title, head, lines in tables(audit):
        rows = [head, *lines]
        widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
        printed = [
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
            for row in rows
        ]
        parts.append("\n".join([title, *(f"  {line}" for line in printed)]))
    return "\n\n".join(parts) + "\n"


def heading(audit: Audit) -> str:
    """Return which run it is, how many rows it has, and whether it passed."""
    run, rows = audit.run, audit.rows
    verdict = "passed" if audit.passed else "FAILED"
    looked = ", ".join(f"{what}: {action}" for what, action in audit.privacy.items())
    return escaped(
        f"{run['name']} (run {run['run_id']}): audit {verdict}; {rows['kept']:,} of "
        f"{rows['rows']:,} rows kept; privacy {looked}"
    )


def write_audit(audit: Audit, output: Path) -> None:
    """Write an audit as one HTML page. Raises StorageError when `output` cannot be written."""
    content = {"heading": heading(audit), "tables": tables(audit), "passed": audit.passed}
    write_page(output, render(TEMPLATE, content, {}, draws=False))


def _cell(value: Any) -> str:
    if value is None:
        return "–"
    return escaped(f"{value:.4f}" if isinstance(value, float) else str(value))
