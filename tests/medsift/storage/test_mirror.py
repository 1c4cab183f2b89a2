"""A store's files have paths that every machine reads as its own; pointers are swapped whole."""

from __future__ import annotations

from pathlib import Path

import pytest

from medsift.storage import mirror, pointer, replace
from medsift.storage.atomic import atomic_file
from medsift.storage.local_paths import path_of
from medsift.storage.mirror import (
    discard,
    exists,
    fetch,
    here,
    is_mirrored,
    location,
    mirror_of,
    read_current,
)
from medsift.storage.open_store import open_store
from medsift.storage.pointer import refresh
from medsift.storage.replace import replacing
from medsift.storage.seals import broken, seals
from tests.expect import raises_code
from tests.fakes import Killed
from tests.stores import keys_in


@pytest.fixture
def other_machine(monkeypatch, tmp_path):
    """Turn this process into one of another machine that shares no disk with it."""

    def move(name: str = "other") -> None:
        monkeypatch.setenv("MEDSIFT_CACHE_DIR", str(tmp_path / name))
        monkeypatch.setattr(mirror, "_compared", set())

    return move


@pytest.mark.parametrize(
    "url",
    [
        "s3://bucket/runs/a",
        "s3://bucket",
        "gs://bucket/runs/a b/ü",
        "s3://bucket/r?endpoint_override=host%3A9000&scheme=http&region=x",
    ],
)
def test_a_url_comes_back_from_its_path(url):
    path = mirror_of(url)
    assert is_mirrored(path)
    assert location(path).rstrip("/") == url
    assert location(Path(path / "stages" / "x")).partition("?")[0].endswith("/stages/x")
    assert path.is_absolute()


def test_plain_paths_are_themselves(tmp_path):
    for path in (tmp_path, Path("runs/a"), tmp_path / "medsift-stores" / "x"):
        assert not is_mirrored(path)
        assert here(path) == path
        assert location(path) == str(path)
        assert path_of(path) == path


@pytest.mark.parametrize("url", ["s3://", "s3://bucket/../x", "s3://bucket/.hidden/run"])
def test_urls_that_are_no_place_are_refused(url):
    with raises_code("location_unsupported"):
        mirror_of(url)


def test_a_secret_never_becomes_a_path():
    with raises_code("credentials_in_recipe") as caught:
        path_of("s3://key:secret@bucket/run")
    assert "secret" not in str(caught.value)


def test_a_file_written_here_is_read_on_another_machine(bucket_url, other_machine):
    path = mirror_of(bucket_url) / "run" / "a.txt"
    with atomic_file(path) as partial:
        partial.write_text("one")
    other_machine()
    assert not here(path).exists()
    assert here(path) != path
    assert exists(path)
    assert fetch(path).read_text() == "one"
    assert read_current(path) == b"one"
    discard([path])
    assert not exists(path)
    with pytest.raises(FileNotFoundError):
        fetch(path)


def test_a_write_that_is_killed_after_the_upload_leaves_nothing_here(bucket_url, monkeypatch):
    path = mirror_of(bucket_url) / "run" / "a.txt"

    def killed(self: Path, target: Path) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", killed)
        with pytest.raises(Killed), atomic_file(path) as partial:
            partial.write_text("one")
    assert not path.exists()
    assert exists(path)
    with atomic_file(path) as partial:
        partial.write_text("one")
    assert path.read_text() == "one"


def test_scratch_never_leaves_the_machine(bucket_url, object_store):
    path = mirror_of(bucket_url) / "run"
    for name in (".samples-x.partial/part.parquet", ".lock"):
        with atomic_file(path / name) as partial:
            partial.write_bytes(b"1")
    assert keys_in(object_store, bucket_url.removeprefix("s3://")) == []


def test_a_copy_that_another_machine_made_anew_is_not_trusted(bucket_url, other_machine):
    path = mirror_of(bucket_url) / "run" / "a.txt"
    with atomic_file(path) as partial:
        partial.write_text("one")
    other_machine()
    with atomic_file(here(path)) as partial:
        partial.write_text("two")
    known = seals(here(path).parent, [here(path)])
    other_machine("machine")  # the first again, as a new process
    assert path.read_text() == "one"
    assert broken(path.parent, known) is None
    assert path.read_text() == "two"


def test_damage_in_the_store_itself_is_found(bucket_url, other_machine):
    path = mirror_of(bucket_url) / "run" / "a.txt"
    with atomic_file(path) as partial:
        partial.write_text("one")
    known = seals(path.parent, [path])
    open_store(bucket_url).write("run/a.txt", b"0ne")
    other_machine()
    assert "other content" in str(broken(here(path).parent, known))
    open_store(bucket_url).remove(["run/a.txt"])
    other_machine("third")
    assert broken(here(path).parent, known) is not None


def write(path: Path, text: str) -> None:
    with replacing(path) as partial:
        partial.write_text(text)


def test_readers_see_the_file_that_the_pointer_names(bucket_url, other_machine, object_store):
    path = mirror_of(bucket_url) / "run" / "manifest.duckdb"
    assert refresh(path) is None
    for text in ("one", "two", "three", "four"):
        write(path, text)
        assert path.read_text() == text
    keys = keys_in(object_store, bucket_url.removeprefix("s3://"))
    assert len([key for key in keys if key.endswith(".duckdb")]) == 2  # the present and the last
    other_machine()
    refresh(here(path))
    assert here(path).read_text() == "four"
    write(here(path), "five")
    other_machine("machine")
    assert path.read_text() == "four"
    refresh(path)
    assert path.read_text() == "five"


def test_the_same_content_is_downloaded_once(bucket_url, other_machine, monkeypatch):
    path = mirror_of(bucket_url) / "run" / "manifest.duckdb"
    write(path, "one")
    other_machine()
    downloads = []
    real = pointer.fetch
    monkeypatch.setattr(pointer, "fetch", lambda copy: downloads.append(copy) or real(copy))
    for _ in range(3):
        refresh(here(path))
    assert len(downloads) == 1


def test_killed_between_upload_and_swap_nothing_has_changed(bucket_url, monkeypatch):
    path = mirror_of(bucket_url) / "run" / "manifest.duckdb"
    write(path, "one")
    real = replace.swap

    def killed(*arguments: object) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(pointer, "Pointer", _dies)
            real(*arguments)

    monkeypatch.setattr(replace, "swap", killed)
    with pytest.raises(Killed):
        write(path, "two")
    monkeypatch.setattr(replace, "swap", real)
    refresh(path)
    assert path.read_text() == "one"
    write(path, "three")
    assert path.read_text() == "three"


def _dies(**values: object) -> None:
    raise Killed


def test_a_writer_that_began_from_an_older_file_is_refused(bucket_url, tmp_path):
    path = mirror_of(bucket_url) / "run" / "manifest.duckdb"
    write(path, "one")
    before = refresh(path)
    write(path, "two")
    (tmp_path / "late").write_text("late")
    with raises_code("pointer_moved"):
        pointer.swap(path, tmp_path / "late", before)
    refresh(path)
    assert path.read_text() == "two"


def test_another_content_under_a_hash_is_refused(bucket_url, other_machine):
    path = mirror_of(bucket_url) / "run" / "manifest.duckdb"
    write(path, "one")
    digest = refresh(path).pointer.sha256
    open_store(bucket_url).write(f"run/manifest/{digest}.duckdb", b"0ne")
    other_machine()
    with raises_code("pointer_damaged"):
        refresh(here(path))
