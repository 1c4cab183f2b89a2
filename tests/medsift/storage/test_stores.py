"""A folder and an object store keep the same promises; what is refused is one line."""

from __future__ import annotations

import threading
import time
from collections import Counter
from pathlib import Path

import pytest

from medsift.storage.open_store import open_store
from medsift.storage.store import Store, Version
from tests.expect import raises_code
from tests.stores import proxy


@pytest.fixture(params=["folder", "bucket"])
def store(request, tmp_path) -> Store:
    if request.param == "folder":
        return open_store(tmp_path / "store")
    return open_store(request.getfixturevalue("bucket_url") + "/below")


def test_what_is_written_is_read_and_what_is_removed_is_gone(store, tmp_path):
    assert store.read("a/b.bin") is None
    assert store.size("a/b.bin") is None
    assert store.age("a/b.bin") is None
    assert not store.download("a/b.bin", tmp_path / "copy")
    data = bytes(range(256)) * 60_000  # 15 MB: several parts of one upload
    (tmp_path / "file").write_bytes(data)
    store.write("a/b.bin", tmp_path / "file")
    store.write("a/c.bin", b"small")
    assert store.size("a/b.bin") == len(data)
    assert store.download("a/b.bin", tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == data
    assert store.read("a/c.bin").data == b"small"
    assert 0.0 <= store.age("a/c.bin") < 60.0
    store.remove(["a/b.bin", "a/none.bin"])
    assert store.read("a/b.bin") is None
    assert store.read("a/c.bin").data == b"small"


def test_keys_are_listed_by_folder(store):
    for key in ("runs/a/1", "runs/a/b/2", "runs/ab/3", "other"):
        store.write(key, b"x")
    assert store.keys("runs/a") == ["runs/a/1", "runs/a/b/2"]
    assert store.keys("none") == []


def test_only_one_creates_and_only_the_present_version_is_swapped(store):
    assert store.create("pointer", b"first")
    assert not store.create("pointer", b"second")
    first = store.read("pointer")
    assert store.swap("pointer", b"third", first.version)
    assert not store.swap("pointer", b"fourth", first.version)
    assert store.read("pointer").data == b"third"
    assert not store.swap("missing", b"x", Version('"0"', None))
    assert store.read("missing") is None


def test_every_one_of_many_swaps_counts(store):
    """Compare-and-swap as a counter: no increment of any thread is lost."""
    store.write("count", b"0 start")

    def count(name: int) -> None:
        done = 0
        while done < 5:
            present = store.read("count")
            number = int(present.data.split()[0]) + 1
            done += store.swap("count", f"{number} {name}.{done}".encode(), present.version)

    threads = [threading.Thread(target=count, args=(name,)) for name in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert store.read("count").data.startswith(b"15 ")


def test_a_server_that_fails_now_and_then_is_asked_again(object_store, bucket_url, monkeypatch):
    seen: Counter[int] = Counter()

    def every_other(method: str, path: str, number: int) -> int | None:
        seen[number % 2] += 1
        return 503 if number % 2 else None

    with proxy(object_store, every_other) as address:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{address}")
        store = open_store(bucket_url)
        store.write("a", b"1")
        assert store.read("a").data == b"1"
        assert store.size("a") == 1
        assert store.create("b", b"2")
    assert seen[0] >= 4
    assert seen[1] >= 4


def test_a_lost_answer_to_a_conditional_write_is_no_second_writer(
    object_store, bucket_url, monkeypatch
):
    """The server creates and swaps, but says 503: the client asks again and meets its own work."""
    lost = {"PUT": 0}

    def lose_first(method: str, path: str, number: int) -> int | None:
        if method == "PUT":
            lost["PUT"] += 1
            return -1 if lost["PUT"] % 2 else None
        return None

    with proxy(object_store, lose_first) as address:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{address}")
        store = open_store(bucket_url)
        assert store.create("pointer", b"mine")
        assert store.swap("pointer", b"mine too", store.read("pointer").version)
        assert store.read("pointer").data == b"mine too"
    assert lost["PUT"] >= 4


@pytest.mark.parametrize("method", ["GET", "PUT", "HEAD"])
def test_a_refusal_is_one_line_at_once(object_store, bucket_url, monkeypatch, method):
    asked = []

    def refuse(verb: str, path: str, number: int) -> int | None:
        asked.append(verb)
        return 403

    calls = {
        "GET": lambda store: store.read("a"),
        "PUT": lambda store: store.write("a", b"1"),
        "HEAD": lambda store: store.size("a"),
    }
    with proxy(object_store, refuse) as address:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{address}")
        began = time.monotonic()
        with raises_code("store_refused", location=f"{bucket_url}/a") as caught:
            calls[method](open_store(bucket_url))
    assert time.monotonic() - began < 10
    assert asked == [method]
    assert "\n" not in str(caught.value)


def test_without_credentials_nothing_is_asked(object_store, bucket_url, monkeypatch, tmp_path):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with proxy(object_store, lambda *_: None) as address:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{address}")
        with raises_code("store_refused", location=bucket_url):
            open_store(bucket_url)


def test_a_profile_gives_the_credentials(object_store, bucket_url, monkeypatch, tmp_path):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    profile = "[ours]\naws_access_key_id = theKey\naws_secret_access_key = theSecret\n"
    (tmp_path / "credentials").write_text(profile)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_PROFILE", "ours")
    signed = []
    with proxy(object_store, lambda *_: None) as address:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{address}")
        store = open_store(bucket_url)
        store.write("a", b"1")
        signed.append(store.read("a").data)
    assert signed == [b"1"]
    assert "theSecret" not in repr(store)


@pytest.mark.parametrize(
    "url",
    [
        "s3://key:secret@bucket/runs",
        "s3://bucket/runs?session_token=secret",
        "az://container/runs?region=x&client_secret=secret",
        "hdfs://host/runs",
        "ftp://h/x",
    ],
)
def test_urls_with_credentials_or_without_swaps_are_refused(url):
    code = "credentials_in_recipe" if url.count("secret") else "location_unsupported"
    with raises_code(code) as caught:
        open_store(url)
    assert "secret" not in str(caught.value).replace("client_secret=***", "")


def test_a_folder_that_cannot_be_written_to_is_refused_by_name(tmp_path: Path):
    (tmp_path / "file").write_bytes(b"")
    with raises_code("disk_refused"):
        open_store(tmp_path / "file").write("a/b", b"1")
