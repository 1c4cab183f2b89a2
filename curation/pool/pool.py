"""Load the pool: every sample that survived dedup and may be trained on, in one fixed order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from curation.mapped import mapped_vectors, scratch_folder
from curation.neighbors import check_vectors
from curation.pool.groups import Groups
from curation.pool.letters import LETTER_DIMENSION, letter_vectors
from curation.pool.sorted_samples import sorted_training_samples
from curation.stage_outputs import Upstream
from medsift import records
from medsift.arrays import Doubles, Flags, Floats, Indices
from medsift.errors import UsageError
from medsift.leakage_groups import components
from medsift.reorder import taken_rows
from medsift.storage.mapped_vectors import AnyVectors
from medsift.storage.scratch import scratch_zeros

UNKNOWN: Final = "unknown"
ROWS_AT_A_TIME: Final = 1 << 16
ZERO: Final = 1e-6
"""Norm up to which a vector counts as zero."""
Real = TypeVar("Real", np.float32, np.float64)
FACTS: Final = (
    "image_id", "width", "height", "contrast", "entropy", "sharpness", "blank_share",
)  # fmt: skip
"""What is known of a picture, of ``IMAGES``."""


@dataclass(frozen=True, slots=True)
class SampleVectors:
    """Vectors of n samples: unit float32, all zero where a sample lacks the part.

    `image` (n, d_image) is the unit mean of a sample's pictures, `question` and `answer`
    (n, d_text) are its first question and last answer. Texts that the encoder cannot read are zero
    there, and have a vector of their characters in `question_letters` and `answer_letters`
    (n, d_letters), which are zero for all others, and None where there is no such text.
    """

    image: Floats
    question: Floats
    answer: Floats
    shared_space: bool
    """Whether image and text vectors may be compared with each other."""
    question_letters: Floats | None = None
    answer_letters: Floats | None = None
    modality: Indices | None = None
    """Number (n,) of each sample's modality, those without one counted as one; None: not known."""
    scratch: Path | None = None
    """Folder for arrays that are too large for memory; None: all are in memory."""

    def take(self, rows: Indices) -> SampleVectors:
        """Return the vectors of some samples, given by their places."""
        letters = (self.question_letters, self.answer_letters)
        question, answer = (None if part is None else part[rows] for part in letters)
        return SampleVectors(
            self.image[rows],
            self.question[rows],
            self.answer[rows],
            self.shared_space,
            question,
            answer,
            None if self.modality is None else self.modality[rows],
            self.scratch,
        )

    @property
    def unread(self) -> Flags:
        """Whether the encoder cannot read the question or the answer of each sample (n,)."""
        unread = np.zeros(len(self.image), bool)
        for letters in (self.question_letters, self.answer_letters):
            if letters is not None:
                unread |= any_of_row(letters)
        return unread


@dataclass(frozen=True, slots=True)
class Pool:
    """Candidates for training, sorted by sample id, and what is known about them.

    `samples` (n) are SAMPLES rows; in a large pool their texts are in a mapped file, to be read in
    slices. `images` are the `FACTS` of distinct pictures, with the copy group as `group_id`. `mass`
    (n,) counts the input rows that a sample represents, itself included; `strata` (n) is its
    stratum.
    """

    samples: pa.Table
    images: pa.Table
    vectors: SampleVectors
    mass: Doubles
    strata: Groups

    def __len__(self) -> int:
        """Count the samples."""
        return int(self.samples.num_rows)

    @property
    def ids(self) -> pa.ChunkedArray:
        """Sample ids (n), sorted, as a column."""
        return self.samples["sample_id"]

    def iter_ids(self) -> Iterator[str]:
        """Iterate over the sample ids (n), sorted."""
        for start in range(0, len(self), ROWS_AT_A_TIME):
            yield from self.ids.slice(start, ROWS_AT_A_TIME).to_pylist()

    @property
    def sample_ids(self) -> list[str]:
        """Sample ids (n), sorted, for pools of which a list is no burden."""
        ids: list[str] = self.samples["sample_id"].to_pylist()
        return ids

    def take(self, rows: Indices) -> Pool:
        """Return the pool of some of its samples, given by their places in ascending order."""
        return Pool(
            samples=taken_rows(self.samples, rows),
            images=self.images,
            vectors=self.vectors.take(rows),
            mass=self.mass[rows],
            strata=self.strata.take(rows),
        )

    @property
    def image_groups(self) -> list[str]:
        """Group (n) of each sample, by the smallest copy group of the pictures that it shows.

        Samples are connected where they show one picture or copies of it, or are of one study or
        one patient of a source, also by way of others; a tag that is missing connects nothing.
        Folds never cut a group, so that no picture, case or patient judges itself. A group without
        a picture has its smallest sample id.
        """
        groups = self.images.select(["image_id", "group_id"])
        copy_group = _as_dict(groups)
        label = components(self.samples, groups, "patient").tolist()
        name: dict[int, str] = {}
        for first, images in zip(label, self.samples["images"].to_pylist(), strict=True):
            for group in (copy_group[image] for image in images or ()):
                name[first] = min(group, name.get(first, group))
        ids = self.sample_ids
        # A label is the row of the first member, and samples are sorted by id.
        return [name.get(first, ids[first]) for first in label]


