"""Find where a reply may state its answer: boxes, tags, JSON, "the answer is", or all.

Repeats are bounded, possessive or without a choice, so that no reply is searched again and again:
`benchmarks/replies.py` measures that time grows as the reply does.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from typing import Final, NamedTuple

from medsift.replies.reasoning import without_reasoning
from medsift.replies.unstated import is_hypothetical

EMPHASIS: Final = str.maketrans(
    {"*": "", "`": "", "~": "", "_": " ", "\r": "\n", "\u200b": "", "\ufeff": "", "’": "'"}
)
# "> 5 cm" is a comparison, "> five" a quotation.
LINE_MARK: Final = re.compile(
    r"^[ \t]*(?:(?:#+|>+)(?:[ \t]++(?!\d)|$)|[-+•][ \t]+(?=\S))+", re.MULTILINE
)
# A bullet has a blank behind it, a sign has none. It is all that is left of its row where reasoning
# or maths followed it.
LONE_BULLET: Final = re.compile(r"^[ \t>#]*+[-+•][ \t][*`~_ \t\r]*+$", re.MULTILINE)
TABLE_ROW: Final = re.compile(r"^[ \t]*\|(.*)$", re.MULTILINE)
TABLE_RULE: Final = re.compile(r"^[ \t]*\|[-:| \t]+$", re.MULTILINE)
BREAK: Final = re.compile(r"</?(?:br|p|div|li|ul|ol|tr|table|h[1-6])\s?/?>")
STYLE: Final = re.compile(r"</?(?:b|i|u|em|strong|span|mark|code|pre|center|td|th|sub|sup|font)>")
BRACE: Final = re.compile(r"\\(?:boxed|fbox)\s{0,9}\{|[{}]")
EMPTY: Final = re.compile(r"\s*\}")
# Two marked answers with nothing but one of these, in so many characters, between them are one.
LONGEST_JOIN: Final = 24
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
ANSWER_PHRASE: Final = re.compile(
    rf"(?<![a-z])(?:answers?{_OF_ANSWER}{_OF}"
    r"|(?:correct|right|best|final|chosen|selected|appropriate|likely)"
    rf"\s(?:option|choice|letter|response|selection|diagnosis|verdict|decision|conclusion){_OF}"
    rf"|conclusion(?=\s?[:\n]))\s{{0,3}}(?:{_SAYS})"
    r"|(?:答案|选项|选择|回答|结论)\s?应?该?\s?(?:(?<!不)[是为]\s?:?|:|】)|【答案】:?"
)
# What makes the phrase behind it state nothing: "if the answer is", "I doubt that the answer is".
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
# So many answer phrases are read, from the last: a bound on work that no honest reply reaches.
MOST_PHRASES: Final = 8
# Rows of an option list that are read behind an answer phrase: 26 options with a line between.
MOST_ROWS: Final = 52
OPTION_ROW: Final = re.compile(r"\s{0,9}(?:[(\[][a-z][)\]]|[a-z]\s?[.):、])")


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
    correction that nothing explicit comes after; what follows "answer:", "the answer is", "答案是",
    the last one first; the whole reply. Nothing where the reply is blank or all reasoning.
    """
    # With a blank behind it, a last backslash is LaTeX's own blank; without one it says no more.
    raw = fold(without_reasoning(reply.strip().rstrip("\\")))
    if "\\" in raw or "$" in raw:
        box, raw = _last_box(raw), _without_latex(raw)
        yield from _marked(box, "box")
    if "<" in raw:
        yield from _marked(_last_tag(raw), "tag")
        raw = TAG.sub("\n", STYLE.sub("", BREAK.sub("\n", raw)))
    if ":" in raw:
        yield from _marked(_last_json_answer(raw), "json")
    text = _without_markdown(raw).strip()
    if not text:
        return
    last_phrase = max((phrase.start() for phrase in _answer_phrases(text)), default=-1)
    start, end = max((cue.span() for cue in CORRECTION.finditer(text)), default=(-1, -1))
    # A correction counts unless the reply states its answer once more after it.
    if start > last_phrase:
        yield from _marked(text[end:], "correction")
    yield from _behind_phrases(text)
    yield Span(raw.strip(), text, "whole reply")


def fold(text: str) -> str:
    """Return a text in compatibility forms and without case: full-width letters become plain."""
    if text.isascii():
        return text.lower()
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())


