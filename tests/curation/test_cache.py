"""The cache gives back what was put in, whoever wrote it, and names what is damaged."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curation.cache import ROW_GROUP, TableCache
from curation.errors import StorageError, UsageError


def rows(ids: list[str]) -> pa.Table:
    """A table whose vectors are decided by the ids."""
    vectors = [[float(len(one)), float(sum(one.encode()))] for one in ids]
    return pa.table(
        {
            "content_id": pa.array(ids, pa.string()),
            "vector": pa.array(vectors, pa.list_(pa.float32(), 2)),
        }
    )


@settings(max_examples=25, deadline=None)
@given(
    batches=st.lists(st.lists(st.text("abc", max_size=3), max_size=6), max_size=5),
    wanted=st.lists(st.text("abc", max_size=3), max_size=10),
)
def test_lookup_gives_every_cached_id_once(
    tmp_path_factory: pytest.TempPathFactory, batches: list[list[str]], wanted: list[str]
) -> None:
    cache = TableCache(tmp_path_factory.mktemp("cache"), "f")
    for batch in batches:
        cache.append(rows(batch))
    found = cache.lookup(wanted)
    expected = sorted({one for batch in batches for one in batch} & set(wanted))
    assert sorted(found["content_id"].to_pylist()) == expected
    if expected:
        assert found.sort_by("content_id").equals(rows(expected))


def test_an_empty_cache_has_the_key_column(tmp_path: Path) -> None:
    found = TableCache(tmp_path / "none", "f", key="byte_hash").lookup(["a"])
    assert (found.num_rows, found.column_names) == (0, ["byte_hash"])


def test_fingerprints_do_not_mix(tmp_path: Path) -> None:
    TableCache(tmp_path, "one").append(rows(["a"]))
    assert TableCache(tmp_path, "two").lookup(["a"]).num_rows == 0


def test_what_another_writer_appends_is_seen(tmp_path: Path) -> None:
    reader, writer = TableCache(tmp_path, "f"), TableCache(tmp_path, "f")
    assert reader.lookup(["a"]).num_rows == 0
    writer.append(rows(["a"]))
    assert reader.lookup(["a"]).num_rows == 1


def test_equal_tables_are_one_part_whatever_their_chunks(tmp_path: Path) -> None:
    cache = TableCache(tmp_path, "f")
    cache.append(rows(["a", "b"]))
    cache.append(pa.concat_tables([rows(["a"]), rows(["b"])]))
    assert len(list(cache.folder.iterdir())) == 1


def test_concurrent_writers_of_equal_and_other_tables_lose_nothing(tmp_path: Path) -> None:
    def write(number: int) -> None:
        TableCache(tmp_path, "f").append(rows([f"id{number % 5}"]))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, range(40)))
    cache = TableCache(tmp_path, "f")
    assert cache.lookup([f"id{n}" for n in range(5)]).num_rows == 5
    assert len(list(cache.folder.iterdir())) == 5


def test_large_parts_are_cut_into_row_groups(tmp_path: Path) -> None:
    cache = TableCache(tmp_path, "f")
    ids = [f"{n:05d}" for n in range(3 * ROW_GROUP)]
    cache.append(rows(ids))
    (part,) = cache.folder.iterdir()
    assert pq.ParquetFile(part).num_row_groups == 3
    picked = np.random.default_rng(0).choice(ids, 50, replace=False).tolist()
    assert cache.lookup(picked).sort_by("content_id").equals(rows(sorted(picked)))


@pytest.mark.parametrize("keep", [0, 10, -8])
def test_a_damaged_part_is_named(tmp_path: Path, keep: int) -> None:
    cache = TableCache(tmp_path, "f")
    cache.append(rows(["a"]))
    (part,) = cache.folder.iterdir()
    part.write_bytes(part.read_bytes()[:keep])
    with pytest.raises(StorageError, match=part.name):
        cache.lookup(["a"])


def test_leftovers_of_a_killed_writer_are_ignored(tmp_path: Path) -> None:
    cache = TableCache(tmp_path, "f")
    cache.append(rows(["a"]))
    (cache.folder / ".x.1.partial").write_bytes(b"half")
    assert cache.lookup(["a"]).num_rows == 1


def test_a_table_without_the_key_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="content_id"):
        TableCache(tmp_path, "f").append(pa.table({"x": [1]}))


def test_a_folder_that_cannot_be_made_is_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StorageError, match="cannot write"):
        TableCache(tmp_path / "file", "f").append(rows(["a"]))
