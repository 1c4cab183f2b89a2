"""Read what a reply claims of each option: asserted, denied, or merely listed.

Works on text in which every mention of an option is one character (`mentions`). The text is cut
into clauses, so that a negation reaches no further than its own clause. An option counts as
asserted only in a clause that says so: alone ("so B"), as a subject ("B is correct") or behind a
verb of choice or finding ("I choose B", "it is B"). What fits none of these is
listed, and affirmed where nothing in its clause keeps it from being a finding: "the lesion
is seen in the left lobe".
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from itertools import pairwise

from medsift.replies import claim_phrases as phrases
from medsift.replies.mentions import FIRST_MARK, LED, MARK
from medsift.replies.ticks import mark_verdicts
from medsift.replies.unstated import without_hypotheses

LONGEST_TAIL = 24
"""Characters that may follow a verdict that ends an entry of an option list."""


@dataclass
class Claims:
    """Indices of the options that a text asserts, denies and lists."""

    asserted: set[int] = field(default_factory=set)
    denied: set[int] = field(default_factory=set)
    listed: set[int] = field(default_factory=set)
    affirmed: set[int] = field(default_factory=set)
    """Those of `listed` that a clause names without doubt, comparison or general knowledge."""
    tentative: set[int] = field(default_factory=set)
    """Those of `asserted` that were only thought possible, before any firm claim."""
    vague: frozenset[int] = frozenset()
    """Options that are said of many parts of a picture: "the heart is normal"."""
    disowned: bool = False
    """Whether a clause of its own takes something back: "I do not see that here"."""
    offered: bool = False
    """Whether several options are given where one answer is wanted: "A or B"."""
    adds: bool = False
    """Whether an option is named as one more answer: "B too"."""


@dataclass
class ListEntry:
    """One entry of a list of options: the option's index and the clauses about it."""

    option: int
    clauses: list[str] = field(default_factory=list)
    ends: bool = False
    """Whether an empty line follows."""
    explained: bool = False
    """Whether "Explanation" or the like follows, so that what comes then is about the answer."""


def read_claims(marked: str, vague: frozenset[int] = frozenset()) -> Claims:
    """Classify every mention of an option in a marked text."""
    text = mark_verdicts(phrases.IDIOM.sub(" ", marked))
    # A question names options without claiming them; one that is an option and no more asks for
    # the verdict behind it: "A? No. B? Yes."
    text = phrases.QUESTION.sub("\n", phrases.ASKED.sub(rf"\1{LED} ", text))
    text = phrases.ANNOUNCES.sub("\n", text)
    text = without_hypotheses(phrases.BETTER.sub(" rather than ", text))
    claims = Claims(vague=vague)
    entries: list[ListEntry] = []
    in_list = False
    for clause in _clauses(_join_mentions(text)):
        start = clause.lstrip()
        has_mention = re.search(MARK, clause) is not None
        if start[1:2] == LED and re.match(MARK, start):
            # A list mark behind an option opens its entry.
            entries.append(ListEntry(_option(start[0]), [start[2:]]))
            in_list = True
        elif in_list and not has_mention and clause != phrases.PARAGRAPH:
            entries[-1].clauses.append(clause)
        elif clause == phrases.PARAGRAPH and entries:
            in_list, entries[-1].ends = False, True
        elif entries and phrases.EXPLAINS.match(clause):
            in_list, entries[-1].explained = False, True
        else:
            in_list = False
            claims.disowned |= not has_mention and phrases.DISOWNS.match(clause) is not None
            _read_clause(clause, claims)
    _read_list(entries, claims)
    return claims


def _option(mark: str) -> int:
    return ord(mark) - FIRST_MARK


def _join_mentions(text: str) -> str:
    """Join mentions with nothing between them but "and", "or", commas or line ends to groups."""
    group: set[str] = set()
    closing = False  # After "and" or "or" a list has had its last entry.
    out: list[str] = []
    done = 0
    for mention, following in pairwise(re.finditer(MARK, text)):
        gap = phrases.NEXT.fullmatch(text, mention.end(), following.start())
        group.add(mention[0])
        joins = False
        # "Of A, B and C, B is best": a group names each option once.
        if gap and following[0] not in group:
            conjunction = phrases.CONJUNCTION.search(gap[0]) is not None
            ended = closing and "," in gap[0] and not conjunction
            closing = closing or conjunction
            same_sentence = gap["join"] is not None or not re.search(r"[\n.;。]", gap["gap"])
            in_lines = text[mention.end() : mention.end() + 1] == LED or "\n" in gap[0]
            # Over line and sentence ends only ascending letters make a group: the answer behind
            # an echo of all options begins anew.
            joins = (same_sentence and not ended) or (in_lines and following[0] > mention[0])
        if joins:
            out += [text[done : mention.end()], phrases.JOIN]
            done = following.start()
        else:
            group, closing = set(), False
    return "".join((*out, text[done:]))


def _clauses(text: str) -> list[str]:
    """Return clauses in order; an empty line is a clause of its own, as it ends a list's entry."""
    clauses: list[str] = []
    for number, paragraph in enumerate(re.split(r"\n\s*\n", text)):
        clauses += [phrases.PARAGRAPH] if number else []
        parts = phrases.SPLIT.split(paragraph)
        clauses += [part for part in parts if part and part.strip()]
    return clauses


