"""Where the answer stands in a reply: after the reasoning, in a box or tag, behind "the answer is".

Every pattern here is linear in the reply's length, whatever the reply holds.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final

REASONING: Final = re.compile(r"<(/?)think(?:ing)?>", re.IGNORECASE)
EMPHASIS: Final = str.maketrans({"*": "", "`": "", "~": "", "_": " ", "\r": "\n", "\u200b": ""})
LINE_MARK: Final = re.compile(r"^[ \t]*(?:(?:#+|>+)(?:[ \t]+|$)|[-+•][ \t]+(?=\S))+", re.MULTILINE)
BRACE: Final = re.compile(r"\\boxed\s{0,9}\{|[{}]")
COMMAND: Final = re.compile(r"\\[a-z]{1,20}\s{0,9}\{([^{}]*)\}")
MATHS: Final = re.compile(r"\$|\\[()\[\],;!]")
MARKER: Final = re.compile(
    r"(?<![a-z])answer(?:\s(?:choice|option|letter))?"
    r"(?:\sto\s(?:the|this|your)\squestion)?\s{0,3}(?:(?<=\s)is(?![a-z])\s?:?|[:=])"
    r"|答案\s?应?该?\s?(?:[是为]\s?:?|:)"
)


def answer_span(reply: str) -> str:
    """The part of a reply that states the answer, folded to plain lower case.

    The last filled box, else the last filled answer tag, else the whole reply; and of that the
    line behind the last "answer:", "the answer is", "答案是", if there is one. Empty where the
    reply is empty or nothing but reasoning.
    """
    text = plain(without_reasoning(reply))
    if "\\" in text or "$" in text:
        text = _boxed(text)
    if "<answer>" in text:
        text = _tagged(text)
    if "answer" in text or "答案" in text:
        text = _marked(text)
    return text.strip()


def without_reasoning(reply: str) -> str:
    """The reply without its reasoning blocks.

    What stands before a closing tag that nobody opened is reasoning (the prompt opened it), and
    so is what follows an opening tag that nobody closes.
    """
    if "<" not in reply:
        return reply
    kept: list[str] = []
    start, inside = 0, False
    for tag in REASONING.finditer(reply):
        if tag[1] and not inside:
            kept = []
        elif not tag[1] and not inside:
            kept.append(reply[start : tag.start()])
        inside = not tag[1]
        start = tag.end()
    if not inside:
        kept.append(reply[start:])
    return " ".join(kept)


def fold(text: str) -> str:
    """Compatibility forms and case folded: full-width letters and signs become plain ones."""
    if text.isascii():
        return text.lower()
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())


def plain(text: str) -> str:
    """Folded text without Markdown's emphasis, headings, quotes and bullets."""
    text = fold(text).translate(EMPHASIS)
    return LINE_MARK.sub("", text)


def _boxed(text: str) -> str:
    r"""What the last filled and closed ``\boxed{}`` holds, else the text; both without LaTeX."""
    opened: list[int | None] = []
    found = text
    for brace in BRACE.finditer(text):
        if brace[0] == "{":
            opened.append(None)
        elif brace[0] != "}":
            opened.append(brace.end())
        elif opened and (start := opened.pop()) is not None:
            content = text[start : brace.start()]
            found = content if content.strip() else found
    return MATHS.sub("", COMMAND.sub(r"\1", found))


def _tagged(text: str) -> str:
    """What the last filled answer tag holds; one left open runs to the end."""
    for part in reversed(text.split("<answer>")[1:]):
        if content := part.split("</answer>", 1)[0].strip():
            return content
    return ""


def _marked(text: str) -> str:
    """The first filled line behind the last marker that has one; the text without markers."""
    end = len(text)
    for marker in reversed(list(MARKER.finditer(text))):
        if content := text[marker.end() : end].strip():
            return content.split("\n", 1)[0]
        end = marker.start()
    return text
