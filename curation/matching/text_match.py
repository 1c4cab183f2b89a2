"""Compare two conversations turn by turn, in normal form or in meaning."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Final

import numpy as np
import pyarrow as pa

from curation.matching.lettered_options import choices
from curation.matching.settings import SampleConfig
from curation.meaning import Meaning, alike, read_meaning, recognise
from curation.neighbors import exact_cosine
from medsift.arrays import Doubles, Flags, Floats, Indices
from medsift.records import canonical_text, text_id
from medsift.storage.mapped_vectors import AnyVectors
from medsift.text import normalise_answer, normalise_question

EXACT_ANSWERS: Final = ("closed", "choice")


@dataclass(frozen=True, slots=True)
class Conversations:
    """Represent all turns of n samples, one after the other (t), as numbers that compare quickly.

    Sample i owns turns `start[i]` to `start[i + 1]`. `shape` (n,) numbers the roles in order and
    the count of images. Of each turn, `role` is the initial of its role, `form` (t,) numbers the
    role with the normal form, `text` (t,) is the row of `vectors` and of `texts`, `options` (t,)
    numbers the choices that a question offers, `sample` (t,) is its sample. `exact` (n,) marks
    closed and choice answers, `tags` is the language that each sample names.

    A text whose vector is zero is one that the encoder cannot read: it has no cosine.
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
        """Return what a turn says, in the language that it or its sample shows."""
        key = (int(self.text[turn]), self.language(turn))
        if key not in self._meanings:
            self._meanings[key] = read_meaning(self.texts[key[0]], key[1])
        return self._meanings[key]

    def language(self, turn: int) -> str | None:
        """Return the language of a turn if it is one with word lists."""
        sample, text = int(self.sample[turn]), int(self.text[turn])
        if sample not in self._contexts:
            self._contexts[sample] = recognise(self.whole(sample), self.tags[sample])
        key = (text, self.tags[sample], self._contexts[sample])
        if key not in self._languages:
            self._languages[key] = recognise(self.texts[text], *key[1:])
        return self._languages[key]

    def whole(self, sample: int) -> str:
        """Return all words of a sample."""
        turns = self.text[self.start[sample] : self.start[sample + 1]]
        return "\n".join(self.texts[turn] for turn in turns)


@dataclass(frozen=True, slots=True)
class Likeness:
    """How pairs of conversations compare, as arrays (p,).

    `same`: they say the same. `equal`: also in normal form. `value` is the cosine that came
    nearest to its `threshold`; both are 1 for equal ones.
    """

    same: Flags
    equal: Flags
    value: Doubles
    threshold: Doubles

    def take(self, places: Indices) -> Likeness:
        """Return the likeness of some of the pairs."""
        return Likeness(*(getattr(self, name)[places] for name in self.__slots__))


def read_conversations(samples: pa.Table, vectors: AnyVectors) -> Conversations:
    """Number the turns of SAMPLES rows (n).

    Raises:
        UsageError: a turn's text has no vector.
    """
    # Numbers for hashable things, in order of appearance.
    shapes, forms, offers, texts = (defaultdict[object, int](count().__next__) for _ in range(4))
    # Equal texts are many: each is normalised once.
    known: dict[tuple[str, str], tuple[int, int, int]] = {}
    shape: list[int] = []
    sizes: list[int] = []
    role: list[str] = []
    turns: list[tuple[int, int, int]] = []
    images = samples["images"].to_pylist()
    for messages, pictures in zip(samples["messages"].to_pylist(), images, strict=True):
        roles = "".join(turn["role"][0] for turn in messages)
        shape.append(shapes[roles, len(pictures or ())])
        sizes.append(len(messages))
        role.extend(roles)
        for turn in messages:
            key = speaker, content = turn["role"], turn["content"]
            if key not in known:
                offered = choices(content) if speaker == "user" else ()
                form = forms[words_of_turn(turn)]
                known[key] = form, texts[canonical_text(content)], offers[offered]
            turns.append(known[key])
    numbers = np.array(turns, dtype=np.int64).reshape(-1, 3)
    distinct = [str(text) for text in texts]
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


def words_of_turn(turn: Mapping[str, str]) -> tuple[str, str]:
    """Return the role and the normal form of a turn; turns of equal ones say the same."""
    normalise = normalise_answer if turn["role"] == "assistant" else normalise_question
    return turn["role"], normalise(turn["content"])


def whole_text(turns: Sequence[Mapping[str, str]]) -> str:
    """Return all words of a sample, as `Conversations.whole` does."""
    return "\n".join(canonical_text(turn["content"]) for turn in turns)


