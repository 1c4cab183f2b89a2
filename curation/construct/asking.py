"""Ask about one sample: attempts until enough are accepted, then attempts without the picture."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import ceil
from typing import TYPE_CHECKING, Any, Final

from curation.construct.caption_questions import CaptionQuestion
from curation.construct.gates import find_faults, find_sentence_faults
from curation.construct.grades import grading_turns, read_grades, stated
from curation.construct.judge import judge_answer
from curation.construct.kept_fact import keeps_fact
from curation.construct.prompts import UNSEEN, AskedKind, asking_turns, caption_turns
from curation.construct.reply_parts import ReplyParts, split_reply
from curation.construct.settings import ConstructRecipe
from curation.construct.teacher import Question, Teacher, TeacherReply, prompt_hash
from curation.construct.verify import UNDECIDED, AskedQuestion, Verdict, verify
from medsift.models.chat_format import Turn
from medsift.replies.reasoning import without_reasoning

if TYPE_CHECKING:
    from PIL.Image import Image

BYTES_PER_TOKEN: Final = 4
"""UTF-8 bytes of a token, near what byte-pair vocabularies make of English and Chinese."""
NO_REASONING: Final = ("rewrite", "caption_to_qa", "quality")
GRADED: Final = Verdict("right", "scale")
CUT: Final = "length"
"""The finish reason of a reply that reached the most tokens."""


@dataclass(frozen=True, slots=True)
class Task:
    """One sample as it is asked about; `content` is the digest of its pictures and turns.

    `about` is that of the sample for what is derived from one.
    """

    sample_id: str
    content: str
    turns: tuple[Turn, ...]
    asked: AskedQuestion
    kind: AskedKind
    pictures: int
    load: Callable[[], Sequence[Image]]
    tags: Mapping[str, Any] = field(default_factory=dict)
    about: str = ""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One reply of the teacher and what became of it.

    `tokens` are those of the reasoning, or of the answer for kinds without one.
    """

    kind: AskedKind
    number: int
    reply_id: str
    prompt_hash: str
    reply: TeacherReply
    parts: ReplyParts
    verdict: Verdict
    faults: tuple[str, ...]
    tokens: int

    @property
    def accepted(self) -> bool:
        """Whether it saw the picture, its answer is right and its reasoning has no fault."""
        return self.kind != "blind" and self.verdict.outcome == "right" and not self.faults


@dataclass(frozen=True, slots=True)
class MadeQuestion:
    """A question made of a caption, by which attempt, and why it is refused, if it is."""

    made: CaptionQuestion
    place: int
    faults: tuple[str, ...]
    text_solvable: bool | None


@dataclass(frozen=True, slots=True)
class Asked:
    """All attempts of a sample in order; `text_solvable` is None where that was not asked."""

    task: Task
    attempts: tuple[Attempt, ...]
    text_solvable: bool | None
    questions: tuple[MadeQuestion, ...] = ()


def ask_about(
    task: Task, teacher: Teacher, judge: Teacher | None, recipe: ConstructRecipe
) -> Asked:
    """Ask until enough attempts are accepted, there were enough, or another would not help."""
    attempts: list[Attempt] = []
    for number in range(recipe.attempts):
        attempt = attempt_once(task, task.kind, number, teacher, judge, recipe)
        repeats = asks_in_vain(attempt, attempts)
        # Two equal grades agree; two equal trains of thought teach once.
        alike = task.kind == "quality"
        attempts.append(attempt if alike else _marked_repeat(attempt, attempts))
        enough = sum(one.accepted for one in attempts) >= recipe.accepted
        if enough or (repeats and not (alike and attempt.accepted)):
            break
    accepted = any(one.accepted for one in attempts)
    if not accepted and "label_told" in recipe.kinds and not attempts[-1].reply.refused:
        attempts.append(attempt_once(task, "label_told", 0, teacher, judge, recipe))
        accepted = attempts[-1].accepted
    solvable = None
    if accepted and task.pictures and recipe.blind.attempts and recipe.purpose == "reasoning":
        blind, solvable = ask_blind(task, teacher, judge, recipe)
        attempts += blind
    return Asked(task, tuple(attempts), solvable)


def refused(task: Task, teacher: Teacher, refusal: TeacherReply, questions: int) -> Asked:
    """Return a sample that is not asked about, as the endpoint refuses requests like its own."""
    question = question_of(task, task.kind, 0, questions)
    attempt = Attempt(
        task.kind,
        0,
        teacher.key(question),
        prompt_hash(question.turns),
        refusal,
        split_reply(""),
        UNDECIDED,
        ("no_reply",),
        0,
    )
    return Asked(task, (attempt,), None)


