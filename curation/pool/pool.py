"""Load the pool: every sample that survived dedup and may be trained on, in one fixed order."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from curation.current_samples import read_samples, training_samples
from curation.neighbors import check_vectors
from curation.pool.letters import LETTER_DIMENSION, letter_vectors
from curation.stage_outputs import Upstream
from medsift import records
from medsift.arrays import Doubles, Flags, Floats, Indices
from medsift.errors import UsageError
from medsift.leakage_groups import components
from medsift.reorder import sorted_rows
from medsift.storage.vectors import ContentVectors

UNKNOWN: Final = "unknown"
ZERO: Final = 1e-6
"""Norm up to which a vector counts as zero."""
Real = TypeVar("Real", np.float32, np.float64)
FACTS: Final = [name for name in records.IMAGES.names if name not in ("thumb", "error", "detail")]


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
        )

    @property
    def unread(self) -> Flags:
        """Whether the encoder cannot read the question or the answer of each sample (n,)."""
        unread = np.zeros(len(self.image), bool)
        for letters in (self.question_letters, self.answer_letters):
            if letters is not None:
                unread |= letters.any(axis=1)
        return unread


@dataclass(frozen=True, slots=True)
class Pool:
    """Candidates for training, sorted by sample id, and what is known about them.

    `samples` (n) are SAMPLES rows. `images` are IMAGES facts of distinct pictures, without
    miniatures, with the copy group as `group_id`. `mass` (n,) counts the input rows that a sample
    represents, itself included; `strata` (n) name its stratum.
    """

    samples: pa.Table
    images: pa.Table
    vectors: SampleVectors
    mass: Doubles
    strata: list[str]

    def __len__(self) -> int:
        """Count the samples."""
        return int(self.samples.num_rows)

    @property
    def sample_ids(self) -> list[str]:
        """Sample ids (n), sorted."""
        ids: list[str] = self.samples["sample_id"].to_pylist()
        return ids

    def take(self, rows: Indices) -> Pool:
        """Return the pool of some of its samples, given by their places in ascending order."""
        return Pool(
            samples=self.samples.take(pa.array(rows)),
            images=self.images,
            vectors=self.vectors.take(rows),
            mass=self.mass[rows],
            strata=[self.strata[row] for row in rows.tolist()],
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
    samples = read_samples(upstream)
    # Held-out splits are left out: nothing that decides what to train on may look at them.
    samples = training_samples(samples)
    samples = sorted_rows(samples, ["sample_id", "row_id"])
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
    images, texts = upstream.images.vectors.read_vectors(), upstream.embed.vectors.read_vectors()
    return Pool(
        samples=samples,
        images=_facts(samples, upstream),
        vectors=sample_vectors(samples, images, texts, shared_space=shared_space),
        mass=represented_rows(samples, upstream.dedup.decisions.read(["witness"])),
        strata=stratum_names(samples, strata),
    )


def stratum_names(samples: pa.Table, tags: Sequence[str]) -> list[str]:
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


def strata_of(samples: pa.Table, tags: Sequence[str]) -> list[str]:
    """Name each sample's stratum (n): its tags joined by " / ", a missing one as `unknown`."""
    columns = [samples[tag].fill_null(UNKNOWN).to_pylist() for tag in tags]
    return [" / ".join(values) for values in zip(*columns, strict=True)] or [""] * samples.num_rows


def _facts(samples: pa.Table, upstream: Upstream) -> pa.Table:
    """Return the facts of every distinct picture that the samples show, by image id."""
    shown = {image for images in samples["images"].to_pylist() for image in images or ()}
    facts = upstream.images.images.read(FACTS)
    facts = facts.filter(pc.is_in(facts["image_id"], pa.array(sorted(shown), pa.string())))
    # A picture under several references has several rows: the first reference by name stays.
    facts = facts.sort_by([("image_id", "ascending"), ("ref", "ascending")])
    ids = np.array(facts["image_id"].to_pylist(), dtype=object).astype(str)
    facts = facts.take(pa.array(np.unique(ids, return_index=True)[1]))
    group = _as_dict(upstream.dedup.groups.read().select(["image_id", "group_id"]))
    groups = [group[image] for image in facts["image_id"].to_pylist()]
    return facts.append_column("group_id", pa.array(groups, pa.string()))


