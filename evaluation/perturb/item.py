"""Items as the variants see them: one row of ``ITEMS`` as a mapping."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from typing import Any, Final

from medsift.text import is_cjk

ItemRow = Mapping[str, Any]

IMAGE_MARKER: Final = re.compile(r"\s*<image(?:[ _]?(\d+))?>\s*", re.IGNORECASE)
"""Where a question or option shows a picture: ``<image>`` or ``<image 2>``."""


def language_of(item: ItemRow, known: Collection[str]) -> str | None:
    """The item's language if it is one of `known`; by its script where it names none."""
    said = item["language"] or ("zh" if is_cjk(item["question"]) else "en")
    return said if said in known else None


def extra_of(item: ItemRow) -> dict[str, Any]:
    """The item's `extra` as a mapping."""
    found: dict[str, Any] = json.loads(item["extra"]) if item["extra"] else {}
    return found


def with_extra(item: ItemRow, **more: Any) -> ItemRow:
    """The item with more in its `extra`."""
    return {**item, "extra": json.dumps(extra_of(item) | more, sort_keys=True, ensure_ascii=False)}
