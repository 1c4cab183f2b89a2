"""Make questions of a caption, and verify each by reading the caption without its answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from curation.construct.asking import (
    Asked,
    Attempt,
    MadeQuestion,
    Task,
    ask_blind,
    asks_in_vain,
    attempt_once,
)
from curation.construct.caption_questions import (
    CaptionQuestion,
    find_question_faults,
    read_questions,
)
from curation.construct.prompts import reading_turns
from curation.construct.reply_parts import split_reply
from curation.construct.settings import ConstructRecipe
from curation.construct.teacher import Question, Teacher
from curation.construct.verify import AskedQuestion, Verdict, verify
from medsift.records import digest

RIGHT = Verdict("right", "caption")


def ask_about_caption(
    task: Task, teacher: Teacher, judge: Teacher | None, recipe: ConstructRecipe
) -> Asked:
    """Ask for questions until enough are accepted, there were enough, or another would not help.

    Raises as `Teacher.ask` does.
    """
    attempts: list[Attempt] = []
    blind: list[Attempt] = []
    questions: list[MadeQuestion] = []
    for number in range(recipe.attempts):
        attempt = attempt_once(task, "caption_to_qa", number, teacher, judge, recipe)
        in_vain = asks_in_vain(attempt, attempts)
        whole = attempt.reply.text is not None and not attempt.faults
        made = read_questions(attempt.parts.answer) if whole else []
        if made is None:
            attempt = replace(attempt, faults=("malformed",))
        room = recipe.questions - sum(not one.faults for one in questions)
        for one in [] if in_vain else (made or [])[:room]:
            listed = one.listed(recipe.seed, task.content)
            before = [other.made for other in questions if not other.faults]
            checked, tries = _check(task, listed, before, number, teacher, judge, recipe)
            blind += [replace(each, number=len(blind) + at) for at, each in enumerate(tries)]
            questions.append(checked)
        if any(one.place == number and not one.faults for one in questions):
            attempt = replace(attempt, verdict=RIGHT)
        attempts.append(attempt)
        if in_vain or sum(not one.faults for one in questions) >= recipe.accepted:
            break
    return Asked(task, (*attempts, *blind), None, tuple(questions))


def _check(
    task: Task,
    one: CaptionQuestion,
    before: Sequence[CaptionQuestion],
    place: int,
    teacher: Teacher,
    judge: Teacher | None,
    recipe: ConstructRecipe,
) -> tuple[MadeQuestion, list[Attempt]]:
    """Return a question with its faults, and the attempts to answer it without the picture."""
    caption, language = task.asked.gold, task.tags.get("language")
    faults = find_question_faults(one, caption, before, language)
    if not faults:
        asked = one.asked(language)
        outcome = _read_again(task, asked, judge or teacher).outcome
        faults = [] if outcome == "right" else [f"caption_{outcome}"]
    if faults or not (task.pictures and recipe.blind.attempts):
        return MadeQuestion(one, place, tuple(faults), None), []
    alone = replace(
        task,
        content=digest("question", task.content, one.text),
        turns=(("user", one.text),),
        asked=one.asked(language),
        kind="plain",
        about=task.content,
    )
    tries, solvable = ask_blind(alone, teacher, judge, recipe)
    return MadeQuestion(one, place, (), solvable), tries


def _read_again(task: Task, asked: AskedQuestion, reader: Teacher) -> Verdict:
    """Return the verdict on what a reader answers from the caption alone."""
    turns = reading_turns(task.asked.gold, asked)
    content = digest("caption_read", task.content, asked.question)
    reply = reader.ask(Question(task.content, content, turns, 0))
    parts = split_reply(reply.text or "", reply.reasoning)
    cut = reply.finish_reason == "length"
    return verify("" if cut else parts.answer, asked)
