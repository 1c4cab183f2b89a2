"""Where the tiles of a search are computed changes nothing that the search finds."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence
from typing import Any

import imagehash
import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from curation.dedup import DedupConfig, DedupResult, SemanticConfig, deduplicate
from curation.neighbors import NeighborsConfig, TileRunner
from curation.stages.dedup import measures
from medsift import records
from medsift.execution import LocalExecutor
from medsift.records import MEASURES
from medsift.storage.vectors import ContentVectors

IMAGES = 40
# Tables are compared in whole: values bit for bit, and the order of rows.
TABLES = ("kept", "decisions", "clusters", "conflicts", "leaks", "sweep", "groups")
Pool = tuple[pa.Table, pa.Table, ContentVectors, ContentVectors]


def picture(number: int) -> Image.Image:
    """Every fourth picture is its neighbour, brighter."""
    copied = number % 4 == 3
    pixels = np.random.default_rng(number - copied).integers(20, 220, (20, 20), dtype=np.uint8)
    grey = Image.fromarray(pixels).resize((128, 128), Image.Resampling.BICUBIC)
    return grey.point(lambda value: value + 15) if copied else grey


def image_line(number: int) -> dict[str, Any]:
    shown = picture(number)
    return {
        "image_id": f"i{number:02d}",
        "byte_hash": str(number),
        "ref": str(number),
        "phash": str(imagehash.phash(shown)),
        "thumb": shown.resize((64, 64), Image.Resampling.BOX).tobytes(),
    }


def sample_line(row: int) -> dict[str, Any]:
    images = [f"i{row % IMAGES:02d}"]
    question, answer = f"Question {row % 3}?", ("yes", "no", "axial")[row % 3]
    messages = [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
    return {
        "sample_id": records.sample_id(images, messages),
        "row_id": f"r{row:03d}",
        "source": "s",
        "split": "test" if row % 7 == 0 else "train",
        "modality": ("ct", "mr")[row % 2],
        "answer_type": "closed",
        "question": question,
        "answer": answer,
        "messages": messages,
        "refs": images,
        "images": images,
    }


def unit(n: int, d: int, seed: int) -> np.ndarray:
    drawn = 1.0 + np.random.default_rng(seed).normal(size=(n, d))
    return (drawn / np.linalg.norm(drawn, axis=1, keepdims=True)).astype(np.float32)


@functools.cache
def pool() -> Pool:
    """160 samples on 40 images, a quarter of them copies; vectors that are near each other."""
    images = pa.Table.from_pylist([image_line(n) for n in range(IMAGES)], schema=records.IMAGES)
    samples = pa.Table.from_pylist([sample_line(row) for row in range(160)], schema=records.SAMPLES)
    texts = sorted({turn["content"] for talk in samples["messages"].to_pylist() for turn in talk})
    return (
        samples,
        images,
        ContentVectors(images["image_id"].to_pylist(), unit(IMAGES, 16, 1)),
        ContentVectors([records.text_id(text) for text in texts], unit(len(texts), 16, 2)),
    )


def found(run: TileRunner | None, action: str, spread_above: int = 1) -> DedupResult:
    config = DedupConfig(semantic=SemanticConfig.model_validate({"action": action}))
    search = NeighborsConfig(tile=16, spread_above=spread_above, device="cpu")
    return deduplicate(*pool(), config, neighbors=search, seed=3, run=run)


def same(one: DedupResult, other: DedupResult) -> bool:
    return one.stats == other.stats and all(
        getattr(one, name).combine_chunks().equals(getattr(other, name).combine_chunks())
        for name in TABLES
    )


class Counting:
    """The local executor's runner, which counts what it was handed."""

    def __init__(self) -> None:
        self.tiles: list[int] = []

    def __call__(self, function: Any, items: Sequence[Any]) -> Iterable[Any]:
        self.tiles.append(len(items))
        return LocalExecutor().run(function, items)


@pytest.mark.parametrize("action", ["report", "drop"])
def test_every_search_of_vectors_hands_its_tiles_over_and_finds_the_same(action: str) -> None:
    runner = Counting()
    spread, here = found(runner, action), found(None, action)
    assert here.stats["image_copies"] >= IMAGES // 4
    assert here.decisions.num_rows > 0
    assert same(spread, here)
    # Hashes and vectors of images in tiles of 16 of 40, the semantic search, the sweep.
    assert len(runner.tiles) == 4
    assert runner.tiles[:2] == [6, 6]


def test_searches_up_to_the_size_stay_in_this_process() -> None:
    runner = Counting()
    distinct = len(set(pool()[0]["sample_id"].to_pylist()))
    assert distinct > IMAGES
    found(runner, "report", spread_above=distinct)
    assert runner.tiles == []
    found(runner, "report", spread_above=IMAGES)
    assert len(runner.tiles) == 1  # only rows, compared by their joint vectors, are more


def test_recall_and_its_method_and_counts_by_cosine_become_lines() -> None:
    table = measures(found(None, "report").stats)
    assert table.schema == MEASURES
    lines = {(line["name"], line["threshold"]): line for line in table.to_pylist()}
    assert lines["image_recall", None]["value"] == 1.0
    assert lines["image_recall", None]["note"] == "exact"
    assert lines["semantic recall", None]["note"] == "exact"
    for name in ("candidates", "pairs_compared", "copies", "pairs_mirrored"):
        assert lines[f"image_{name}", None]["value"] >= 0
    at = [threshold for name, threshold in lines if name == "semantic redundant"]
    assert at == [cosine / 100 for cosine in range(80, 100)]


def test_a_search_by_cells_is_named_and_its_recall_measured() -> None:
    search = NeighborsConfig(exact_up_to=IMAGES - 1, nlist=2, nprobe=2, device="cpu")
    stats = deduplicate(*pool(), DedupConfig(), neighbors=search).stats
    lines = {line["name"]: line for line in measures(stats).to_pylist()}
    assert lines["image_recall"]["note"] == "ivf"
    assert lines["image_recall"]["value"] == 1.0  # every cell was searched
    assert lines["semantic recall"]["note"] == "exact"
