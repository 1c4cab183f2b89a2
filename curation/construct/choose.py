"""Choose one trace for each sample, and keep text-solvable and corrected ones to their shares."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np

from curation.construct.asking import Asked, Attempt, estimate_tokens
from curation.construct.gates import find_faults
from curation.construct.prompts import join_correction
from curation.construct.settings import ConstructRecipe, Kind
from medsift.records import digest

LISTS: Final = ("lengths", "kinds", "numbers", "corrections", "reasonings", "rungs")


@dataclass(frozen=True, slots=True)
class Candidate:
    """What choosing needs of one sample.

    `lengths` are the tokens of its accepted attempts in order, `kinds` their kinds, `numbers` their
    places among all attempts. `correction` is the reasoning of a wrong first attempt joined to that
    of each accepted one, None where there is none.
    """

    sample_id: str
    lengths: tuple[int, ...]
    kinds: tuple[Kind, ...]
    numbers: tuple[int, ...]
    corrections: tuple[str | None, ...]
    reasonings: tuple[str, ...]
    rungs: tuple[str, ...]
    text_solvable: bool | None
    reason: str | None
    """Why nothing was accepted."""
    answers: tuple[str, ...] = ()
    """New answers, for kinds that give one."""
    question: str | None = None
    question_number: int | None = None


@dataclass(frozen=True, slots=True)
class Trace:
    """The fate of one sample: a kept trace, or why there is none."""

    sample_id: str
    action: str
    reason: str | None = None
    kind: Kind | None = None
    number: int | None = None
    reasoning: str | None = None
    tokens: int | None = None
    rung: str | None = None
    text_solvable: bool | None = None
    question: str | None = None
    question_number: int | None = None
    answer: str | None = None

    @property
    def lot(self) -> str:
        """Return what orders traces at random, and the same in every run."""
        number = [] if self.question_number is None else [str(self.question_number)]
        return digest("lot", self.sample_id, *number)


def candidates_of(asked: Asked, recipe: ConstructRecipe) -> list[Candidate]:
    """Return what choosing needs of the attempts of a sample: of a caption, of each question."""
    if asked.questions:
        return [_question_candidate(asked, number) for number in range(len(asked.questions))]
    accepted = [(place, one) for place, one in enumerate(asked.attempts) if one.accepted]
    candidate = Candidate(
        asked.task.sample_id,
        tuple(one.tokens for _, one in accepted),
        tuple(_kind(one) for _, one in accepted),
        tuple(place for place, _ in accepted),
        tuple(_correction(asked, one, recipe) for _, one in accepted),
        tuple(one.parts.reasoning for _, one in accepted),
        tuple(one.verdict.by for _, one in accepted),
        asked.text_solvable,
        None if accepted else why_none(asked.attempts),
        tuple(one.parts.answer for _, one in accepted) if recipe.purpose == "rewrite" else (),
    )
    return [candidate]


def _question_candidate(asked: Asked, number: int) -> Candidate:
    one = asked.questions[number]
    if one.faults:
        found: dict[str, Any] = dict.fromkeys(LISTS, ())
    else:
        found = {
            "lengths": (estimate_tokens(one.made.gold),),
            "kinds": ("caption_to_qa",),
            "numbers": (one.place,),
            "corrections": (None,),
            "reasonings": ("",),
            "rungs": ("caption",),
        }
    return Candidate(
        asked.task.sample_id,
        **found,
        text_solvable=one.text_solvable,
        reason=one.faults[0] if one.faults else None,
        answers=(one.made.gold,),
        question=one.made.text,
        question_number=number,
    )


def choose_traces(candidates: Sequence[Candidate], recipe: ConstructRecipe) -> list[Trace]:
    """Return the fate of each sample, in order; it does not depend on their order."""
    lengths = np.array([n for one in candidates for n in one.lengths], np.float64)
    low, high = middle_range(lengths)
    traces = [_choose(one, low, high) for one in candidates]
    kept = [at for at, trace in enumerate(traces) if trace.action == "kept"]
    for at in _beyond_share(
        [at for at in kept if traces[at].text_solvable], len(kept), recipe.blind.share, traces
    ):
        traces[at] = replace(traces[at], action="dropped", reason="text_solvable", kind=None)
    kept = [at for at in kept if traces[at].action == "kept"]
    joined = {at: _joined(candidates[at], traces[at]) for at in kept}
    possible = sorted((at for at in kept if joined[at] is not None), key=lambda at: traces[at].lot)
    for at in possible[: int(recipe.corrected_share * len(kept))]:
        text = joined[at] or ""
        traces[at] = replace(
            traces[at], kind="corrected", reasoning=text, tokens=estimate_tokens(text)
        )
    return traces


def middle_range(lengths: np.ndarray) -> tuple[float, float]:
    """Return median less and plus the median absolute deviation of lengths (n,)."""
    if not len(lengths):
        return 0.0, 0.0
    median = float(np.median(lengths))
    deviation = float(np.median(np.abs(lengths - median)))
    return median - deviation, median + deviation


def _choose(one: Candidate, low: float, high: float) -> Trace:
    """Choose the shortest attempt of the middle lengths, or the one nearest to them."""
    if not one.lengths:
        failed = one.reason in ("no_reply", "refused")
        return Trace(
            one.sample_id,
            "failed" if failed else "dropped",
            one.reason,
            question=one.question,
            question_number=one.question_number,
            answer=one.answers[0] if one.answers else None,
        )
    away = [max(low - n, n - high, 0.0) for n in one.lengths]
    at = min(range(len(away)), key=lambda place: (away[place], one.lengths[place], place))
    return Trace(
        one.sample_id,
        "kept",
        None,
        one.kinds[at],
        one.numbers[at],
        one.reasonings[at] or None,
        one.lengths[at],
        one.rungs[at],
        one.text_solvable,
        one.question,
        one.question_number,
        one.answers[at] if one.answers else None,
    )


def _beyond_share(
    members: Sequence[int], total: int, share: float, traces: Sequence[Trace]
) -> list[int]:
    """Return the members to leave out, so that the rest are at most a share of all that stay."""
    others = total - len(members)
    most = len(members) if share >= 1.0 else int(share / (1.0 - share) * others + 1e-9)
    return sorted(members, key=lambda at: traces[at].lot)[most:]


def _joined(one: Candidate, trace: Trace) -> str | None:
    return one.corrections[one.numbers.index(trace.number)] if trace.number is not None else None


def _kind(attempt: Attempt) -> Kind:
    assert attempt.kind != "blind"
    return attempt.kind


def _correction(asked: Asked, right: Attempt, recipe: ConstructRecipe) -> str | None:
    """Return a wrong first attempt joined to a right one, where both are fit to read."""
    first = asked.attempts[0]
    if "corrected" not in recipe.kinds or first.verdict.outcome != "wrong" or first.faults:
        return None
    if right.kind == "label_told":
        return None
    wrong, right_words = first.parts, right.parts.reasoning
    text = join_correction(wrong.reasoning, wrong.answer, right_words, asked.task.asked.language)
    if text is None:
        return None
    question, tokens = asked.task.asked.question, estimate_tokens(text)
    return None if find_faults(text, tokens, asked.task.tags, question, recipe.gates) else text


def why_none(attempts: Sequence[Attempt]) -> str:
    """Return why no attempt was accepted: the furthest that one of them came."""
    if attempts[0].reply.refused:
        return "refused"
    right = [one for one in attempts if one.verdict.outcome == "right"]
    if right:
        return right[0].faults[0]
    outcomes = {one.verdict.outcome for one in attempts if one.reply.text is not None}
    if not outcomes:
        return "no_reply"
    for fault in ("truncated", "malformed"):
        if all(fault in one.faults for one in attempts if one.reply.text is not None):
            return fault
    if attempts[0].kind == "caption_to_qa":
        return "no_questions"
    return "wrong" if "wrong" in outcomes else "undecided"
