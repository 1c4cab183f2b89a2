"""Whether two conversations say the same: turn by turn, in normal form or in meaning."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import pyarrow as pa

from curation.dedup.config import SampleConfig
from curation.dedup.options import choices
from curation.dedup.tables import Doubles, Flags, Floats, Indices
from curation.neighbors import exact_cosine
from curation.records import canonical_text, text_id
from curation.text import normalise_answer, normalise_question, protected_tokens
from curation.vectors import ContentVectors

EXACT_ANSWERS: Final = ("closed", "choice")


@dataclass(frozen=True, slots=True)
class Conversations:
    """All turns of n samples, one after the other (t), as numbers that compare quickly.

    Sample i owns turns `start[i]` to `start[i + 1]`. `shape` (n,) numbers the roles in order and
    the count of images. Of each turn, `role` is the initial of its role, `form` (t,) numbers the
    role with the normal form, `text` (t,) is the row of `vectors` and of `tokens`, `options` (t,)
    numbers the choices that a question offers. `exact` (n,) tells closed and choice answers.
    """

    start: Indices
    shape: Indices
    role: np.ndarray[tuple[int], np.dtype[np.str_]]
    form: Indices
    text: Indices
    options: Indices
    exact: Flags
    texts: list[str]
    vectors: Floats
    _tokens: dict[int, Counter[str]] = field(default_factory=dict)

    def tokens(self, text: int) -> Counter[str]:
        """Clinically protected words of a text."""
        if text not in self._tokens:
            self._tokens[text] = protected_tokens(self.texts[text])
        return self._tokens[text]

    def whole(self, sample: int) -> str:
        """All words of a sample."""
        turns = self.text[self.start[sample] : self.start[sample + 1]]
        return "\n".join(self.texts[turn] for turn in turns)


@dataclass(frozen=True, slots=True)
class Likeness:
    """How pairs of conversations compare: all arrays (p,).

    `same`: they say the same. `equal`: also in normal form. `value` is the cosine that came
    nearest to its `threshold`; both are 1 for equal ones.
    """

    same: Flags
    equal: Flags
    value: Doubles
    threshold: Doubles

    def take(self, places: Indices) -> Likeness:
        """The likeness of some of the pairs."""
        return Likeness(
            self.same[places], self.equal[places], self.value[places], self.threshold[places]
        )


class _Codes:
    """Numbers for hashable things, in order of appearance."""

    def __init__(self) -> None:
        self.known: dict[object, int] = {}

    def __call__(self, thing: object) -> int:
        return self.known.setdefault(thing, len(self.known))


def read_conversations(samples: pa.Table, vectors: ContentVectors) -> Conversations:
    """Number the turns of SAMPLES rows (n).

    Raises:
        UsageError: a turn's text has no vector.
    """
    shapes, forms, offers, texts = _Codes(), _Codes(), _Codes(), _Codes()
    # Equal texts are many: each is normalised once.
    known: dict[tuple[str, str], tuple[int, int, int]] = {}
    shape: list[int] = []
    sizes: list[int] = []
    role: list[str] = []
    turns: list[tuple[int, int, int]] = []
    images = samples["images"].to_pylist()
    for messages, pictures in zip(samples["messages"].to_pylist(), images, strict=True):
        roles = "".join(turn["role"][0] for turn in messages)
        shape.append(shapes((roles, len(pictures or ()))))
        sizes.append(len(messages))
        role.extend(roles)
        for turn in messages:
            key = (turn["role"], turn["content"])
            if key not in known:
                known[key] = _turn(turn, forms, offers, texts)
            turns.append(known[key])
    numbers = np.array(turns, dtype=np.int64).reshape(-1, 3)
    distinct = [str(text) for text in texts.known]
    return Conversations(
        start=np.concatenate([[0], np.cumsum(np.array(sizes, dtype=np.int64))]),
        shape=np.array(shape, dtype=np.int64),
        role=np.array(role, dtype=np.str_),
        form=numbers[:, 0],
        text=numbers[:, 1],
        options=numbers[:, 2],
        exact=np.array([tag in EXACT_ANSWERS for tag in samples["answer_type"].to_pylist()], bool),
        texts=distinct,
        vectors=vectors.rows([text_id(text) for text in distinct], "texts"),
    )


def _turn(
    turn: Mapping[str, str], forms: _Codes, offers: _Codes, texts: _Codes
) -> tuple[int, int, int]:
    role, content = turn["role"], turn["content"]
    normal = normalise_answer(content) if role == "assistant" else normalise_question(content)
    offered = choices(content) if role == "user" else ()
    return forms((role, normal)), texts(canonical_text(content)), offers(offered)


def compare(talks: Conversations, left: Indices, right: Indices, config: SampleConfig) -> Likeness:
    """Compare pairs (p,) of samples of equal shape, each turn with its counterpart.

    Questions match in normal form, or by cosine when they offer the same choices; open answers
    likewise; closed and choice answers and system turns in normal form only. A protected word
    (side, negation, number, …) that only one of them has parts two texts whatever their cosine.
    """
    p = len(left)
    found = Likeness(np.ones(p, bool), np.ones(p, bool), np.ones(p), np.ones(p))
    alive = np.arange(p)
    turns = talks.start[left + 1] - talks.start[left]
    for turn in range(int(turns.max(initial=0))):
        # Answers come last and part the most pairs at the least cost: go backwards.
        here = alive[turns[alive] > turn]
        one = talks.start[left[here] + 1] - 1 - turn
        other = talks.start[right[here] + 1] - 1 - turn
        apart = talks.form[one] != talks.form[other]
        found.equal[here[apart]] = False
        _in_meaning(talks, found, here[apart], one[apart], other[apart], left, right, config)
        alive = alive[found.same[alive]]
    return found


def _in_meaning(
    talks: Conversations,
    found: Likeness,
    pairs: Indices,
    one: Indices,
    other: Indices,
    left: Indices,
    right: Indices,
    config: SampleConfig,
) -> None:
    """Decide turns whose normal forms differ, and note the result of their `pairs`."""
    role = talks.role[one]
    open_answer = (role == "a") & ~talks.exact[left[pairs]] & ~talks.exact[right[pairs]]
    question = (role == "u") & (talks.options[one] == talks.options[other])
    found.same[pairs[~(open_answer | question)]] = False
    for asked, threshold in ((question, config.question), (open_answer, config.answer)):
        here = pairs[asked]
        a, b = talks.text[one[asked]], talks.text[other[asked]]
        cosine = text_cosine(talks, a, b)
        near = cosine >= threshold
        near[near] = ~contrasts(talks, a[near], b[near])
        found.same[here[~near]] = False
        closer = cosine - threshold < found.value[here] - found.threshold[here]
        first = (found.value[here] == 1.0) & (found.threshold[here] == 1.0)
        noted = here[first | closer]
        found.value[noted] = cosine[first | closer]
        found.threshold[noted] = threshold


def text_cosine(talks: Conversations, one: Indices, other: Indices) -> Doubles:
    """Cosines (p,) of pairs of texts; one that is empty or cannot be read is near nothing (NaN)."""
    size = max(len(talks.texts), 1)
    keys, back = np.unique(
        np.minimum(one, other) * size + np.maximum(one, other), return_inverse=True
    )
    with np.errstate(invalid="ignore"):
        cosine: Doubles = exact_cosine(talks.vectors, keys // size, keys % size)[back]
    return cosine


def contrasts(talks: Conversations, one: Indices, other: Indices) -> Flags:
    """Whether pairs (p,) of texts differ in a protected word."""
    pairs: Sequence[tuple[int, int]] = list(zip(one.tolist(), other.tolist(), strict=True))
    return np.array([talks.tokens(a) != talks.tokens(b) for a, b in pairs], dtype=bool)
