"""Split a teacher's reply into its reasoning and its answer, however the teacher marks them."""

from __future__ import annotations

import re
from typing import Final, Literal, NamedTuple

from medsift.replies.reasoning import split_reasoning

Form = Literal["field", "tag", "inline", "none"]

# The last line that states the answer, as the prompts ask for it, or an answer tag at the end.
ANSWER_LINE: Final = re.compile(
    r"^[ \t>#*_]{0,6}(?:(?:the[ \t])?(?:final[ \t])?answer(?:[ \t]is)?|(?:最终)?答案)[*_]{0,3}"
    r"[ \t]?[:：][\s*_]{0,6}(?=\S)|<(?:final_)?answer>",
    re.IGNORECASE | re.MULTILINE,
)
CLOSING_TAG: Final = re.compile(r"</(?:final_)?answer>\s*\Z", re.IGNORECASE)


class ReplyParts(NamedTuple):
    """The reasoning and the answer of a reply, both stripped, and how they were separated.

    `form` is `field` for reasoning in a field of its own, `tag` for reasoning in tags, `inline` for
    reasoning before a line that states the answer, and `none` where nothing divides them: then all
    of the reply is answer.
    """

    reasoning: str
    answer: str
    form: Form


def split_reply(content: str, reasoning_field: str | None = None) -> ReplyParts:
    """Split a reply's content, and what the endpoint gave as `reasoning_content`, if anything.

    Tags may be unclosed, nested or empty: what follows an opening tag that nothing closes is
    reasoning, and so is what precedes a closing tag that nothing opened.
    """
    thoughts, rest = (part.strip() for part in split_reasoning(content))
    separate = (reasoning_field or "").strip()
    if separate:
        return ReplyParts(separate, rest, "field")
    if thoughts:
        return ReplyParts(thoughts, rest, "tag")
    lines = list(ANSWER_LINE.finditer(rest))
    if not lines:
        return ReplyParts("", rest, "none")
    answer = CLOSING_TAG.sub("", rest[lines[-1].end() :]).strip()
    return ReplyParts(rest[: lines[-1].start()].strip(), answer, "inline")