def _as_dict(table: pa.Table) -> dict[str, str]:
    return dict(zip(*(column.to_pylist() for column in table.columns), strict=True))


def represented_rows(samples: pa.Table, decisions: pa.Table) -> Doubles:
    """Count the input rows (n,) that each sample represents: itself, and those dropped for it."""
    dropped_for = Counter(decisions["witness"].to_pylist())
    return np.array([1.0 + dropped_for[row] for row in samples["row_id"].to_pylist()], np.float64)


def sample_vectors(
    samples: pa.Table, images: ContentVectors, texts: ContentVectors, *, shared_space: bool
) -> SampleVectors:
    """Return the vectors of SAMPLES rows from those of their pictures and texts.

    Args:
        samples: The samples (n).
        images: Vectors of their pictures.
        texts: Vectors of their texts; zero where the encoder cannot read one.
        shared_space: Whether the two may be compared with each other.

    Raises:
        UsageError: a picture or text has no vector.
        InputError: vectors that are not finite.
    """
    for known in (images, texts):
        check_vectors(known.matrix)
    questions, answers = samples["question"].to_pylist(), samples["answer"].to_pylist()
    question, answer = _text_vectors(questions, texts), _text_vectors(answers, texts)
    modality = samples["modality"].fill_null(UNKNOWN).to_pylist()
    return SampleVectors(
        image=_image_means(samples["images"].to_pylist(), images),
        question=question,
        answer=answer,
        shared_space=shared_space,
        question_letters=_letters(questions, question),
        answer_letters=_letters(answers, answer),
        modality=np.unique(np.array(modality, str), return_inverse=True)[1].astype(np.int64),
    )


def _text_vectors(texts: Sequence[str | None], known: ContentVectors) -> Floats:
    rows = [row for row, text in enumerate(texts) if text]
    vectors = np.zeros((len(texts), known.matrix.shape[1]), np.float32)
    vectors[rows] = known.rows([records.text_id(texts[row] or "") for row in rows], "texts")
    return vectors


def _letters(texts: Sequence[str | None], vectors: Floats) -> Floats | None:
    """Return vectors (n, d) of the characters of texts whose `vectors` are zero, or None."""
    zero = np.flatnonzero(~vectors.any(axis=1)).tolist()
    rows = [row for row in zero if (texts[row] or "").strip()]
    if not rows:
        return None
    distinct, number = np.unique(np.array([texts[row] for row in rows]), return_inverse=True)
    letters = np.zeros((len(texts), LETTER_DIMENSION), np.float32)
    letters[rows] = letter_vectors(distinct.tolist())[number]
    return letters


def _image_means(lists: Sequence[Sequence[str] | None], known: ContentVectors) -> Floats:
    """Return the unit mean (n, d) of each list of pictures, zero for none."""
    images = [image for of_sample in lists for image in of_sample or ()]
    row = np.repeat(np.arange(len(lists)), [len(of_sample or ()) for of_sample in lists])
    total = np.zeros((len(lists), known.matrix.shape[1]), np.float32)
    np.add.at(total, row, known.rows(images, "images"))
    return unit_rows(total)


def unit_rows(vectors: NDArray[Real]) -> NDArray[Real]:
    """Divide vectors (n, d) by their norms; those that are nearly zero become exactly zero."""
    # Vectors that cancel each other out have no direction, and rounding must not give them one.
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit: NDArray[Real] = np.divide(vectors, norms, out=np.zeros_like(vectors), where=norms > ZERO)
    return unit
