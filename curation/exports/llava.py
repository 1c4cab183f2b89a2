"""Write the format `llava`: one JSON array in which `image` is a path, or a list of paths."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, Final

from curation.exports.croissant import array_fields
from curation.exports.export_format import ExportFormat
from curation.exports.sharegpt import SPEAKERS, write_array
from curation.exports.turns import Line, facts, marked_turns


def _entry(line: Line, paths: Sequence[str]) -> dict[str, Any]:
    """Return the element of a sample; LLaVA knows a text-only one by its lack of `image`."""
    picture = {"image": paths[0] if len(paths) == 1 else paths} if paths else {}
    # LLaVA knows only human and gpt, so a system turn starts the turn after it.
    turns, before = [], ""
    for turn in marked_turns(line):
        if turn["role"] == "system":
            before += turn["content"] + "\n\n"
            continue
        turns.append({"from": SPEAKERS[turn["role"]], "value": before + turn["content"]})
        before = ""
    return {"id": line["row_id"], **picture, "conversations": turns, **facts(line)}


FORMAT: Final = ExportFormat(
    "llava",
    folder=False,
    write=partial(write_array, entry=_entry),
    media_type="application/json",
    fields=array_fields,
)
