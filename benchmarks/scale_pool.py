"""Make synthetic pools of any size, as the stages `ingest`, `images` and `embed` would leave them.

Twenty samples form a block: twelve questions on four pictures, a copy of one picture with the
question and answer of its original (`image_copy`), a row of equal content (`exact_copy`), five
reports without a picture, and one report with an article more (`near_text`). Nothing is decoded or
encoded: vectors, hashes and miniatures are drawn. Samples are made part by part, so that a pool
may be larger than memory.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import blake2b
from typing import Final

import numpy as np
import pyarrow as pa

from curation.stages.image_verdicts import RESOLVED
from medsift import records
from medsift.arrays import Floats, Indices
from medsift.records import THUMB_SIDE

BLOCK: Final = 20
ASKED, COPY, EXACT, REPORT, NEAR = range(5)
KINDS: Final = np.array([ASKED] * 12 + [COPY, EXACT] + [REPORT] * 5 + [NEAR])
PICTURES: Final = 5
"""Pictures of a block: four, and an altered copy of the first."""
FINDINGS: Final = ("effusion", "mass", "fracture", "cyst", "nodule", "infarct", "oedema", "bleed")
PLACES: Final = (
    "lung", "liver", "kidney", "brain", "spine", "pelvis",
    "heart", "spleen", "thorax", "neck", "orbit", "femur",
)  # fmt: skip
HOW: Final = ("large", "small", "subtle", "acute", "chronic", "mild", "marked", "old")
BODY: Final = ("chest", "head", "abdomen", "spine")
MODALITY: Final = ("ct", "mr", "xray", "us")
SYLLABLES: Final = (
    "ba", "ce", "di", "fo", "gu", "la", "me", "ni",
    "po", "ru", "sa", "te", "vi", "zo", "ku", "na",
)  # fmt: skip
WORDS_OF_REPORT: Final = 60
REPORT_QUESTION: Final = "What does the report say?"


@dataclass(frozen=True, slots=True)
class Part:
    """Some blocks of a pool, as tables of the first three stages."""

    rows: pa.Table
    samples: pa.Table
    updates: pa.Table
    images: pa.Table
    image_vectors: Floats
    texts: list[str]


def make_parts(blocks: int, seed: int, dimension: int, at_once: int = 500) -> Iterator[Part]:
    """Yield the blocks of a pool in their order; each depends on the seed and its number alone."""
    for first in range(0, blocks, at_once):
        yield make_part(np.arange(first, min(first + at_once, blocks)), seed, dimension)


def make_part(blocks: Indices, seed: int, dimension: int) -> Part:
    """Return the samples, pictures and distinct texts of some blocks."""
    questions: list[str] = []
    answers: list[str] = []
    shown: list[str | None] = []
    closed: list[str] = []
    contents: list[str] = []
    for block in blocks.tolist():
        rng = np.random.default_rng([seed, block])
        reports = _reports(rng)
        asked = _asked(rng)
        near = reports[0].split(" ")
        middle = WORDS_OF_REPORT // 2
        reports.append(" ".join([*near[:middle], "the", *near[middle:]]))
        pictures = [image_name(seed, block, number) for number in range(PICTURES)]
        lines = [(question, answer, pictures[place // 3]) for place, (question, answer) in asked]
        lines += [(*lines[0][:2], pictures[4]), lines[4]]
        for question, answer, picture in lines:
            questions.append(question)
            answers.append(answer)
            shown.append(picture)
            closed.append("closed" if answer in ("yes", "no") else "open")
            contents.append(f"{picture}\n{question}\n{answer}")
        for report in reports:
            questions.append(REPORT_QUESTION)
            answers.append(report)
            shown.append(None)
            closed.append("open")
            contents.append(report)
    images, vectors = _images(blocks, seed, dimension)
    samples = _samples(blocks, questions, answers, closed)
    ids = [blake2b(content.encode(), digest_size=32).hexdigest() for content in contents]
    lists = [[] if picture is None else [picture] for picture in shown]
    kept = {name: samples[name] for name in ("row_id", "refs", "notes")}
    updates = pa.table(kept | {"sample_id": ids, "images": lists}).select(RESOLVED.names)
    distinct = list(dict.fromkeys([*questions, *answers]))
    fields = [records.ROWS.field(name) for name in ("row_id", "source", "file", "index", "notes")]
    number = pa.array(row_numbers(blocks))
    rows = [samples["row_id"], samples["source"], pa.repeat("pool", len(ids)), number]
    return Part(
        pa.table([*rows, samples["notes"]], schema=pa.schema(fields)),
        samples,
        updates,
        images,
        vectors,
        distinct,
    )


def row_numbers(blocks: Indices) -> Indices:
    """Return the numbers of the rows of some blocks."""
    return (blocks[:, None] * BLOCK + np.arange(BLOCK)).ravel()


def row_name(number: int) -> str:
    """Return the id of a row."""
    return f"pool:pool:{number}"


def image_name(seed: int, block: int, number: int) -> str:
    """Return the id of a picture of a block."""
    return blake2b(f"{seed} {block} {number}".encode(), digest_size=32).hexdigest()


def planted(blocks: Indices) -> tuple[Indices, Indices]:
    """Return rows that repeat another, and the row that each repeats."""
    first = blocks[:, None] * BLOCK
    copies = first + np.array([12, 13, 19])
    return copies.ravel(), (first + np.array([0, 4, 14])).ravel()


def _reports(rng: np.random.Generator) -> list[str]:
    """Return five reports of invented words, which share none but the frame."""
    syllables = np.array(SYLLABLES)[rng.integers(0, len(SYLLABLES), (5, WORDS_OF_REPORT - 8, 4))]
    words = ["".join(word) for word in syllables.reshape(-1, 4).tolist()]
    size = WORDS_OF_REPORT - 8
    return [
        "the patient is " + " ".join(words[start : start + size]) + " and there is no other"
        for start in range(0, len(words), size)
    ]


def _asked(rng: np.random.Generator) -> list[tuple[int, tuple[str, str]]]:
    """Return twelve places with a question and an answer, three of each picture all different."""
    lines = []
    for place in range(12):
        finding, where = FINDINGS[rng.integers(len(FINDINGS))], PLACES[place]
        if place % 3 == 2:
            answer = f"{HOW[rng.integers(len(HOW))]} {finding}"
            lines.append((place, (f"What is seen in the {where}?", answer)))
        else:
            answer = ("yes", "no")[rng.integers(2)]
            lines.append((place, (f"Is there a {finding} in the {where}?", answer)))
    return lines


def _samples(
    blocks: Indices, questions: list[str], answers: list[str], closed: list[str]
) -> pa.Table:
    n = len(questions)
    numbers = row_numbers(blocks)
    block = np.repeat(blocks, BLOCK)
    contents: list[str | None] = [""] * (2 * n)
    contents[::2], contents[1::2] = questions, answers
    turns = pa.StructArray.from_arrays(
        [pa.array(["user", "assistant"] * n), pa.array(contents)], names=["role", "content"]
    )
    none = pa.nulls(n, pa.string())
    columns = dict.fromkeys(records.SAMPLES.names, none) | {
        "row_id": pa.array([row_name(number) for number in numbers.tolist()]),
        "source": pa.repeat("pool", n),
        "modality": pa.array(np.array(MODALITY)[block % 4].tolist()),
        "body_part": pa.array(np.array(BODY)[block // 4 % 4].tolist()),
        "task_type": pa.array(
            np.where(KINDS >= REPORT, "report", "finding").tolist() * len(blocks)
        ),
        "answer_type": pa.array(closed),
        "language": pa.repeat("en", n),
        "patient_id": pa.array([f"p{number // 2}" for number in block.tolist()]),
        "question": pa.array(questions),
        "answer": pa.array(answers),
        "messages": pa.ListArray.from_arrays(np.arange(0, 2 * n + 1, 2, dtype=np.int32), turns),
        "refs": pa.array([[]] * n, pa.list_(pa.string())),
        "images": pa.nulls(n, pa.list_(pa.string())),
        "notes": pa.array([[]] * n, pa.list_(pa.string())),
    }
    return pa.table(columns).select(records.SAMPLES.names).cast(records.SAMPLES)


def _images(blocks: Indices, seed: int, dimension: int) -> tuple[pa.Table, Floats]:
    """Return ``IMAGES`` rows and vectors (5 a block); the fifth is altered from the first."""
    count = len(blocks) * PICTURES
    rng = np.random.default_rng([seed, int(blocks[0]), 1])
    vectors = rng.standard_normal((count, dimension)).astype(np.float32)
    noise = rng.standard_normal((len(blocks), dimension)).astype(np.float32)
    vectors[4::PICTURES] = vectors[::PICTURES] + 0.1 * noise
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    hashes = rng.integers(0, 1 << 63, count, np.uint64)
    bits = np.uint64(1) << rng.integers(0, 63, len(blocks)).astype(np.uint64)
    hashes[4::PICTURES] = hashes[::PICTURES] ^ bits
    # Coarse shapes and fine grain: the detail that tells one patient from another.
    coarse = rng.integers(0, 160, (count, 8, 8), np.uint8)
    thumbs = np.kron(coarse, np.ones((1, THUMB_SIDE // 8, THUMB_SIDE // 8), np.uint8))
    thumbs += rng.integers(0, 64, thumbs.shape, np.uint8)
    thumbs[4::PICTURES] = (thumbs[::PICTURES] * 0.9).astype(np.uint8) + 3
    ids = [image_name(seed, block, number) for block in blocks.tolist() for number in range(5)]
    offsets = np.arange(0, thumbs.size + 1, THUMB_SIDE * THUMB_SIDE, dtype=np.int32)
    buffers = [None, pa.py_buffer(offsets), pa.py_buffer(thumbs.tobytes())]
    fixed = {"size_bytes": 4096, "width": 64, "height": 64, "bit_depth": 8}
    measured = rng.random((5, count)).astype(np.float32)
    measures = ("mean", "contrast", "entropy", "sharpness", "blank_share")
    columns = dict.fromkeys(records.IMAGES.names, pa.nulls(count, pa.string()))
    columns |= {name: pa.repeat(value, count) for name, value in fixed.items()}
    columns |= {name: pa.array(values) for name, values in zip(measures, measured, strict=True)}
    columns |= {
        "image_id": pa.array(ids),
        "byte_hash": pa.array(ids),
        "ref": pa.array([f"{name}.png" for name in ids]),
        "mode": pa.repeat("L", count),
        "format": pa.repeat("PNG", count),
        "phash": pa.array([f"{code:016x}" for code in hashes.tolist()]),
        "thumb": pa.Array.from_buffers(pa.binary(), count, buffers),
        "notes": pa.array([[]] * count, pa.list_(pa.string())),
    }
    table = pa.table(columns).select(records.IMAGES.names).cast(records.IMAGES)
    return table, vectors


def text_vectors(texts: list[str], dimension: int) -> pa.Table:
    """Return a unit vector of each text by its content id, drawn for each text alike everywhere."""
    ids = [records.text_id(text) for text in texts]
    raw = np.array([int(name[:16], 16) for name in ids], np.uint64)
    # A fixed generator, counted from the text's own number: equal texts have equal vectors.
    counter = raw[:, None] + np.arange(1, dimension + 1, dtype=np.uint64)[None, :] * np.uint64(
        0x9E3779B97F4A7C15
    )
    counter = (counter ^ (counter >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    counter = (counter ^ (counter >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    counter ^= counter >> np.uint64(31)
    values = (counter >> np.uint64(40)).astype(np.float32) / np.float32(1 << 24) - np.float32(0.5)
    values /= np.linalg.norm(values, axis=1, keepdims=True)
    return vector_table(ids, values)


def vector_table(ids: list[str], vectors: Floats) -> pa.Table:
    """Return a vector table, sorted by content id."""
    flat = pa.array(np.ascontiguousarray(vectors).reshape(-1))
    column = pa.FixedSizeListArray.from_arrays(flat, vectors.shape[1])
    table = pa.table([pa.array(ids), column], schema=records.vectors_schema(vectors.shape[1]))
    return table.sort_by("content_id")
