"""Values inside Markdown, read back by a parser: the same text, and nothing but text."""

from __future__ import annotations

import numpy as np
import pytest
from markdown_it import MarkdownIt

from medsift.markdown import code, plain

SIGNS = [*list("\\`*_~$|[]()<>!&#+-=:./'\" \n\tax1é"), "&lt;", "&#106;", "**", "~~", "![", "]("]
HARD = [
    "[x](javascript:alert(1))",
    "![x](https://example.org/a.png)",
    "<script>alert(1)</script> <a href='x'>y</a>",
    "a|b|c",
    "`code` ``two`` ```",
    "_a_ b_c __d__ *e* **f** ~~g~~",
    "[x]: https://example.org",
    "&lt;b&gt; &#106;avascript &copy;",
    "\\[x](y) \\\\",
    "{\"a\": [1, 2], \"b_c\": \"d\"}",
    "x\u2028| y | z |",
]  # fmt: skip


def drawn(count: int) -> list[str]:
    random = np.random.default_rng(11)
    return ["".join(random.choice(SIGNS, random.integers(1, 25))) for _ in range(count)]


def read(text: str) -> tuple[list[str], list[str]]:
    """The words of a one-cell table and the types of its inline marks."""
    parser = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
    tokens = parser.parse(f"| head |\n|---|\n| x {text} x |\n")
    cells = [token for token in tokens if token.type == "inline"]
    assert len(cells) == 2
    inline = cells[1].children or []
    return ["".join(one.content for one in inline)], [one.type for one in inline]


@pytest.mark.parametrize("text", [*HARD, *drawn(400)])
def test_a_value_is_shown_as_it_is_and_is_nothing_but_text(text: str):
    words, kinds = read(plain(text))
    assert set(kinds) <= {"text", "text_special"}
    assert (
        words == ["x " + " ".join(text.replace("\u2028", " ").split()) + " x"] or not text.strip()
    )


@pytest.mark.parametrize("text", [*HARD, *drawn(200)])
def test_a_code_span_ends_where_its_value_does(text: str):
    words, kinds = read(code(text))
    assert set(kinds) <= {"text", "text_special", "code_inline"}
    assert words == ["x " + " ".join(text.split()) + " x"] or not text.strip()
