"""Read what a reply claims of each option: asserted, denied, or merely listed.

Works on text in which every mention of an option is one character (`mentions`). The text is cut
into clauses, so that a negation reaches no further than its own clause. An option counts as
asserted only in a clause that says so: alone ("so B"), as a subject ("B is correct") or behind a
verb of choice or finding ("I choose B", "it is B"). What fits none of these is
listed, and affirmed where nothing in its clause keeps it from being a finding: "the lesion
lies in the left lobe".
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from itertools import pairwise

from evaluation.scoring.claim_phrases import (
    ALSO,
    ANNOUNCES,
    ASKED,
    BARE_BEFORE,
    BARE_BEHIND,
    BETTER,
    CONDITION,
    CONJUNCTION,
    DEFINES,
    DISOWNS,
    EXPLAINS,
    FRAME,
    FRAME_BEHIND,
    GENERAL,
    GROUP,
    IDIOM,
    JOIN,
    LANDMARK,
    LESS,
    MAY_BE,
    NEGATIVE,
    NEXT,
    NUMBER,
    PARAGRAPH,
    PAST,
    QUALIFIES,
    QUESTION,
    RIGHT,
    SPLIT,
    UNDECIDED,
    WEAK,
    WITHIN,
    WOULD_SHOW,
    WRONG,
)
from evaluation.scoring.hypotheses import without_hypotheses
from evaluation.scoring.mentions import FIRST_MARK, LED, MARK
from evaluation.scoring.ticks import mark_verdicts


@dataclass
class Claims:
    """Places of the options that a text asserts, denies and lists."""

    asserted: set[int] = field(default_factory=set)
    denied: set[int] = field(default_factory=set)
    listed: set[int] = field(default_factory=set)
    affirmed: set[int] = field(default_factory=set)
    """Those of `listed` that a clause speaks of without doubt, comparison or general knowledge."""
    tentative: set[int] = field(default_factory=set)
    """Those of `asserted` that were only thought possible, before any firm claim."""
    landmarks: set[int] = field(default_factory=set)
    """Places of options that a text only names to say where something lies."""
    vague: frozenset[int] = frozenset()
    """Options that are said of many parts of a picture: "the heart is normal"."""
    disowned: bool = False
    """Whether a clause of its own takes something back: "I do not see that here"."""
    offered: bool = False
    """Whether several options are given where one answer should stand: "A or B"."""
    beside: bool = False
    """Whether an option is named as one more answer: "B too"."""


@dataclass
class Item:
    """One entry of a list of options: its place and the clauses about it."""

    place: int
    clauses: list[str] = field(default_factory=list)
    ends: bool = False
    """Whether an empty line follows."""
    explained: bool = False
    """Whether "Explanation" or the like follows, so that what comes then is about the answer."""


def read_claims(marked: str, vague: frozenset[int] = frozenset()) -> Claims:
    """Classify every mention of an option in a marked text."""
    text = mark_verdicts(IDIOM.sub(" ", marked))
    # A question names options without claiming them; one that is an option and no more asks for
    # the verdict behind it: "A? No. B? Yes."
    text = QUESTION.sub("\n", ASKED.sub(rf"\1{LED} ", text))
    text = ANNOUNCES.sub("\n", text)
    text = without_hypotheses(BETTER.sub(" rather than ", text))
    claims = Claims(vague=vague)
    items: list[Item] = []
    in_list = False
    for clause in _clauses(_joined(text)):
        opened = _opened(clause)
        if opened is not None:
            items.append(opened)
            in_list = True
        elif in_list and not re.search(MARK, clause) and clause != PARAGRAPH:
            items[-1].clauses.append(clause)
        elif clause == PARAGRAPH and items:
            in_list, items[-1].ends = False, True
        elif items and EXPLAINS.match(clause):
            in_list, items[-1].explained = False, True
        else:
            in_list = False
            claims.disowned |= _disowns(clause)
            _read_clause(clause, claims)
    _read_items(items, claims)
    return claims


def _joined(text: str) -> str:
    """Mentions with nothing between them but "and", "or", commas or line ends, joined to groups.

    Over line and sentence ends only ascending letters make a group: the answer behind an echo of
    all options begins anew.
    """
    marks = list(re.finditer(MARK, text))
    group: set[str] = set()
    closing = False  # After "and" or "or" a list has had its last entry.
    out: list[str] = []
    done = 0
    for one, after in pairwise(marks):
        gap = NEXT.fullmatch(text, one.end(), after.start())
        group.add(one[0])
        # "Of A, B and C, B is best": a group names each option once.
        if not gap or after[0] in group:
            group, closing = set(), False
            continue
        ended = closing and "," in gap[0] and not CONJUNCTION.search(gap[0])
        closing = closing or CONJUNCTION.search(gap[0]) is not None
        beside = gap["join"] is not None or not re.search(r"[\n.;。]", gap["gap"])
        lines = text[one.end() : one.end() + 1] == LED or "\n" in gap[0]
        if (beside and not ended) or (lines and after[0] > one[0]):
            out += [text[done : one.end()], JOIN]
            done = after.start()
        else:
            group, closing = set(), False
    return "".join((*out, text[done:]))


def _clauses(text: str) -> list[str]:
    """Clauses in order; an empty line is a clause of its own, as it ends a list's entry."""
    found: list[str] = []
    for number, part in enumerate(re.split(r"\n\s*\n", text)):
        found += [PARAGRAPH] if number else []
        found += [clause for clause in SPLIT.split(part) if clause and clause.strip()]
    return found


