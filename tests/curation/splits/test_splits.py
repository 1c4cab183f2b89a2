"""Splits: no group is cut, shares are met, order decides nothing, old leaks are counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from curation.splits import SplitsConfig, check_splits
from curation.splits.group_rows import group_rows
from medsift import records
from medsift.leakage_groups import LEVELS, components, words_id
from medsift.manifest.connections import start
from medsift.split_assignment import assign_splits

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

SHARES = {"train": 0.8, "validation": 0.1, "test": 0.1}


@pytest.fixture(scope="module")
def engine() -> Iterator[DuckDBPyConnection]:
    with closing(start()) as connection:
        yield connection


def row(place: int, image: str | None, **tags: Any) -> dict[str, Any]:
    return {
        "sample_id": f"s{place:04d}",
        "row_id": f"r{place:04d}",
        "source": "a",
        "question": f"q{place}",
        "answer": "yes",
        "images": [image] if image else [],
        **tags,
    }


def table(rows: list[dict[str, Any]]) -> pa.Table:
    return pa.Table.from_pylist(rows, schema=records.SAMPLES)


def groups(rows: list[dict[str, Any]], copies: dict[str, str] | None = None) -> pa.Table:
    images = sorted({image for line in rows for image in line["images"]})
    named = [(copies or {}).get(image, image) for image in images]
    return pa.table({"image_id": images, "group_id": named}, schema=records.GROUPS)


@st.composite
def pools(draw: st.DrawFn) -> list[dict[str, Any]]:
    few = st.integers(0, 6)
    return [
        row(
            place,
            draw(st.sampled_from([None, "i0", "i1", "i2", "i3", "i4"])),
            study_id=draw(st.sampled_from([None, "c0", "c1", "c2"])),
            patient_id=draw(st.sampled_from([None, "p0", "p1"])),
            source=draw(st.sampled_from(["a", "b"])),
            question=f"q{draw(few)}",
        )
        for place in range(draw(st.integers(1, 25)))
    ]


def connected(one: dict[str, Any], other: dict[str, Any], level: str) -> bool:
    """Whether two samples share something at this level, by the words of the rule."""
    here = LEVELS.index(level)  # type: ignore[arg-type]
    same_source = one["source"] == other["source"]
    shares = [
        bool(set(one["images"]) & set(other["images"]))
        or (not one["images"] and not other["images"] and one["question"] == other["question"]),
        same_source and one["study_id"] is not None and one["study_id"] == other["study_id"],
        same_source and one["patient_id"] is not None and one["patient_id"] == other["patient_id"],
    ]
    return any(shares[: here + 1])


@given(pools(), st.sampled_from(LEVELS))
@settings(max_examples=60, deadline=None)
def test_components_are_the_closure_of_what_two_samples_share(pool, level) -> None:
    labels = components(table(pool), groups(pool), level)
    n = len(pool)
    reach = np.array([[connected(a, b, level) for b in pool] for a in pool]) | np.eye(n, dtype=bool)
    for middle in range(n):
        reach |= np.outer(reach[:, middle], reach[middle])
    assert np.array_equal(labels[:, None] == labels[None, :], reach)


@given(pools(), st.sampled_from(LEVELS), st.booleans())
@settings(max_examples=40, deadline=None)
def test_rows_are_grouped_by_joins_as_in_memory(engine, pool, level, joined) -> None:
    images = sorted({image for line in pool for image in line["images"]})
    copies = groups(pool, {images[0]: images[-1]} if joined and images else {})
    samples = table(pool)
    numbered = samples.add_column(0, "row", pa.array(range(len(pool)), pa.int64()))
    bare = [
        {"row": row, "question": words_id(line["question"], line["answer"])}
        for row, line in enumerate(samples.to_pylist())
        if not line["images"]
    ]
    schema = pa.schema([("row", pa.int64()), ("question", pa.string())])
    engine.register("rows", numbered)
    engine.register("words", pa.Table.from_pylist(bare, schema=schema))
    labels = group_rows(engine, copies, level)
    assert labels.tolist() == components(samples, copies, level).tolist()


def test_copies_of_a_picture_count_as_one() -> None:
    pool = [row(0, "a"), row(1, "copy"), row(2, "b")]
    labels = components(table(pool), groups(pool, {"copy": "a"}), "image")
    assert labels[0] == labels[1] != labels[2]


@given(pools(), st.sampled_from(LEVELS), st.integers(0, 3), st.randoms())
@settings(max_examples=60, deadline=None)
def test_no_group_is_cut_and_order_decides_nothing(pool, level, seed, random) -> None:
    def split(rows: list[dict[str, Any]]) -> dict[str, str]:
        labels = components(table(rows), groups(rows), level)
        ids = [line["sample_id"] for line in rows]
        strata = [line["question"] for line in rows]
        return dict(zip(ids, assign_splits(ids, labels, strata, SHARES, seed), strict=True))

    labels = components(table(pool), groups(pool), level)
    before = split(pool)
    for label in np.unique(labels):
        inside = [line for line, own in zip(pool, labels, strict=True) if own == label]
        assert len({before[line["sample_id"]] for line in inside}) == 1
    random.shuffle(pool)
    assert split(pool) == before


@pytest.mark.parametrize("seed", range(5))
def test_shares_are_met_in_every_stratum(seed: int) -> None:
    random = np.random.default_rng(seed)
    labels = np.repeat(np.arange(600), random.integers(1, 6, 600))
    ids = [f"s{place:05d}" for place in range(len(labels))]
    kinds = random.choice(["ct", "mr", "rare"], 600, p=[0.6, 0.35, 0.05])
    strata = kinds[labels].tolist()
    splits = assign_splits(ids, labels, strata, SHARES, seed)
    for stratum, size in Counter(strata).items():
        got = Counter(s for s, own in zip(splits, strata, strict=True) if own == stratum)
        for name, share in SHARES.items():
            assert abs(got[name] - share * size) <= max(6, 0.05 * size), (stratum, name)


def test_another_seed_gives_another_split() -> None:
    ids, labels = [f"s{place}" for place in range(100)], np.arange(100)
    strata = ["x"] * 100
    one, other = (assign_splits(ids, labels, strata, SHARES, seed) for seed in (0, 1))
    assert one != other
    assert Counter(one) == Counter(other) == {"train": 80, "validation": 10, "test": 10}


def test_the_leaks_of_a_given_split_are_counted_by_level() -> None:
    pool = [
        row(0, "a", split="train", study_id="c1"),
        row(1, "a", split="test", study_id="c1"),
        row(2, "b", split="test", study_id="c1"),
        row(3, "d", split="test", study_id="c2"),
        row(4, "e", study_id="c3"),
    ]
    image, case = check_splits(table(pool), groups(pool))
    assert (image.level, image.split, image.held_out) == ("image", "train", "test")
    assert (image.samples, image.leaked_samples, image.images, image.leaked_images) == (3, 1, 3, 1)
    assert (case.level, case.leaked_samples, case.leaked_images) == ("case", 2, 2)


@pytest.mark.parametrize(
    "shares",
    [
        {"train": 0.8, "test": 0.1},
        {"dev": 0.5, "test": 0.5},
        {"train": 1.0, "test": 0.0},
    ],
    ids=["sum", "no train", "zero"],
)
def test_impossible_shares_are_refused(shares: dict[str, float]) -> None:
    with pytest.raises(ValidationError) as caught:
        SplitsConfig(shares=shares)
    assert [error["loc"] for error in caught.value.errors()] == [("shares",)]
