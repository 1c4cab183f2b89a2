"""Read the columns next to the targets of a row: options one by one, films, earlier turns."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from curation.sources.cell_values import is_nothing, list_value
from curation.sources.picture_marks import MEDIA_UNREAD
from curation.sources.row_faults import RowFault
from curation.sources.sidecar_files import MEDIA, option_columns


def options_beside(row: Mapping[str, Any]) -> dict[str, Any] | None:
    """The options of a row whose columns hold one each, by label; None where it has none."""
    labels = option_columns(list(row))
    found = {label: row[name] for label, name in labels.items()}
    return found if any(not is_nothing(value) for value in found.values()) else None


def check_media(row: Mapping[str, Any], named: Iterable[str]) -> None:
    """Raise RowFault for a film or a sound, which no sample can show.

    A recipe that maps the column to a target of that name has taken it into its own hands.
    """
    taken = {name.casefold() for name in named}
    for name, value in row.items():
        folded = name.casefold()
        if folded not in MEDIA or folded in taken or is_nothing(list_value(value)):
            continue
        if str(value).strip().casefold() in ("false", "0", "none", "{}", "[]"):
            continue
        raise RowFault(
            MEDIA_UNREAD,
            f"the column {name!r} names a film or a sound; only pictures are read (to keep such"
            f" rows as they are, map {folded} under columns)",
        )


def value_beside(row: Mapping[str, Any], wanted: str) -> Any:
    """The value of the column of that name in any case, or None."""
    return next((value for name, value in row.items() if name.casefold() == wanted), None)
