"""Write the format `ms_swift`: JSON Lines of chats with `<image>` marks, as ms-swift reads them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, Final

from curation.exports.croissant import line_fields
from curation.exports.export_format import ExportFormat
from curation.exports.sharegpt import write_array
from curation.exports.turns import Line, facts, marked_turns


def _entry(line: Line, paths: Sequence[str]) -> dict[str, Any]:
    return {"messages": marked_turns(line), "images": paths, **facts(line)}


FORMAT: Final = ExportFormat(
    "ms_swift",
    folder=False,
    write=partial(write_array, entry=_entry, lines=True),
    media_type="application/jsonlines",
    fields=line_fields,
)