def folded_plain(text: str) -> str:
    """Return a folded text without Markdown's emphasis, headings, quotes and bullets."""
    return _without_markdown(fold(text))


def _without_markdown(text: str) -> str:
    if "|" in text:
        text = TABLE_ROW.sub(_as_list_row, TABLE_RULE.sub("", text))
    return LINE_MARK.sub("", LONE_BULLET.sub("", text).translate(EMPHASIS))


def _as_list_row(row: re.Match[str]) -> str:
    """Return a table's row as a row of a list: "b: correct"."""
    return ": ".join(cell.strip() for cell in row[1].strip(" \t|").split("|"))


def _marked(content: str, where: str) -> Iterator[Span]:
    """Yield the span of an explicit mark, after what it states: "<answer>The answer is b"."""
    raw = content.strip()
    if raw:
        text = _without_markdown(raw).strip()
        yield from (span._replace(where=where) for span in _behind_phrases(text))
        yield Span(raw, text, where)


def _last_box(text: str) -> str:
    r"""Return the content of the last filled and closed ``\boxed{}``, without LaTeX."""
    # A stack of open braces: those of a box with its place, others as None.
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
    content = text[first:end]
    if len(boxes) > 1 and (join := _join_word(text, boxes[-2][2], start)):
        content = f"{text[boxes[-2][1] : boxes[-2][2]]} {join} {content}"
    return _without_latex(content)


def _without_latex(text: str) -> str:
    # Commands nest, as in "\mathbf{\text{b}}"; each round unwraps the innermost.
    for _ in range(3):
        text = COMMAND.sub(r"\1", text)
    return MATHS.sub("", SIGN.sub(lambda sign: SIGNS.get(sign[1], sign[0]), text))


def _last_tag(text: str) -> str:
    """Return the content of the last filled answer tag; one left open runs to the end."""
    content, join, start, end = "", "", -1, -1
    for tag in TAG.finditer(text):
        if start >= 0 and (inner := text[start : tag.start()].strip()):
            content = f"{content} {join} {inner}" if content and join else inner
            end = tag.end()
        opens = not (tag[1] or tag[3])
        start = tag.end() if opens else -1
        join = _join_word(text, end, tag.start()) if opens else ""
    rest = text[start:].strip() if start >= 0 else ""
    return rest or content


def _join_word(text: str, start: int, end: int) -> str:
    """Return the "or", "and" or comma that alone is between two marked answers; else nothing."""
    if not 0 <= start <= end <= start + LONGEST_JOIN:
        return ""
    word = text[start:end].strip(" $\n\\()[]}")
    return word if word in JOINS else ""


def _last_json_answer(text: str) -> str:
    """Return the last answer of a JSON object, without quotes and escapes."""
    answer = ""
    for pair in JSON.finditer(text):
        value = next(part for part in pair.groups()[1:] if part is not None)
        if value.strip() and value != "null":
            answer = value
    return re.sub(r"[\"']", "", answer.replace("\\n", "\n").replace("\\", ""))


def _behind_phrases(text: str) -> Iterator[Span]:
    """Yield what follows each answer phrase, from the last."""
    end = len(text)
    for phrase in reversed(_answer_phrases(text)[-MOST_PHRASES:]):
        raw = _first_rows(text[phrase.end() : end]).strip()
        if raw:
            yield Span(raw, _without_markdown(raw).strip(), "marker")
        end = phrase.start()


def _answer_phrases(text: str) -> list[re.Match[str]]:
    """Return the phrases that are neither conditional nor the subject of a plain sentence."""
    return [
        phrase
        for phrase in ANSWER_PHRASE.finditer(text)
        if not UNSTATED.search(text[max(0, phrase.start() - 60) : phrase.start()])
        and not is_hypothetical(text, phrase.start())
        and not PREDICATE.match(text, phrase.end())
    ]


def _first_rows(text: str) -> str:
    """Return the first filled row; of an option list, the whole list."""
    text = text.lstrip(" \t\n:>-" if text[:1] == "\n" else " \t")
    first, *others = text.split("\n", MOST_ROWS + 1)
    if not OPTION_ROW.match(first):
        return first
    rows = [first]
    for row in others[:MOST_ROWS]:
        if row.strip() and not OPTION_ROW.match(row):
            break
        rows.append(row)
    return "\n".join(rows)
