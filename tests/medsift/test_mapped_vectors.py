"""Vectors in a mapped file are those of the parts that it was written from."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medsift import records
from medsift.storage.mapped_vectors import keys_of, map_vectors
from medsift.storage.parts import write_table
from medsift.storage.vectors import read_vectors
from tests.expect import raises_code


def names(count: int) -> list[str]:
    return [hashlib.sha256(str(number).encode()).hexdigest() for number in range(count)]


def write_parts(folder: Path, ids: list[str], matrix: np.ndarray, size: int) -> None:
    width = matrix.shape[1]
    for part, start in enumerate(range(0, len(ids), size)):
        flat = pa.array(matrix[start : start + size].ravel())
        column = pa.FixedSizeListArray.from_arrays(flat, width)
        table = pa.table(
            [pa.array(ids[start : start + size]), column], records.vectors_schema(width)
        )
        write_table(table, folder / f"part-{part:06d}.parquet")


@pytest.mark.parametrize("size", [1, 7, 100])
def test_rows_are_those_of_the_whole_table_in_memory(tmp_path: Path, size: int) -> None:
    ids = names(50)
    matrix = np.random.default_rng(0).normal(size=(50, 3)).astype("f4")
    write_parts(tmp_path / "parts", ids, matrix, size)
    mapped = map_vectors(tmp_path / "parts", tmp_path / "mapped")
    wanted = [ids[place] for place in (49, 0, 7, 7, 31)]
    known = read_vectors(tmp_path / "parts")
    assert np.array_equal(mapped.rows(wanted, "texts"), known.rows(wanted, "texts"))
    again = map_vectors(tmp_path / "nothing", tmp_path / "mapped")
    assert np.array_equal(again.rows(pa.array(wanted), "texts"), known.rows(wanted, "texts"))
    assert mapped.rows([], "texts").shape == (0, 3)


@pytest.mark.parametrize("count", [0, 3])
def test_a_content_without_a_vector_is_refused(tmp_path: Path, count: int) -> None:
    write_parts(tmp_path / "parts", names(count), np.ones((count, 2), "f4"), 5)
    mapped = map_vectors(tmp_path / "parts", tmp_path / "mapped")
    with raises_code("vectors_missing", missing=1, what="texts"):
        mapped.rows([*names(count), names(9)[8]], "texts")


@given(st.lists(st.text(max_size=3) | st.sampled_from(names(5)), unique=True))
def test_any_text_may_be_an_id(ids: list[str]) -> None:
    keys = keys_of(ids)
    assert len(set(keys.tolist())) == len(ids)
    assert keys.tolist() == [keys_of([name])[0] for name in ids]


@given(st.lists(st.binary(min_size=32, max_size=32), min_size=1), st.data())
def test_keys_sort_as_their_ids(digests: list[bytes], data: st.DataObject) -> None:
    ids = [digest.hex() for digest in digests]
    start = data.draw(st.integers(0, len(ids) - 1))
    keys = keys_of(pa.array(["0" * 64, *ids]).slice(1 + start))
    expected = [digest[:16] for digest in digests[start:]]
    assert [key.ljust(16, b"\0") for key in keys.tolist()] == expected
    assert sorted(keys.tolist()) == [key.rstrip(b"\0") for key in sorted(expected)]
