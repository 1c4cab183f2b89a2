"""Read YAML that may come from anyone: plain values alone, in bounded numbers, no key twice."""

from __future__ import annotations

from itertools import chain
from typing import Any, Final

import yaml

DEEPEST: Final = 50
"""Levels of lists and mappings; recipes have six or seven."""
MOST_VALUES: Final = 1_000_000
"""Values once every alias is written out."""
# What PyYAML lets through of `int`, `datetime` and its own tables, for `!!bool x` and the like.
_MALFORMED: Final = (ValueError, KeyError, AttributeError, TypeError, OverflowError)


def read_yaml(text: str) -> Any:
    """Return the value of a YAML text.

    Tags make no objects. Aliases are allowed as long as the text stays small when each is replaced
    by what it names, since whoever walks over the value meets it written out.

    Raises yaml.YAMLError for anything else than one bounded plain value.
    """
    try:
        return yaml.load(text, Loader=_PlainLoader)
    except RecursionError as error:
        raise yaml.YAMLError(f"nested more than {DEEPEST} deep") from error
    except _MALFORMED as error:
        raise yaml.YAMLError(f"a value that cannot be read: {error}") from error


class _PlainLoader(yaml.SafeLoader):
    """Load plain values; of a key given twice YAML would keep the last without notice."""

    def get_single_node(self) -> yaml.Node | None:
        node: yaml.Node | None = super().get_single_node()
        if node is not None:
            _written_out(node, 0, {})
        return node

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key_node, _ in node.value:
            key = str(self.construct_object(key_node, deep=True))
            if key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key!r} is given twice", key_node.start_mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep=deep)


def _written_out(node: yaml.Node, depth: int, known: dict[int, tuple[int, int]]) -> tuple[int, int]:
    """Return the number of values and of levels of a node with its aliases replaced.

    A node that contains itself is deeper than any bound. Raises ComposerError past the bounds.

    Args:
        node: part of a composed text.
        depth: levels above it.
        known: the answers for nodes that were counted before, by identity.
    """
    scalar = isinstance(node, yaml.ScalarNode)
    values, levels = known.get(id(node), (1, 0 if scalar else 1))
    if not scalar and id(node) not in known and depth < DEEPEST:
        pairs = isinstance(node, yaml.MappingNode)
        for part in chain.from_iterable(node.value) if pairs else node.value:
            more, below = _written_out(part, depth + 1, known)
            values, levels = values + more, max(levels, below + 1)
        known[id(node)] = values, levels
    if depth + levels > DEEPEST or values > MOST_VALUES:
        words = f"more than {DEEPEST} levels, or than {MOST_VALUES:,} values with its aliases"
        raise yaml.composer.ComposerError(None, None, words, node.start_mark)
    return values, levels
