"""Find where a reply may state its answer: boxes, tags, JSON, "the answer is", or all.

Every pattern here is linear in the reply's length, whatever the reply holds.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from typing import Final, NamedTuple

from evaluation.scoring.hypotheses import is_hypothetical
from evaluation.scoring.reasoning import without_reasoning

EMPHASIS: Final = str.maketrans(
    {"*": "", "`": "", "~": "", "_": " ", "\r": "\n", "\u200b": "", "\ufeff": "", "’": "'"}
)
# "> 5 cm" is a comparison, "> five" a quotation.
LINE_MARK: Final = re.compile(
    r"^[ \t]*(?:(?:#+|>+)(?:[ \t]++(?!\d)|$)|[-+•][ \t]+(?=\S))+", re.MULTILINE
)
TABLE_ROW: Final = re.compile(r"^[ \t]*\|(.*)$", re.MULTILINE)
TABLE_RULE: Final = re.compile(r"^[ \t]*\|[-:| \t]+$", re.MULTILINE)
BREAK: Final = re.compile(r"</?(?:br|p|div|li|ul|ol|tr|table|h[1-6])\s?/?>")
STYLE: Final = re.compile(r"</?(?:b|i|u|em|strong|span|mark|code|pre|center|td|th|sub|sup|font)>")
BRACE: Final = re.compile(r"\\(?:boxed|fbox)\s{0,9}\{|[{}]")
EMPTY: Final = re.compile(r"\s*\}")
GLUE: Final = 24
JOINS: Final = frozenset({"and", "or", ",", "/", "&", "and/or", "和", "或", "、"})
COMMAND: Final = re.compile(r"\\[a-z]{1,20}\s{0,9}\{([^{}]*)\}")
SIGN: Final = re.compile(r"\\([a-z]{2,20}|%)(?![a-z])")
SIGNS: Final = {
    **{"uparrow": "↑", "downarrow": "↓", "rightarrow": "→", "leftarrow": "←", "%": "%"},
    **{"geq": "≥", "ge": "≥", "leq": "≤", "le": "≤", "pm": "±", "times": "×", "quad": " "},
    **{name: name for name in ("alpha", "beta", "gamma", "delta", "kappa", "lambda", "mu")},
}
MATHS: Final = re.compile(r"\$|\\[()\[\],;! ]")
TAG: Final = re.compile(
    r"<(/?)\s{0,3}(?:(?:final[ _-]?)?answer|conclusion|solution|output|choice|final|result)"
    r"\s{0,3}>|(<\|begin_of_box\|>)|(<\|end_of_box\|>)"
)
JSON: Final = re.compile(
    r"([\"'])(?:final[_ -]?|correct[_ -]?|selected[_ -]?|predicted[_ -]?)?"
    r"(?:answer|choice|option|prediction|答案)(?:[_ -]?(?:choice|option|letter|text))?\1\s{0,9}:"
    r"\s{0,9}(?:\"((?:[^\"\\]|\\.){0,5000})\"|'((?:[^'\\]|\\.){0,5000})'|\[([^\[\]]{0,5000})\]"
    r"|([^\s,{}\[\]\"']{1,5000}))"
)
_OF: Final = r"(?:\s(?:among|of|from)\s(?:the|these|those)\s(?:\w+\s)?(?:options|choices))?"
_OF_ANSWER: Final = (
    r"(?:\s(?:choice|option|letter))?(?:\s(?:to|for)\s(?:the|this|that|your)\squestion)?"
)
_SAYS: Final = (
    r"(?<=\s)(?:is|would\sbe|should\sbe|must\sbe|will\sbe|has\sto\sbe|could\sbe|might\sbe|may\sbe)"
    r"(?![a-z])\s?(?:[:=]|that(?![a-z]))?|[:=]|-+>?(?=\s)|(?=\n)"
)
MARKER: Final = re.compile(
    rf"(?<![a-z])(?:answers?{_OF_ANSWER}{_OF}"
    r"|(?:correct|right|best|final|chosen|selected|appropriate|likely)"
    rf"\s(?:option|choice|letter|response|selection|diagnosis|verdict|decision|conclusion){_OF}"
    rf"|conclusion(?=\s?[:\n]))\s{{0,3}}(?:{_SAYS})"
    r"|(?:答案|选项|选择|回答|结论)\s?应?该?\s?(?:(?<!不)[是为]\s?:?|:|】)|【答案】:?"
)
# What stands before a marker that states nothing, and what makes of "answer is" a plain sentence.
UNSTATED: Final = re.compile(
    r"(?:(?<![a-z])(?:if|whether|unless|suppos\w*|assum\w*|doubt|not\ssure|n't\s(?:think|believe)"
    r"|not\s(?:think|believe)|cannot|wrong|incorrect|unable)(?![a-z])"
    r"|n't|如果|假如|若|是否|无法|不能|难以|不认为|不确定|错误)[^.:;!?,。\n]{0,40}$"
)
# "The answer is right" may name a side, "the answer is right because" does not state one.
PREDICATE: Final = re.compile(
    r"\s{0,3}(?:(?:also|therefore|thus|not|only|well|largely|mainly|fully|partly|strongly|further)"
    r"\s)?(?:(?:supported|based|consistent|limited|derived|inferred|because|obvious|evident"
    r"|uncertain|unclear|given|shown|confirmed|correct|incorrect|wrong|in\sline|as\sfollows|provided"
    r"|explained|reasonable|subject\sto|due\sto|dependent|why|how|that|restricted|grounded"
    r"|in\sagreement|in\skeeping|justified|determined|reached|obtained|highly\s\w)(?![a-z])"
    r"|(?:right|clear|appropriate|made|meant|intended|what)\s(?:because|as|since|given|for|by|to|i"
    r"|you|we)(?![a-z]))"
)
CORRECTION: Final = re.compile(
    r"(?<![a-z])(?:wait|scratch\sthat|on\ssecond\sthoughts?|correction|let\sme\s"
    r"(?:re-?[a-z]+|correct)|i\smean(?:t)?|i\stake\sthat\sback|changed\smy\smind|no,\ssorry|oops)"
    r"(?![a-z])[\s,.:;!-]{0,9}|[.!?…,–—-]\s{0,9}actually(?![a-z]),?"
    r"|等等|等一下|更正|纠正|我是说|[.。…,;]\s?(?:不对|不,|错了)[,。]?"
)
STATEMENTS: Final = 8
"""So many markers are tried, from the last: a bound on work that no honest reply reaches."""


class Span(NamedTuple):
    """A part of a reply that may state the answer, folded to lower case.

    `raw` still has the signs that Markdown would take away; `where` says how it is marked.
    """

    raw: str
    text: str
    where: str


def spans(reply: str) -> Iterator[Span]:
    """Yield the parts of a reply that may state its answer, the most explicit first.

    The last filled box; the last filled answer tag; the last JSON answer; what follows a
    correction that nothing explicit comes after; behind "answer:", "the answer is", "答案是", the
    last one first; the whole reply. Nothing where the reply is blank or nothing but reasoning.
    """
    raw = fold(without_reasoning(reply))
    if "\\" in raw or "$" in raw:
        boxes, raw = _boxed(raw), _without_latex(raw)
        yield from _spans(boxes, "box")
    if "<" in raw:
        yield from _spans(_tagged(raw), "tag")
        raw = TAG.sub("\n", STYLE.sub("", BREAK.sub("\n", raw)))
    if ":" in raw:
        yield from _spans(_keyed(raw), "json")
    text = _plain(raw).strip()
    if not text:
        return
    yield from _stated(text)
    yield Span(raw.strip(), text, "whole reply")


def answer_span(reply: str) -> str:
    """Return the most explicit of the reply's spans; empty where there is none."""
    first = next((span for span in spans(reply) if span.where != "correction"), None)
    return first.text if first else ""