def _read_clause(clause: str, claims: Claims) -> None:
    """Read the groups of mentions of a clause, each between the one before and the one after."""
    if phrases.CONDITION.match(clause):
        return
    groups = list(phrases.GROUP.finditer(clause))
    starts = [0, *(group.end() for group in groups)]
    ends = [*(group.start() for group in groups[1:]), len(clause)]
    for number, (group, start, end) in enumerate(zip(groups, starts, ends, strict=False)):
        before, behind = clause[start : group.start()], clause[group.end() : end].replace(LED, " ")
        _read_group(group[0], before, behind, claims, opens=number == 0)


def _read_group(group: str, before: str, behind: str, claims: Claims, *, opens: bool) -> None:
    """Sort a group of options into asserted, denied and listed.

    Args:
        group: one character for each option, joined.
        before: the clause's text before the group.
        behind: its text behind the group.
        claims: what is added to.
        opens: whether no other group is before it in the clause.
    """
    options = {_option(mark) for mark in group if mark != phrases.JOIN}
    before = phrases.LESS.sub(" ", before)
    # The order decides: a negation outweighs a verb of choice, "not B" is no claim of B.
    if phrases.PAST.search(before):
        # What was thought at first is not thought any more.
        claims.denied |= options
    elif phrases.UNDECIDED.search(f"{before} {behind}") or phrases.WOULD_SHOW.match(behind):
        claims.listed |= options
    elif phrases.NEGATIVE.search(before.replace("no, ", "")) or phrases.WRONG.match(behind):
        claims.denied |= options
    elif phrases.LANDMARK.search(before):
        # "Lateral to the spleen" says where the answer is, and claims nothing of the spleen.
        return
    elif phrases.ALSO.match(behind):
        # "B too": one more answer next to another.
        claims.asserted |= options
        claims.adds = True
    elif len(options) > 1:
        claims.listed |= options
        claims.offered |= _stands_alone(before, behind) or bool(
            phrases.RIGHT.match(behind) or phrases.FRAME.search(before)
        )
    elif (
        (opens and _stands_alone(before, behind))
        or (phrases.RIGHT.match(behind) and not phrases.NEGATIVE.search(before))
        or (phrases.FRAME.search(before) and phrases.FRAME_BEHIND.match(behind))
    ):
        _assert(options, claims, tentative=phrases.MAY_BE.search(before) is not None)
    else:
        claims.listed |= options
        if _affirms(before, behind, vague=bool(options & claims.vague)):
            claims.affirmed |= options


def _assert(options: set[int], claims: Claims, *, tentative: bool) -> None:
    if not tentative:
        # A firm claim replaces what was only thought possible: "could be C, but I say B".
        claims.asserted -= claims.tentative
        claims.tentative = set()
    elif not claims.asserted:
        claims.tentative |= options
    claims.asserted |= options


def _stands_alone(before: str, behind: str) -> bool:
    """Return whether nothing but lead words is around an option: "so I choose B, I think"."""
    bare_before, bare_behind = phrases.BARE_BEFORE.fullmatch, phrases.BARE_BEHIND.fullmatch
    return bool(bare_before(before) and bare_behind(behind))


def _affirms(before: str, behind: str, *, vague: bool) -> bool:
    """Return whether a clause that is no plain claim still names its option as what is there."""
    weak = phrases.WEAK.search(before) or phrases.WEAK.search(behind)
    general = phrases.GENERAL.search(before) or phrases.DEFINES.match(behind)
    attribute = phrases.QUALIFIES.match(behind) and not phrases.WITHIN.search(before)
    if weak or general or attribute or phrases.NEGATIVE.search(behind):
        return False
    return not vague or phrases.BARE_BEFORE.fullmatch(before) is not None


def _read_list(entries: list[ListEntry], claims: Claims) -> None:
    """Add the claims of the entries of an option list; a lone one without verdict is the answer."""
    if not entries:
        return
    verdicts: dict[int, set[bool]] = {entry.option: set() for entry in entries}
    for entry in entries:
        verdicts[entry.option] |= _verdicts(entry)
    clauses = [clause for entry in entries for clause in entry.clauses if clause.strip()]
    # "A: 0.05" is a probability and claims nothing.
    numbers = bool(clauses) and all(phrases.NUMBER.fullmatch(clause) for clause in clauses)
    for option, said in verdicts.items():
        if said == {True} or (not said and len(verdicts) == 1 and not numbers):
            claims.asserted.add(option)
        elif said == {False}:
            claims.denied.add(option)
        else:
            claims.listed.add(option)
            if not said and not numbers:
                claims.affirmed.add(option)
    # An answer of its own above a discussion of the options: "B. Pleural effusion", an empty line,
    # then a list that goes back to A, or is headed as the explanation.
    first = entries[0]
    apart = len(verdicts) > 1 and first.ends and not verdicts[first.option]
    if apart and (first.explained or entries[1].option < first.option):
        claims.asserted.add(first.option)
    # Of three or more, the one that is left when all others have a verdict is the answer.
    without_verdict = {option for option, said in verdicts.items() if not said}
    if len(verdicts) > 2 and len(without_verdict) == 1 and not claims.asserted:
        claims.asserted |= without_verdict


def _verdicts(entry: ListEntry) -> set[bool]:
    """Return what the clauses about an option say of it: True, False, both or neither."""
    said: set[bool] = set()
    for number, clause in enumerate(entry.clauses):
        text = clause.strip()
        if phrases.UNDECIDED.search(text):
            continue
        for pattern, value in ((phrases.WRONG, False), (phrases.RIGHT, True)):
            verdict = pattern.match(text)
            # The first clause may begin with a verdict ("unlikely, no air"), others must be one
            # ("so unlikely"): "no air" is no verdict on the option.
            if verdict and (number == 0 or len(text) - verdict.end() < LONGEST_TAIL):
                said.add(value)
                break
    return said