def load_pool(upstream: Upstream, strata: Sequence[str], *, shared_space: bool) -> Pool:
    """Read the pool from finished stages (`images`, `embed`, `dedup` and later ones).

    Raises:
        UsageError: a stratum tag that no sample of the pool has.
        InputError: vectors that are not finite.
    """
    samples = sorted_training_samples(upstream)
    return pool_of(samples, upstream, strata, shared_space=shared_space)


def pool_of(
    samples: pa.Table, upstream: Upstream, strata: Sequence[str], *, shared_space: bool
) -> Pool:
    """Return some rows of a run with their pictures, vectors, mass and strata.

    Args:
        samples: The rows, of schema ``SAMPLES``.
        upstream: The finished stages (`images`, `embed`, `dedup` and later ones).
        strata: Tags whose values together name a sample's stratum.
        shared_space: Whether image and text vectors may be compared with each other.

    Raises:
        UsageError: a stratum tag that none of them has.
        InputError: vectors that are not finite.
    """
    images, texts = (
        mapped_vectors(outputs).vectors for outputs in (upstream.images, upstream.embed)
    )
    scratch = scratch_folder(upstream.images)
    return Pool(
        samples=samples,
        images=_facts(samples, upstream),
        vectors=sample_vectors(samples, images, texts, shared_space=shared_space, scratch=scratch),
        mass=represented_rows(samples, upstream.dedup.decisions.read(["witness"])),
        strata=stratum_names(samples, strata),
    )


def stratum_names(samples: pa.Table, tags: Sequence[str]) -> Groups:
    """Name each sample's stratum (n) as `strata_of` does, and refuse tags that say nothing.

    Raises:
        UsageError: a tag that is null in every sample, which would stratify nothing.
    """
    for tag in tags:
        if samples.num_rows and samples[tag].null_count == samples.num_rows:
            known = [name for name in records.TAGS if samples[name].null_count < samples.num_rows]
            message = (
                f"stratum tag {tag!r} is null in all {samples.num_rows} samples; "
                f"tags with values: {', '.join(known) or 'none'}: change `strata` in the recipe"
            )
            raise UsageError(message, code="stratum_tag_empty", tag=tag, known=known)
    return strata_of(samples, tags)


def strata_of(samples: pa.Table, tags: Sequence[str]) -> Groups:
    """Name each sample's stratum (n): its tags joined by " / ", a missing one as `unknown`."""
    if not tags:
        return Groups.of([""] * min(samples.num_rows, 1)).take(np.zeros(samples.num_rows, np.int64))
    return Groups.of_parts(
        pc.binary_join_element_wise(*(column.fill_null(UNKNOWN) for column in batch.columns), " / ")
        for batch in samples.select(list(tags)).to_batches()
    )


def _facts(samples: pa.Table, upstream: Upstream) -> pa.Table:
    """Return the facts of every distinct picture that the samples show, by image id."""
    shown = [pc.unique(pc.list_flatten(chunk)) for chunk in samples["images"].chunks]
    distinct = pc.unique(pa.chunked_array(shown, pa.string()))
    columns = [*FACTS, "ref"]
    schema = pa.schema([records.IMAGES.field(name) for name in columns])
    parts = (
        facts.filter(pc.is_in(facts["image_id"], distinct))
        for facts in upstream.images.images.read_parts(columns)
    )
    facts = pa.concat_tables([schema.empty_table(), *parts])
    # A picture under several references has several rows: the first reference by name stays.
    facts = facts.sort_by([("image_id", "ascending"), ("ref", "ascending")]).select(FACTS)
    ids = facts["image_id"].combine_chunks()
    first = np.append(True, np.asarray(pc.not_equal(ids[1:], ids[:-1]), bool))[: len(ids)]
    facts = facts.filter(pa.array(first))
    groups = upstream.dedup.groups.read()
    place = pc.index_in(facts["image_id"], groups["image_id"].combine_chunks())
    return facts.append_column("group_id", groups["group_id"].take(place))


def _as_dict(table: pa.Table) -> dict[str, str]:
    return dict(zip(*(column.to_pylist() for column in table.columns), strict=True))


