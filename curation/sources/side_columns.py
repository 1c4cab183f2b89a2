"""Find the columns that are read next to the targets: options one by one, media, earlier turns."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Final

MEDIA: Final = ("videos", "video", "audios", "audio")
CHAT_ONLY: Final = ("system",)
PAIR_ONLY: Final = ("history",)
_OPTION: Final = re.compile(
    r"(?P<head>(?:options?|choices?|alternative|opt|op)[ _.-]?)?(?P<label>[A-Z]|\d{1,2})", re.I
)


def side_columns(names: Iterable[str]) -> list[str]:
    """Return the columns of an input that are read next to the targets, in their order."""
    listed = list(names)
    options = set(option_columns(listed).values())
    known = {*MEDIA, *CHAT_ONLY, *PAIR_ONLY}
    return [name for name in listed if name in options or name.casefold() in known]


def option_columns(names: Sequence[str]) -> dict[str, str]:
    """Return the columns that hold one option each, by label: option_a, Choice A, opa, A, option1.

    Letters run from A and numbers from 0 or 1 without a gap, and there are at least two; bare
    letters are capitals.
    """
    runs: dict[str, dict[str, str]] = {}
    for name in names:
        match = _OPTION.fullmatch(name.strip())
        if match is None or (not match["head"] and not re.fullmatch("[A-Z]", match["label"])):
            continue
        label = match["label"].upper()
        label = str(int(label)) if label.isdigit() else label
        runs.setdefault((match["head"] or "").casefold(), {})[label] = name
    # Named columns come before bare letters, which may be anything else of the record.
    for head in sorted(runs, key=lambda head: not head):
        labels = runs[head]
        for first in "A", "0", "1":
            run: list[str] = []
            while (label := _label(first, len(run))) in labels:
                run.append(label)
            if len(run) > 1:
                return {label: labels[label] for label in run}
    return {}


def _label(first: str, steps: int) -> str:
    return str(int(first) + steps) if first.isdigit() else chr(ord(first) + steps)
