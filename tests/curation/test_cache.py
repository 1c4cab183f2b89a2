"""The cache gives back what was put in, whoever wrote it, and names what is damaged."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medsift.storage.table_cache import ROW_GROUP, TableCache
from tests.expect import raises_code


def rows(ids: list[str]) -> pa.Table:
    """A table whose vectors are decided by the ids."""
    vectors = [[float(len(one)), float(sum(one.encode()))] for one in ids]
    return pa.table(
        {
            "content_id": pa.array(ids, pa.string()),
            "vector": pa.array(vectors, pa.list_(pa.float32(), 2)),
        }
    )


def stored(cache: TableCache) -> list[Path]:
    """The parts of a cache."""
    return sorted(cache.folder.rglob("*.parquet"))


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
    assert len(stored(cache)) == 1


def test_concurrent_writers_of_equal_and_other_tables_lose_nothing(tmp_path: Path) -> None:
    def write(number: int) -> None:
        TableCache(tmp_path, "f").append(rows([f"id{number % 5}"]))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, range(40)))
    cache = TableCache(tmp_path, "f")
    assert cache.lookup([f"id{n}" for n in range(5)]).num_rows == 5
    assert len(stored(cache)) == 5


def test_large_parts_are_cut_into_row_groups(tmp_path: Path) -> None:
    cache = TableCache(tmp_path, "f")
    ids = [f"{n:05d}" for n in range(3 * ROW_GROUP)]
    cache.append(rows(ids))
    (part,) = stored(cache)
    assert pq.ParquetFile(part).num_row_groups == 3
    picked = np.random.default_rng(0).choice(ids, 50, replace=False).tolist()
    assert cache.lookup(picked).sort_by("content_id").equals(rows(sorted(picked)))


@pytest.mark.parametrize("seen", [False, True])
@pytest.mark.parametrize("keep", [0, 10, -8])
def test_a_cut_part_is_removed_with_a_warning_and_computed_again(
    tmp_path: Path, keep: int, seen: bool, caplog: pytest.LogCaptureFixture
) -> None:
    cache = TableCache(tmp_path, "f")
    cache.append(rows(["a"]))
    if seen:
        assert cache.lookup(["a"]).num_rows == 1
    (part,) = stored(cache)
    part.write_bytes(part.read_bytes()[:keep])
    reader = cache if seen else TableCache(tmp_path, "f")
    assert reader.lookup(["a"]).num_rows == 0
    assert part.name in caplog.text
    assert stored(cache) == []
    reader.append(rows(["a"]))
    assert reader.lookup(["a"]).equals(rows(["a"]))


def test_no_flipped_bit_of_a_part_gives_another_value(tmp_path: Path) -> None:
    cache = TableCache(tmp_path, "f")
    cache.append(rows(["a", "b", "c"]))
    (part,) = stored(cache)
    data = part.read_bytes()
    outcomes = set()
    for place in range(len(data)):
        changed = bytearray(data)
        changed[place] ^= 1 << (place % 8)
        part.write_bytes(changed)
        found = TableCache(tmp_path, "f").lookup(["a", "b", "c"])
        outcomes.add(found.num_rows)
        cache = TableCache(tmp_path, "f")
        cache.append(rows(["a", "b", "c"]))
        assert part.read_bytes() == data, "what was damaged is there again"
    assert outcomes == {0}


def test_what_a_damaged_part_held_comes_from_another_part(tmp_path: Path) -> None:
    cache = TableCache(tmp_path, "f")
    cache.append(rows(["a", "b"]))
    (first,) = stored(cache)
    cache.append(rows(["a", "c"]))
    first.write_bytes(b"PAR1")
    found = cache.lookup(["a", "b", "c"])
    assert sorted(found["content_id"].to_pylist()) == ["a", "c"]


def test_what_comes_out_has_the_schema_that_went_in(tmp_path: Path) -> None:
    table = rows(["a"]).append_column("notes", pa.array([["x"]], pa.list_(pa.string())))
    cache = TableCache(tmp_path, "f")
    cache.append(table)
    found = cache.lookup(["a"])
    for name in ("vector", "notes"):
        kind, wanted = found.schema.field(name).type, table.schema.field(name).type
        assert kind.value_field.name == wanted.value_field.name


def test_a_look_lists_only_folders_that_changed(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("medsift.storage.cache_parts.SETTLED_NS", -1)
    cache = TableCache(tmp_path, "f")
    for number in range(40):
        cache.append(rows([f"id{number}"]))
    assert cache.lookup(["id0", "none"]).num_rows == 1
    listed: list[str] = []
    scandir = os.scandir
    monkeypatch.setattr(
        "medsift.storage.cache_parts.os.scandir",
        lambda path: listed.append(str(path)) or scandir(path),
    )
    assert cache.lookup(["id1", "id2"]).num_rows == 2
    assert listed == []
    time.sleep(0.02)
    cache.append(rows(["late"]))
    assert cache.lookup(["late"]).num_rows == 1
    assert listed in ([str(cache.folder), listed[-1]], [str(cache.folder)] * 2 + [listed[-1]])


def test_parts_of_older_versions_are_read(tmp_path: Path) -> None:
    cache = TableCache(tmp_path, "f")
    cache.folder.mkdir()
    pq.write_table(rows(["a"]), cache.folder / "old.parquet")
    assert cache.lookup(["a"]).num_rows == 1


def test_what_killed_writers_left_is_swept_and_what_others_write_is_not(tmp_path: Path) -> None:
    cache = TableCache(tmp_path, "f")
    cache.append(rows(["a"]))
    (part,) = stored(cache)
    with subprocess.Popen(["true"]) as process:
        process.wait()
    here, inside = socket.gethostname(), part.parent
    dead = inside / f".x.parquet.{1:032x}.{here}.{process.pid}.partial"
    alive = inside / f".x.parquet.{2:032x}.{here}.{os.getpid()}.partial"
    elsewhere = inside / f".x.parquet.{3:032x}.another.host.7.partial"
    old = inside / ".x.4.another.host.7.partial"
    for path in (dead, alive, elsewhere, old):
        path.write_bytes(b"half")
    os.utime(old, (0, 0))
    assert TableCache(tmp_path, "f").lookup(["a"]).num_rows == 1
    assert [path.exists() for path in (dead, alive, elsewhere, old)] == [False, True, True, False]


def test_a_table_without_the_key_is_refused(tmp_path: Path) -> None:
    with raises_code("cache_unusable", column="content_id"):
        TableCache(tmp_path, "f").append(pa.table({"x": [1]}))


def test_a_folder_that_cannot_be_made_is_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with raises_code("cache_unusable"):
        TableCache(tmp_path / "file", "f").append(rows(["a"]))


def test_removed_rows_are_gone_from_every_part_and_the_others_stay(tmp_path: Path) -> None:
    cache = TableCache(tmp_path, "f")
    for start in (0, 5, 3):  # parts overlap
        ids = [f"c{number}" for number in range(start, start + 5)]
        cache.append(pa.table({"content_id": ids, "value": list(range(start, start + 5))}))
    assert cache.lookup(["c3"]).num_rows == 1
    assert cache.remove({"c3", "c9", "none"}) == 3
    for known in (cache, TableCache(tmp_path, "f")):
        left = known.lookup([f"c{number}" for number in range(10)])
        assert sorted(left["value"].to_pylist()) == [0, 1, 2, 4, 5, 6, 7, 8]
    text = b"".join(path.read_bytes() for path in tmp_path.rglob("*.parquet"))
    assert b"c9" not in text