def represented_rows(samples: pa.Table, decisions: pa.Table) -> Doubles:
    """Count the input rows (n,) that each sample represents: itself, and those dropped for it."""
    counted = pc.value_counts(decisions["witness"].drop_null())
    place = pc.index_in(samples["row_id"], counted.field("values"))
    dropped = pc.fill_null(counted.field("counts").take(place.combine_chunks()), 0)
    return np.asarray(1.0 + dropped.to_numpy(zero_copy_only=False).astype(np.float64))


def sample_vectors(
    samples: pa.Table,
    images: AnyVectors,
    texts: AnyVectors,
    *,
    shared_space: bool,
    scratch: Path | None = None,
) -> SampleVectors:
    """Return the vectors of SAMPLES rows from those of their pictures and texts.

    Args:
        samples: The samples (n).
        images: Vectors of their pictures.
        texts: Vectors of their texts; zero where the encoder cannot read one.
        shared_space: Whether the two may be compared with each other.
        scratch: Folder for what is too large for memory.

    Raises:
        UsageError: a picture or text has no vector.
        InputError: vectors that are not finite.
    """
    for known in (images, texts):
        check_vectors(known.matrix)
    n = samples.num_rows
    image = scratch_zeros((n, images.matrix.shape[1]), np.float32, scratch)
    question, answer = (
        scratch_zeros((n, texts.matrix.shape[1]), np.float32, scratch) for _ in range(2)
    )
    start = 0
    # A chunk of a large pool has some 64 MiB of texts, however long they are.
    for part in samples.select(["images", "question", "answer"]).to_batches(ROWS_AT_A_TIME):
        rows = slice(start, start + part.num_rows)
        start += part.num_rows
        image[rows] = _image_means(part["images"], images)
        question[rows] = _text_vectors(part["question"].to_pylist(), texts)
        answer[rows] = _text_vectors(part["answer"].to_pylist(), texts)
    return SampleVectors(
        image=image,
        question=question,
        answer=answer,
        shared_space=shared_space,
        question_letters=_letters(samples["question"], question, scratch),
        answer_letters=_letters(samples["answer"], answer, scratch),
        modality=strata_of(samples, ["modality"]).code,
        scratch=scratch,
    )


def _text_vectors(texts: Sequence[str | None], known: AnyVectors) -> Floats:
    rows = [row for row, text in enumerate(texts) if text]
    vectors = np.zeros((len(texts), known.matrix.shape[1]), np.float32)
    vectors[rows] = known.rows([records.text_id(texts[row] or "") for row in rows], "texts")
    return vectors


def _letters(texts: pa.ChunkedArray, vectors: Floats, scratch: Path | None) -> Floats | None:
    """Return vectors (n, d) of the characters of texts whose `vectors` are zero, or None."""
    zero = ~any_of_row(vectors)
    letters, start = None, 0
    for chunk in texts.chunks:
        rows = np.flatnonzero(zero[start : start + len(chunk)])
        said = chunk.take(pa.array(rows)).to_pylist()
        words = {row: text for row, text in zip(rows.tolist(), said, strict=True) if _says(text)}
        if words and letters is None:
            letters = scratch_zeros((len(texts), LETTER_DIMENSION), np.float32, scratch)
        if words and letters is not None:
            distinct = list(dict.fromkeys(words.values()))
            number = dict(zip(distinct, range(len(distinct)), strict=True))
            of_row = letter_vectors(distinct)[[number[text] for text in words.values()]]
            letters[start + np.array(list(words), np.int64)] = of_row
        start += len(chunk)
    return letters


def _says(text: str | None) -> bool:
    return bool((text or "").strip())


def any_of_row(vectors: Floats) -> Flags:
    """Return which vectors (n, d) are not zero, without a copy of them all."""
    blocks = range(0, len(vectors), ROWS_AT_A_TIME)
    parts = [vectors[start : start + ROWS_AT_A_TIME].any(axis=1) for start in blocks]
    return np.concatenate([np.zeros(0, bool), *parts])


def _image_means(lists: pa.Array, known: AnyVectors) -> Floats:
    """Return the unit mean (n, d) of each list of pictures, zero for none."""
    images = pc.list_flatten(lists)
    count = pc.fill_null(pc.list_value_length(lists), 0).to_numpy().astype(np.int64)
    row = np.repeat(np.arange(len(lists)), count)
    total = np.zeros((len(lists), known.matrix.shape[1]), np.float32)
    np.add.at(total, row, known.rows(images, "images"))
    return unit_rows(total)


def unit_rows(vectors: NDArray[Real]) -> NDArray[Real]:
    """Divide vectors (n, d) by their norms; those that are nearly zero become exactly zero."""
    # Vectors that cancel each other out have no direction, and rounding must not give them one.
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit: NDArray[Real] = np.divide(vectors, norms, out=np.zeros_like(vectors), where=norms > ZERO)
    return unit