def compare(
    conversations: Conversations, left: Indices, right: Indices, config: SampleConfig
) -> Likeness:
    """Compare pairs (p,) of samples of equal shape, each turn with its counterpart.

    Questions match in normal form, or when they offer the same choices, their cosine is near and
    their words give a positive reason (`alike`); open answers likewise; closed and choice answers
    and system turns in normal form only. A cosine alone never makes two texts the same.

    Args:
        conversations: The turns of all samples.
        left: First sample of each pair (p,).
        right: Second sample of each pair (p,).
        config: From which cosines questions and answers are compared in meaning.
    """
    p = len(left)
    likeness = Likeness(np.ones(p, bool), np.ones(p, bool), np.ones(p), np.ones(p))
    both_open = ~conversations.exact[left] & ~conversations.exact[right]
    alive = np.arange(p)
    turns = conversations.start[left + 1] - conversations.start[left]
    for turn in range(int(turns.max(initial=0))):
        # Answers come last and separate the most pairs at the least cost: go backwards.
        pairs = alive[turns[alive] > turn]
        a = conversations.start[left[pairs] + 1] - 1 - turn
        b = conversations.start[right[pairs] + 1] - 1 - turn
        differ = conversations.form[a] != conversations.form[b]
        pairs, a, b = pairs[differ], a[differ], b[differ]
        likeness.equal[pairs] = False
        open_answer = (conversations.role[a] == "a") & both_open[pairs]
        question = conversations.role[a] == "u"
        question &= conversations.options[a] == conversations.options[b]
        likeness.same[pairs[~(open_answer | question)]] = False
        for kind, threshold in (
            (question, config.question_cosine),
            (open_answer, config.answer_cosine),
        ):
            said, left_turn, right_turn = pairs[kind], a[kind], b[kind]
            texts = conversations.text[left_turn], conversations.text[right_turn]
            cosine = text_cosine(conversations, *texts)
            near = cosine >= threshold
            near[near] = say_the_same(conversations, left_turn[near], right_turn[near])
            likeness.same[said[~near]] = False
            # Of several turns that differ, the ledger shows the one nearest to its threshold.
            closer = cosine - threshold < likeness.value[said] - likeness.threshold[said]
            first = (likeness.value[said] == 1.0) & (likeness.threshold[said] == 1.0)
            noted = first | closer
            likeness.value[said[noted]] = cosine[noted]
            likeness.threshold[said[noted]] = threshold
        alive = alive[likeness.same[alive]]
    return likeness


def text_cosine(conversations: Conversations, left: Indices, right: Indices) -> Doubles:
    """Return cosines (p,) of pairs of texts, NaN where one is empty or cannot be read."""
    # Few texts make many pairs: each distinct pair is computed once.
    size = max(len(conversations.texts), 1)
    keys, back = np.unique(
        np.minimum(left, right) * size + np.maximum(left, right), return_inverse=True
    )
    with np.errstate(invalid="ignore"):
        cosine: Doubles = exact_cosine(conversations.vectors, keys // size, keys % size)[back]
    cosine[~(readable(conversations, left) & readable(conversations, right))] = np.nan
    return cosine


def readable(conversations: Conversations, texts: Indices) -> Flags:
    """Return whether texts (p,) have a vector: that of an empty or unread one is zero."""
    seen: Flags = np.any(conversations.vectors[texts] != 0.0, axis=1)
    return seen


def say_the_same(conversations: Conversations, left: Indices, right: Indices) -> Flags:
    """Return whether there is a positive reason to call pairs (p,) of turns the same."""
    meaning = conversations.meaning
    pairs = zip(left.tolist(), right.tolist(), strict=True)
    return np.array([alike(meaning(a), meaning(b)) for a, b in pairs], dtype=bool)


def contrasts(conversations: Conversations, left: Indices, right: Indices) -> Flags:
    """Return whether pairs (p,) of turns differ in a protected word, number or sign, or may do so.

    Turns of equal normal form do not. Others may where no list of their language says otherwise,
    or where the encoder cannot read one of them.
    """
    apart: Flags = conversations.form[left] != conversations.form[right]
    differ = np.flatnonzero(apart)
    texts = conversations.text[left[differ]], conversations.text[right[differ]]
    known = readable(conversations, texts[0]) & readable(conversations, texts[1])
    for pair in differ[known].tolist():
        a, b = (conversations.meaning(int(turns[pair])) for turns in (left, right))
        listed = a.language is not None and a.language == b.language
        apart[pair] = not listed or a.protected != b.protected
    return apart