def fold(text: str) -> str:
    """Compatibility forms and case folded: full-width letters and signs become plain ones."""
    if text.isascii():
        return text.lower()
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())


def plain(text: str) -> str:
    """Folded text without Markdown's emphasis, headings, quotes and bullets."""
    return _plain(fold(text))


def _plain(text: str) -> str:
    if "|" in text:
        text = TABLE_ROW.sub(_row, TABLE_RULE.sub("", text))
    return LINE_MARK.sub("", text.translate(EMPHASIS))


def _row(row: re.Match[str]) -> str:
    """A table's row as a line of a list: "b: correct"."""
    return ": ".join(cell.strip() for cell in row[1].strip(" \t|").split("|"))


def _spans(found: str, where: str) -> Iterator[Span]:
    """The span of an explicit mark, after whatever it states itself: "<answer>The answer is b"."""
    raw = found.strip()
    if raw:
        text = _plain(raw).strip()
        yield from (Span(one.raw, one.text, where) for one in _markers(text))
        yield Span(raw, text, where)


def _boxed(text: str) -> str:
    r"""What the last filled and closed ``\boxed{}`` holds, without LaTeX.

    Two boxes with nothing but "and", "or" or a comma between them are one answer.
    """
    opened: list[tuple[int, int] | None] = []
    boxes: list[tuple[int, int, int]] = []
    for brace in BRACE.finditer(text):
        if brace[0] == "{":
            opened.append(None)
        elif brace[0] != "}":
            opened.append((brace.start(), brace.end()))
        elif opened and (box := opened.pop()) is not None and not EMPTY.match(text, box[1]):
            boxes.append((*box, brace.start()))
    if not boxes:
        return ""
    start, first, end = boxes[-1]
    found = text[first:end]
    if len(boxes) > 1 and (glue := _glue(text, boxes[-2][2], start)):
        found = f"{text[boxes[-2][1] : boxes[-2][2]]} {glue} {found}"
    return _without_latex(found)


