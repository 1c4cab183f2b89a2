"""Machines that share nothing but a store share its cache, and never lose or invent a row."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pyarrow as pa
import pytest

from medsift.storage import mirror
from medsift.storage.cache_log import PartLog
from medsift.storage.mirror import here, mirror_of
from medsift.storage.open_store import open_store
from medsift.storage.table_cache import TableCache
from tests.fakes import Killed
from tests.stores import keys_in


def rows(ids: list[str]) -> pa.Table:
    vectors = [[float(len(one)), float(sum(one.encode()))] for one in ids]
    kind = pa.list_(pa.float32(), 2)
    return pa.table({"content_id": pa.array(ids), "vector": pa.array(vectors, kind)})


def cache_on(machine: str, url: str, monkeypatch, tmp_path) -> TableCache:
    monkeypatch.setenv("MEDSIFT_CACHE_DIR", str(tmp_path / machine))
    monkeypatch.setattr(mirror, "_compared", set())
    return TableCache(mirror_of(url) / "cache", "f")


@pytest.fixture
def on(bucket_url, monkeypatch, tmp_path):
    return lambda machine: cache_on(machine, bucket_url, monkeypatch, tmp_path)


def ids_of(table: pa.Table) -> list[str]:
    return sorted(table["content_id"].to_pylist())


def test_what_one_machine_appends_another_finds(on):
    first = on("first")
    assert ids_of(first.lookup(["a"])) == []
    first.append(rows(["a", "b"]))
    first.append(rows(["c"]))
    second = on("second")
    found = second.lookup(["a", "c", "x"])
    assert found.sort_by("content_id").equals(rows(["a", "c"]))
    second.append(rows(["x"]))
    on("first")
    assert ids_of(first.lookup(["x", "b"])) == ["b", "x"]


def test_only_parts_with_wanted_rows_are_downloaded(on):
    first = on("first")
    for name in "abcdef":
        first.append(rows([name]))
    second = on("second")
    assert ids_of(second.lookup(["d"])) == ["d"]
    assert len(list(second.folder.rglob("*.parquet"))) == 1


def test_many_writers_at_once_lose_nothing(on):
    first = on("first")
    caches = [first, *(TableCache(first.folder.parent, "f") for _ in range(3))]

    def append(number: int) -> None:
        caches[number % 4].append(rows([f"{number}-{place}" for place in range(3)]))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(append, range(24)))
    wanted = [f"{number}-{place}" for number in range(24) for place in range(3)]
    assert ids_of(on("second").lookup(wanted)) == sorted(wanted)


def test_killed_between_part_and_log_the_rows_are_computed_again(on, monkeypatch):
    first = on("first")

    def killed(*arguments: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(PartLog, "_create", killed)
        with pytest.raises(Killed):
            first.append(rows(["a"]))
    again = on("first")
    assert ids_of(again.lookup(["a"])) == []
    again.append(rows(["a"]))
    assert ids_of(on("second").lookup(["a"])) == ["a"]


@pytest.mark.parametrize("how", ["gone", "damaged"])
def test_a_part_that_is_gone_or_damaged_is_forgotten_and_made_again(
    on, how, bucket_url, object_store
):
    on("first").append(rows(["a"]))
    [part] = [
        key
        for key in keys_in(object_store, bucket_url.removeprefix("s3://"))
        if key.endswith(".parquet")
    ]
    store = open_store(bucket_url)
    if how == "gone":
        store.remove([part])
    else:
        data = bytearray(store.read(part).data)
        data[20] ^= 1
        store.write(part, bytes(data))
    second = on("second")
    assert ids_of(second.lookup(["a", "b"])) == []
    second.append(rows(["a"]))
    assert ids_of(second.lookup(["a"])) == ["a"]
    assert ids_of(on("third").lookup(["a"])) == ["a"]


def test_a_damaged_copy_on_this_machine_is_downloaded_again(on):
    first = on("first")
    first.append(rows(["a"]))
    [part] = first.folder.rglob("*.parquet")
    data = bytearray(part.read_bytes())
    data[20] ^= 1
    part.write_bytes(bytes(data))
    assert ids_of(on("first").lookup(["a"])) == ["a"]
    assert here(part) == part
