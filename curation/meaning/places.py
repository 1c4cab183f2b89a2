"""Recognise words that have a meaning of their own in some places of a text and none in others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from curation.meaning.lists import UNSPACED, WordLists

PARTICLE: Final = "·"
"""Comes before a particle of a text without spaces, so that no character passes for one."""
VERB_LAST: Final = frozenset({"ja", "ko"})
HELPED: Final = (["been"], ["été"])
PICTURE: Final = frozenset({"modality", "plane", "sequence", "projection"})
"""Groups of what is said of a whole picture, wherever in the text it is."""


def is_idle(tokens: Sequence[str], place: int, lists: WordLists) -> bool:
    """Return whether a word says nothing there: "have" in "does the patient have a mass"."""
    token = tokens[place]
    if token in lists.objects:
        return place == 0 or tokens[place - 1] not in lists.asks
    if token in lists.can:
        return any(other in lists.seen for other in tokens)
    if token in lists.have:
        return _has_no_other_owner(tokens, place, lists)
    if token in lists.on:
        return _precedes_side_or_picture(tokens, place, lists)
    return token.startswith(PARTICLE)


def _has_no_other_owner(tokens: Sequence[str], place: int, lists: WordLists) -> bool:
    """Return whether "have" belongs to the patient or the picture, or helps another verb."""
    if tokens[place + 1 : place + 2] in HELPED or (place and tokens[place - 1] in lists.objects):
        return True
    return all(
        token in lists.objects or token in lists.asks or lists.concept.get(token) == ""
        for token in tokens[:place]
    )


def _precedes_side_or_picture(tokens: Sequence[str], place: int, lists: WordLists) -> bool:
    for token in tokens[place + 1 :]:
        concept = lists.concept.get(token)
        if token in lists.objects:
            return True
        if concept != "":
            group = (concept or "").partition(":")[0]
            return group == "side" or group in PICTURE
    return False


def mark_of(token: str, lists: WordLists) -> str:
    """Return the word or ending by which a token is marked as what something is done to."""
    if lists.language in UNSPACED:
        token = token.removeprefix(PARTICLE)
    if token in lists.objects_by:
        return token
    tail = next((tail for tail in lists.tails if token.endswith(tail) and token != tail), "")
    return tail if tail in lists.objects_by else ""


def counted_marks(
    marks: Sequence[tuple[int, str]], length: int, language: str
) -> tuple[tuple[int, str], ...]:
    """Return the marks that show who does what, of a text with `length` concepts.

    Where the verb comes last, a mark on the last concept belongs to a verb that only says that
    something is seen; elsewhere two concepts have no verb between them.
    """
    if language in VERB_LAST:
        return tuple((at, mark) for at, mark in marks if at < length - 1)
    return tuple(marks) if length > 2 else ()
