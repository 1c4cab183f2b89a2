"""YAML from anyone: it makes no objects, and neither depth nor aliases exhaust anything."""

from __future__ import annotations

import time

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from medsift.yaml_text import DEEPEST, read_yaml


def laughs(levels: int) -> str:
    """A text of a few hundred bytes that means 10^levels values."""
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    for level in range(1, levels):
        lines.append(f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 10)}]")
    return "\n".join(lines)


@pytest.mark.parametrize(
    "text",
    [
        "!!python/object/apply:os.system ['true']",
        "!!python/name:os.system",
        "a: &a [*a]",
        "a: &a {x: *a}",
        "[" * 5_000 + "]" * 5_000,
        "{a: " * 2_000 + "1" + "}" * 2_000,
        "[" * (DEEPEST + 1) + "]" * (DEEPEST + 1),
        laughs(30),
        "a: 1\na: 2",
        "9" * 6_000,
        "2001-99-99",
        "!!bool perhaps",
        "!!timestamp soon",
        "!!int many",
        "!!float much",
        "!!set [a]",
        "!!omap {a: b}",
        "a: 1\n---\na: 2",
        "a\x00b",
    ],
    ids=lambda text: text[:20],
)
def test_what_is_no_bounded_plain_value_is_refused_at_once(text):
    started = time.perf_counter()
    with pytest.raises(yaml.YAMLError):
        read_yaml(text)
    assert time.perf_counter() - started < 5


def test_aliases_that_stay_small_are_read():
    assert read_yaml("a: &a {b: [1]}\nc: *a") == {"a": {"b": [1]}, "c": {"b": [1]}}
    assert read_yaml("[" * DEEPEST + "]" * DEEPEST)
    assert len(read_yaml(laughs(5))["a4"]) == 10


@settings(deadline=None, max_examples=300)
@given(st.text("[]{}:,-!&*<?|>'\"#%@ \n\tab01.~", max_size=60) | st.text(max_size=30))
def test_whatever_the_text_it_is_read_or_refused(text):
    try:
        read_yaml(text)
    except yaml.YAMLError:
        return


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(), lambda x: st.lists(x, max_size=4)
)


@settings(deadline=None)
@given(st.dictionaries(st.text(), values, max_size=5))
def test_what_yaml_writes_is_what_comes_back(value):
    assert read_yaml(yaml.safe_dump(value)) == value
