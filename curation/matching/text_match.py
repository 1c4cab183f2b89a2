"""Whether two conversations say the same: turn by turn, in normal form or in meaning."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import pyarrow as pa

from curation.matching.lettered_options import choices
from curation.matching.settings import SampleConfig
from curation.meaning import Meaning, alike, read_meaning, recognise
from curation.neighbors import exact_cosine
from medsift.arrays import Doubles, Flags, Floats, Indices
from medsift.records import canonical_text, text_id
from medsift.storage.vectors import ContentVectors
from medsift.text import normalise_answer, normalise_question

EXACT_ANSWERS: Final = ("closed", "choice")


@dataclass(frozen=True, slots=True)
class Conversations:
    """All turns of n samples, one after the other (t), as numbers that compare quickly.

    Sample i owns turns `start[i]` to `start[i + 1]`. `shape` (n,) numbers the roles in order and
    the count of images. Of each turn, `role` is the initial of its role, `form` (t,) numbers the
    role with the normal form, `text` (t,) is the row of `vectors` and of `texts`, `options` (t,)
    numbers the choices that a question offers, `sample` (t,) is its sample. `exact` (n,) tells
    closed and choice answers, `tags` the language that each sample names.

    A text whose vector is zero is one that the encoder cannot read: no cosine speaks for it.
    """

    start: Indices
    shape: Indices
    role: np.ndarray[tuple[int], np.dtype[np.str_]]
    form: Indices
    text: Indices
    options: Indices
    sample: Indices
    exact: Flags
    tags: list[str | None]
    texts: list[str]
    vectors: Floats
    _contexts: dict[int, str | None] = field(default_factory=dict)
    _languages: dict[tuple[int, str | None, str | None], str | None] = field(default_factory=dict)
    _meanings: dict[tuple[int, str | None], Meaning] = field(default_factory=dict)

    def meaning(self, turn: int) -> Meaning:
        """What a turn says, in the language that it, its sample's tag or its sample shows."""
        key = (int(self.text[turn]), self.language(turn))
        if key not in self._meanings:
            self._meanings[key] = read_meaning(self.texts[key[0]], key[1])
        return self._meanings[key]

    def language(self, turn: int) -> str | None:
        """The language of a turn if it is one with word lists."""
        sample, text = int(self.sample[turn]), int(self.text[turn])
        if sample not in self._contexts:
            self._contexts[sample] = recognise(self.whole(sample), self.tags[sample])
        key = (text, self.tags[sample], self._contexts[sample])
        if key not in self._languages:
            self._languages[key] = recognise(self.texts[text], *key[1:])
        return self._languages[key]

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
        sample=np.repeat(np.arange(len(sizes)), sizes).astype(np.int64),
        exact=np.array([tag in EXACT_ANSWERS for tag in samples["answer_type"].to_pylist()], bool),
        tags=samples["language"].to_pylist(),
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

    Questions match in normal form, or when they offer the same choices, their cosine is near and
    their words give a positive reason (`alike`); open answers likewise; closed and choice answers
    and system turns in normal form only. A cosine alone never makes two texts the same.
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
    for asked, threshold in (
        (question, config.question_cosine),
        (open_answer, config.answer_cosine),
    ):
        here = pairs[asked]
        a, b = one[asked], other[asked]
        cosine = text_cosine(talks, talks.text[a], talks.text[b])
        near = cosine >= threshold
        near[near] = say_the_same(talks, a[near], b[near])
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
    cosine[~(readable(talks, one) & readable(talks, other))] = np.nan
    return cosine


def readable(talks: Conversations, texts: Indices) -> Flags:
    """Whether texts (p,) have a vector that says something: an empty or unread one is zero."""
    seen: Flags = np.any(talks.vectors[texts] != 0.0, axis=1)
    return seen


def say_the_same(talks: Conversations, one: Indices, other: Indices) -> Flags:
    """Whether there is a positive reason to call pairs (p,) of turns the same."""
    pairs = zip(one.tolist(), other.tolist(), strict=True)
    return np.array([alike(talks.meaning(a), talks.meaning(b)) for a, b in pairs], dtype=bool)


def contrasts(talks: Conversations, one: Indices, other: Indices) -> Flags:
    """Whether pairs (p,) of turns differ in a protected word, number or sign, or may do so.

    Turns of equal normal form do not. Others may where no list of their language says otherwise,
    or where the encoder cannot read one of them.
    """
    apart: Flags = talks.form[one] != talks.form[other]
    here = np.flatnonzero(apart)
    seen = readable(talks, talks.text[one[here]]) & readable(talks, talks.text[other[here]])
    for place in here[seen].tolist():
        a, b = talks.meaning(int(one[place])), talks.meaning(int(other[place]))
        known = a.language is not None and a.language == b.language
        apart[place] = not known or a.protected != b.protected
    return apart