def _opened(clause: str) -> Item | None:
    """The list entry that a clause opens: one option with a list mark behind its letter."""
    text = clause.lstrip()
    if text[1:2] != LED or not re.match(MARK, text):
        return None
    return Item(ord(text[0]) - FIRST_MARK, [text[2:]])


def _read_clause(clause: str, claims: Claims) -> None:
    groups = list(GROUP.finditer(clause))
    if not groups or CONDITION.match(clause):
        return
    start = 0
    for place, group in enumerate(groups):
        end = groups[place + 1].start() if place + 1 < len(groups) else len(clause)
        before, behind = clause[start : group.start()], clause[group.end() : end]
        start = group.end()
        _read_group(group[0], before, behind.replace(LED, " "), claims, opens=place == 0)


def _read_group(group: str, before: str, behind: str, claims: Claims, *, opens: bool) -> None:
    places = {ord(mark) - FIRST_MARK for mark in group if mark != JOIN}
    before = LESS.sub(" ", before)
    whole = before + " " + behind
    if PAST.search(before):
        # What was thought at first is not thought any more.
        claims.denied |= places
    elif UNDECIDED.search(whole) or WOULD_SHOW.match(behind):
        claims.listed |= places
    elif NEGATIVE.search(before.replace("no, ", "")) or WRONG.match(behind):
        claims.denied |= places
    elif LANDMARK.search(before):
        # "Lateral to the spleen" says where the answer lies.
        claims.landmarks |= places
    elif ALSO.match(behind):
        # "B too": one more answer next to another.
        claims.asserted |= places
        claims.beside = True
    elif len(places) > 1:
        claims.listed |= places
        bare = BARE_BEFORE.fullmatch(before) and BARE_BEHIND.fullmatch(behind)
        claims.offered |= bool(
            bare or ALSO.match(behind) or RIGHT.match(behind) or FRAME.search(before)
        )
    elif _asserts(before, behind, opens):
        _assert(places, claims, tentative=MAY_BE.search(before) is not None)
    else:
        claims.listed |= places
        if _affirms(before, behind, vague=bool(places & claims.vague)):
            claims.affirmed |= places


def _assert(places: set[int], claims: Claims, *, tentative: bool) -> None:
    """A firm claim replaces what was only thought possible before it: "could be C, but I say B"."""
    if not tentative:
        claims.asserted -= claims.tentative
        claims.tentative = set()
    elif not claims.asserted:
        claims.tentative |= places
    claims.asserted |= places


def _asserts(before: str, behind: str, opens: bool) -> bool:
    if opens and BARE_BEFORE.fullmatch(before) and BARE_BEHIND.fullmatch(behind):
        return True
    if RIGHT.match(behind) and not NEGATIVE.search(before):
        return True
    return bool(FRAME.search(before) and FRAME_BEHIND.match(behind))


def _disowns(clause: str) -> bool:
    return not re.search(MARK, clause) and DISOWNS.match(clause) is not None


def _affirms(before: str, behind: str, *, vague: bool) -> bool:
    """Whether a clause that is no plain claim still speaks of its option as what is there."""
    if WEAK.search(before) or WEAK.search(behind) or NEGATIVE.search(behind):
        return False
    if GENERAL.search(before) or DEFINES.match(behind):
        return False
    if QUALIFIES.match(behind) and not WITHIN.search(before):
        return False
    return not vague or BARE_BEFORE.fullmatch(before) is not None


def _read_items(items: list[Item], claims: Claims) -> None:
    """Claims of the entries of an option list; a lone entry without a verdict is the answer."""
    places = {item.place for item in items}
    verdicts: dict[int, set[bool]] = {place: set() for place in places}
    for item in items:
        verdicts[item.place] |= _verdicts(item)
    for place, said in verdicts.items():
        lone = len(places) == 1 and not _is_number(items)
        if said == {True} or (not said and lone):
            claims.asserted.add(place)
        elif said == {False}:
            claims.denied.add(place)
        else:
            claims.listed.add(place)
            if not said and not _is_number(items):
                claims.affirmed.add(place)
    first = items[0] if items else None
    # An answer of its own above a discussion of the options: "B. Pleural effusion", an empty line,
    # then a list that goes back to A, or is headed as the explanation.
    apart = first and len(places) > 1 and first.ends and not verdicts[first.place]
    if first and apart and (first.explained or items[1].place < first.place):
        claims.asserted.add(first.place)
    open_places = {place for place, said in verdicts.items() if not said}
    if len(places) > 2 and len(open_places) == 1 and not claims.asserted:
        claims.asserted |= open_places


def _is_number(items: list[Item]) -> bool:
    """Whether nothing but a number is said of the option: "A: 0.05" is a probability."""
    said = [clause for item in items for clause in item.clauses if clause.strip()]
    return bool(said) and all(NUMBER.fullmatch(clause) for clause in said)


def _verdicts(item: Item) -> set[bool]:
    """What the clauses about an option say of it: True, False, both or neither.

    The first clause may begin with a verdict ("unlikely, no air"), others must be one ("so
    unlikely"): "no air" is no verdict on the option.
    """
    said: set[bool] = set()
    for number, clause in enumerate(item.clauses):
        text = clause.strip()
        if UNDECIDED.search(text):
            continue
        ends = WRONG.match(text), RIGHT.match(text)
        for found, value in zip(ends, (False, True), strict=True):
            if found and (number == 0 or len(text) - found.end() < 24):
                said.add(value)
                break
    return said
