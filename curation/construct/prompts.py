"""Write what the teacher and the judge are asked, and join a wrong attempt to a right one."""

from __future__ import annotations

from collections.abc import Sequence
from types import MappingProxyType
from typing import Final, Literal

from curation.construct.verify import AskedQuestion
from medsift.models.chat_format import Turn
from medsift.models.image_text import marked
from medsift.replies.closed import polarity
from medsift.text import IMAGE_MARKER

AskedKind = Literal[
    "plain", "reflective", "label_told", "blind", "rewrite", "caption_to_qa", "quality"
]
UNSEEN: Final = ("blind", "rewrite")
"""Kinds that are asked without the pictures."""

ANSWER_FORMS: Final = MappingProxyType(
    {
        "choice": "the letter of the right option",
        "yes_no": "yes or no",
        "open": "a single word or a short phrase",
    }
)
_END: Final = (
    "Write in the language of the question, and end with one line that has your answer and nothing "
    "else: `Answer: ` and {form}."
)
INSTRUCTIONS: Final = MappingProxyType(
    {
        "plain": "Reason step by step from what is seen to the answer, before you state it.",
        "reflective": (
            "Reason in four steps before you state the answer: form a first hypothesis from what "
            "is seen; ask yourself the question that would show it to be wrong; answer that from "
            "what is seen; keep the hypothesis or refine it."
        ),
        "label_told": (
            "The right answer is: {gold}\nReason step by step from what is seen to this answer, as "
            "if you had not been shown it, and do not mention that you were."
        ),
        "blind": (
            "No picture is shown. Reason step by step from the words alone to the likeliest "
            "answer, before you state it."
        ),
        "rewrite": (
            "The right answer is: {gold}\nWrite it as one full sentence that answers the question. "
            "Keep every side, number, unit and negation as it is, add no finding, and reply with "
            "the sentence alone, in the language of the question."
        ),
    }
)
CAPTION_PROMPT: Final = (
    "The caption of this picture:\n{caption}\n\nWrite {count} different questions that somebody "
    "who sees the picture, but not the caption, can answer. The caption must state each answer. Do "
    "not mention the caption, and keep the answer out of the question. Mix questions with four "
    "options, questions to be answered by yes or no, and open ones with an answer of a few words. "
    "Write in the language of the caption. Reply with JSON alone, a list of objects: "
    '[{"question": "…", "options": ["…"], "answer": "…"}]; `options` is empty where there are '
    "none, and `answer` is one of them where there are."
)
READING_PROMPT: Final = (
    "Text: {caption}\n\nAnswer from this text alone; where it does not say, answer `not stated`.\n"
    "{question}\n\nEnd with one line that has your answer and nothing else: `Answer: ` and {form}."
)
JUDGE_PROMPT: Final = (
    "Question about a medical image: {question}\n\nFirst answer: {first}\nSecond answer: {second}"
    "\n\nDo the two answers say the same? Another side, number, negation or finding is another "
    "answer. Reply with one line and nothing else: yes or no."
)
BRIDGES: Final = MappingProxyType(
    {
        "en": "Wait: “{wrong}” does not fit what is seen. Looking again.",
        "zh": "等等：“{wrong}”与所见不符，再看一遍。",
    }
)
"""How a wrong attempt leads to a right one; without one for a language, none are joined."""


def asking_turns(
    turns: Sequence[Turn], pictures: int, kind: AskedKind, asked: AskedQuestion
) -> tuple[Turn, ...]:
    """Return the turns that ask a teacher, with a mark for each picture it is shown.

    There is no system turn, which some chat templates refuse: its words lead the first question.
    """
    words = INSTRUCTIONS[kind].replace("{gold}", asked.gold)
    if kind != "rewrite":
        words = f"{words}\n{_END.replace('{form}', answer_form(asked))}"
    listed = without_system(turns)
    if kind in UNSEEN:
        listed = tuple((role, IMAGE_MARKER.sub("", content).strip()) for role, content in listed)
    role, question = listed[-1]
    listed = (*listed[:-1], (role, f"{question.strip()}\n\n{words}"))
    return listed if kind in UNSEEN else marked(listed, pictures)


def answer_form(asked: AskedQuestion) -> str:
    """Return in words what an answer to a question looks like."""
    form = "choice" if asked.options else "open" if polarity(asked.gold) is None else "yes_no"
    return ANSWER_FORMS[form]


def caption_turns(caption: str, pictures: int, count: int) -> tuple[Turn, ...]:
    """Return the turn that asks for questions about a captioned picture."""
    plain = IMAGE_MARKER.sub("", caption).strip()
    text = CAPTION_PROMPT.replace("{count}", str(count)).replace("{caption}", plain)
    return marked((("user", text),), pictures)


def reading_turns(caption: str, asked: AskedQuestion) -> tuple[Turn, ...]:
    """Return the turn that asks what a caption answers to a question."""
    plain = IMAGE_MARKER.sub("", caption).strip()
    text = READING_PROMPT.replace("{form}", answer_form(asked))
    return (("user", text.replace("{question}", asked.question).replace("{caption}", plain)),)


def without_system(turns: Sequence[Turn]) -> tuple[Turn, ...]:
    """Return turns with the words of system turns in front of the first question."""
    system = "\n\n".join(content for role, content in turns if role == "system" and content.strip())
    rest = [turn for turn in turns if turn[0] != "system"]
    if system:
        rest[0] = (rest[0][0], f"{system}\n\n{rest[0][1]}")
    return tuple(rest)


def judging_turns(question: str, first: str, second: str) -> tuple[Turn, ...]:
    """Return the turn that asks whether two answers say the same."""
    words = {"question": question, "first": first, "second": second}
    text = JUDGE_PROMPT
    for name, value in words.items():
        text = text.replace(f"{{{name}}}", IMAGE_MARKER.sub("", value).strip())
    return (("user", text),)


def join_correction(wrong: str, wrong_answer: str, right: str, language: str | None) -> str | None:
    """Return wrong reasoning that turns into right reasoning; None without words to join them."""
    bridge = BRIDGES.get(language or "")
    if bridge is None:
        return None
    brief = " ".join(wrong_answer.split())
    return f"{wrong}\n\n{bridge.replace('{wrong}', brief)}\n\n{right}"
