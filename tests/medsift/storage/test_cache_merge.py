"""Small parts of a cache become large ones, and nobody who reads meanwhile misses a row."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from medsift.storage import table_cache
from medsift.storage.table_cache import TableCache

PARTS, ROWS = 20, 5
IDS = [f"{number:04d}" for number in range(PARTS * ROWS)]


def rows(ids: list[str]) -> pa.Table:
    vectors = np.arange(len(ids) * 2, dtype=np.float32) + float(ids[0])
    column = pa.FixedSizeListArray.from_arrays(pa.array(vectors), 2)
    return pa.table({"content_id": ids, "vector": column})


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TableCache:
    """Twenty parts of five rows, of which a few already make a large part."""
    made = TableCache(tmp_path, "f")
    for start in range(0, len(IDS), ROWS):
        made.append(rows(IDS[start : start + ROWS]))
    size = max(path.stat().st_size for path in stored(made))
    for name, value in (("MANY_PARTS", 3), ("MERGED_BYTES", 8 * size), ("SMALL_BYTES", size + 1)):
        monkeypatch.setattr(table_cache, name, value)
    return made


def stored(cache: TableCache) -> list[Path]:
    return sorted(cache.folder.rglob("*.parquet"))


def content(cache: TableCache) -> pa.Table:
    return cache.lookup(IDS).sort_by("content_id").combine_chunks()


def test_merged_parts_have_the_same_rows_in_fewer_files(cache: TableCache, tmp_path: Path) -> None:
    before = content(cache)
    assert cache.merge() == PARTS
    assert len(stored(cache)) <= PARTS // 4
    assert content(cache).equals(before)
    assert content(TableCache(tmp_path, "f")).equals(before)


def test_a_process_that_knew_the_small_parts_finds_their_rows(
    cache: TableCache, tmp_path: Path
) -> None:
    reader = TableCache(tmp_path, "f")
    before = content(reader)
    cache.merge()
    assert content(reader).equals(before)


def test_parts_that_were_merged_are_not_merged_again(cache: TableCache) -> None:
    cache.merge()
    left = stored(cache)
    assert cache.merge() == 0
    assert stored(cache) == left
    few = TableCache(cache.folder.parent, "other")
    few.append(rows(IDS[:ROWS]))
    assert few.merge() == 0


def test_a_merge_that_is_killed_before_it_removes_loses_nothing(
    cache: TableCache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = content(cache)

    def killed(self: TableCache, part: Path) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(TableCache, "_delete", killed)
        with pytest.raises(KeyboardInterrupt):
            cache.merge()
    assert len(stored(cache)) == PARTS + 1
    fresh = TableCache(tmp_path, "f")
    assert content(fresh).equals(before)
    fresh.merge()
    assert content(fresh).equals(before)


def test_a_damaged_part_is_given_up_and_the_others_are_merged(cache: TableCache) -> None:
    damaged = stored(cache)[3]
    data = bytearray(damaged.read_bytes())
    data[len(data) // 2] ^= 0xFF
    damaged.write_bytes(data)
    cache.merge()
    assert not damaged.exists()
    assert len(content(cache)) == (PARTS - 1) * ROWS