def _without_latex(text: str) -> str:
    for _ in range(3):
        text = COMMAND.sub(r"\1", text)
    return MATHS.sub("", SIGN.sub(lambda sign: SIGNS.get(sign[1], sign[0]), text))


def _tagged(text: str) -> str:
    """What the last filled answer tag holds; one left open runs to the end."""
    found, glue, start, end = "", "", -1, -1
    for tag in TAG.finditer(text):
        if start >= 0 and (content := text[start : tag.start()].strip()):
            found = f"{found} {glue} {content}" if found and glue else content
            end = tag.end()
        opens = not (tag[1] or tag[3])
        start = tag.end() if opens else -1
        glue = _glue(text, end, tag.start()) if opens else ""
    rest = text[start:].strip() if start >= 0 else ""
    return rest or found


def _glue(text: str, start: int, end: int) -> str:
    """The "or", "and" or comma that alone stands between two marked answers; else nothing."""
    if not 0 <= start <= end <= start + GLUE:
        return ""
    glue = text[start:end].strip(" $\n\\()[]}")
    return glue if glue in JOINS else ""


def _keyed(text: str) -> str:
    """The last answer of a JSON object, quotes and escapes taken off."""
    found = ""
    for pair in JSON.finditer(text):
        value = next(part for part in pair.groups()[1:] if part is not None)
        if value.strip() and value != "null":
            found = value
    return re.sub(r"[\"']", "", found.replace("\\n", "\n").replace("\\", ""))


def _stated(text: str) -> Iterator[Span]:
    """What follows a late correction, then what follows each marker, from the last."""
    last = max((one.start() for one in MARKER.finditer(text) if _states(text, one)), default=-1)
    cue = max((one.span() for one in CORRECTION.finditer(text)), default=(-1, -1))
    if cue[0] > last:
        yield from _spans(text[cue[1] :], "correction")
    yield from _markers(text)


def _markers(text: str) -> Iterator[Span]:
    """What follows each marker, from the last."""
    found = [marker for marker in MARKER.finditer(text) if _states(text, marker)]
    end = len(text)
    for marker in reversed(found[-STATEMENTS:]):
        raw = _first_lines(text[marker.end() : end]).strip()
        if raw:
            yield Span(raw, _plain(raw).strip(), "marker")
        end = marker.start()


def _states(text: str, marker: re.Match[str]) -> bool:
    """Whether a marker is neither conditional nor the subject of a plain sentence."""
    before = text[max(0, marker.start() - 60) : marker.start()]
    if UNSTATED.search(before) or is_hypothetical(text, marker.start()):
        return False
    return not PREDICATE.match(text, marker.end())


def _first_lines(text: str) -> str:
    """The first filled line; of an option list, the whole list."""
    text = text.lstrip(" \t\n:>-" if text[:1] == "\n" else " \t")
    head, _, rest = text.partition("\n")
    if not ITEM.match(head):
        return head
    lines = [head]
    for line in rest.split("\n")[:52]:
        if line.strip() and not ITEM.match(line):
            break
        lines.append(line)
    return "\n".join(lines)


ITEM: Final = re.compile(r"\s{0,9}(?:[(\[][a-z][)\]]|[a-z]\s?[.):、])")