def ask_blind(
    task: Task, teacher: Teacher, judge: Teacher | None, recipe: ConstructRecipe
) -> tuple[list[Attempt], bool]:
    """Ask without the picture until half of the attempts are right, or that is out of reach."""
    most, needed = recipe.blind.attempts, ceil(recipe.blind.attempts / 2)
    attempts: list[Attempt] = []
    right = 0
    while right < needed <= right + most - len(attempts):
        attempts.append(attempt_once(task, "blind", len(attempts), teacher, judge, recipe))
        right += attempts[-1].verdict.outcome == "right"
    return attempts, right >= needed


def asks_in_vain(attempt: Attempt, before: Sequence[Attempt]) -> bool:
    """Return whether another attempt would not help: a teacher that repeats itself or refuses."""
    return attempt.reply.refused or (bool(before) and _same_words(attempt, before[-1]))


def attempt_once(
    task: Task,
    kind: AskedKind,
    number: int,
    teacher: Teacher,
    judge: Teacher | None,
    recipe: ConstructRecipe,
) -> Attempt:
    """Ask once, and say what became of the reply. Raises as `Teacher.ask` does."""
    question = question_of(task, kind, number, recipe.questions)
    reply = teacher.ask(question)
    parts = split_reply(reply.text or "", reply.reasoning)
    if kind in NO_REASONING:
        # The whole reply is the answer, also where it has a line like `Answer:`.
        parts = ReplyParts("", without_reasoning(reply.text or "").strip(), "none")
    tokens = estimate_tokens(parts.answer if kind in NO_REASONING else parts.reasoning)
    verdict, faults = UNDECIDED, ["no_reply"]
    if reply.text is not None:
        faults = ["truncated"]
        if reply.finish_reason != CUT:
            verdict, faults = _assess(task, kind, parts, tokens, judge, recipe)
    if kind == "quality" and verdict.outcome == "right":
        parts = parts._replace(answer=stated(read_grades(parts.answer, task.pictures) or {}))
    return Attempt(
        kind,
        number,
        teacher.key(question),
        prompt_hash(question.turns),
        reply,
        parts,
        verdict,
        tuple(faults),
        tokens,
    )


def _assess(
    task: Task,
    kind: AskedKind,
    parts: ReplyParts,
    tokens: int,
    judge: Teacher | None,
    recipe: ConstructRecipe,
) -> tuple[Verdict, list[str]]:
    """Return whether a whole reply is right, and why it is refused although it may be."""
    question, answer = task.asked.question, parts.answer
    if kind == "quality":
        whole = read_grades(answer, task.pictures) is not None
        return (GRADED, []) if whole else (UNDECIDED, ["malformed"])
    if kind == "caption_to_qa":
        # Its questions are judged one by one; see `ask_about_caption`.
        return UNDECIDED, []
    verdict = keeps_fact(answer, task.asked) if kind == "rewrite" else verify(answer, task.asked)
    if verdict == UNDECIDED and judge is not None:
        verdict = judge_answer(judge, task.about or task.content, task.asked, answer)
    if kind == "rewrite":
        return verdict, find_sentence_faults(answer, tokens, task.tags, question)
    faults = (
        []
        if kind == "blind"
        else find_faults(parts.reasoning, tokens, task.tags, question, recipe.gates)
    )
    return verdict, faults


def question_of(task: Task, kind: AskedKind, number: int, questions: int) -> Question:
    """Return the request of an attempt of a kind; `questions` are asked for of a caption."""
    shown = 0 if kind in UNSEEN else task.pictures
    if kind == "caption_to_qa":
        turns = caption_turns(task.asked.gold, shown, questions)
    elif kind == "quality":
        turns = grading_turns(task.asked.question, task.asked.gold, shown)
    else:
        turns = asking_turns(task.turns, shown, kind, task.asked)
    about = task.about or task.content
    return Question(about, task.content, turns, number, task.load if shown else tuple)


def estimate_tokens(text: str) -> int:
    """Return the estimated tokens of a text, so that gates are the same for every endpoint."""
    return -(-len(text.encode("utf-8", "replace")) // BYTES_PER_TOKEN)


def _marked_repeat(attempt: Attempt, before: Sequence[Attempt]) -> Attempt:
    """Return an attempt, refused where an earlier one of the sample says the very same."""
    if not any(_same_words(attempt, one) for one in before):
        return attempt
    return replace(attempt, faults=(*attempt.faults, "repeated_reply"))


def _same_words(one: Attempt, other: Attempt) -> bool:
    """Return whether two replies are word for word the same, reasoning included."""
    said = (one.reply.text, one.reply.reasoning)
    return one.reply.text is not None and said == (other.reply.text, other.reply.reasoning)
