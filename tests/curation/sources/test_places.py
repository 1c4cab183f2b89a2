"""What may stand at a source's place: files alone, links that stay at home, no secrets."""

from __future__ import annotations

import json
import logging
import os
from datetime import timedelta
from pathlib import Path

import pyarrow as pa
import pytest

from curation.recipe import parse_recipe
from curation.sources.image_folder import ImageFolderReader
from curation.sources.table import TableReader
from curation.sources.webdataset import WebDatasetReader
from medsift.images.blob_store import BlobStore
from medsift.images.references import resolve
from medsift.storage.locations import filesystem, without_secrets
from tests.expect import raises_code

LINE = json.dumps({"question": "q", "answer": "a"}).encode()


def shards_of(path, reader=TableReader):
    return reader(name="s", path=str(path)).shards()


def odd(folder: Path, kind: str, suffix: str = ".jsonl") -> Path:
    path = folder / f"odd{suffix}"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    else:
        path.symlink_to(folder / "gone")
    return path


@pytest.mark.parametrize("kind", ["pipe", "device", "symbolic link to nothing"])
@pytest.mark.parametrize("way", ["named", "glob", "folder"])
@pytest.mark.parametrize(
    ("reader", "suffix"),
    [(TableReader, ".jsonl"), (WebDatasetReader, ".tar"), (ImageFolderReader, ".png")],
)
def test_what_is_no_file_is_refused_in_one_line(tmp_path, kind, way, reader, suffix):
    (tmp_path / "good.jsonl").write_bytes(LINE)
    path = odd(tmp_path, kind, suffix)
    place = {"named": path, "glob": tmp_path / f"*{suffix}", "folder": tmp_path}[way]
    with raises_code("file_unreadable", path=str(path)) as caught:
        shards_of(place, reader)
    assert kind in caught.value.values["kind"]
    assert "\n" not in str(caught.value)


def test_empty_files_are_refused_by_name_and_noted_in_a_folder(tmp_path, caplog):
    (tmp_path / "good.jsonl").write_bytes(LINE)
    (tmp_path / "cut.jsonl").write_bytes(b"")
    for place in (tmp_path / "cut.jsonl", tmp_path / "*.jsonl"):
        with raises_code("file_empty", file="cut.jsonl"):
            shards_of(place)
    with caplog.at_level(logging.WARNING):
        assert len(shards_of(tmp_path)) == 1
    assert any("cut.jsonl" in note for note in caplog.messages)


def cached(folder: Path) -> Path:
    """The hub's cache: a revision of links into the blobs of its repository."""
    revision = folder / "hub" / "datasets--a--b" / "snapshots" / "0123abc"
    blobs = revision.parent.parent / "blobs"
    (revision / "images").mkdir(parents=True)
    blobs.mkdir()
    for name in ("0", "1"):
        (blobs / f"hash{name}").write_bytes(name.encode())
        (revision / "images" / f"{name}.png").symlink_to(f"../../../blobs/hash{name}")
    lines = [{"question": "q", "answer": "a", "image": f"images/{at}.png"} for at in (0, 1)]
    (blobs / "rows").write_text("\n".join(map(json.dumps, lines)))
    (revision / "train.jsonl").symlink_to("../../blobs/rows")
    return revision


def test_pictures_of_the_hub_s_cache_are_read(tmp_path):
    reader = TableReader(name="s", path=str(cached(tmp_path)))
    rows = pa.concat_tables(
        table for shard in reader.shards() for table in reader.read(shard, BlobStore(tmp_path))
    ).to_pylist()
    assert [Path(row["images"][0]).read_bytes() for row in rows] == [b"0", b"1"]


def test_links_of_the_hub_s_cache_lead_nowhere_else(tmp_path):
    revision = cached(tmp_path)
    other = cached(tmp_path / "other").parent.parent / "blobs" / "hash0"
    (tmp_path / "secret").write_bytes(b"x")
    for at, target in enumerate([other, tmp_path / "secret", "/etc/hostname"]):
        (revision / f"link{at}.png").symlink_to(target)
        link_target = str(Path(target).resolve())
        with raises_code("image_reference_invalid", link_target=link_target):
            resolve(f"link{at}.png", str(revision))
    # A reference that is no link below the root does not reach the blobs.
    with raises_code("image_reference_invalid", image_root=str(revision), link_target=None):
        resolve("../../blobs/hash0", str(revision))
    assert resolve("0.png", str(revision / "images")).endswith("blobs/hash0")


SECRET = "s3://AKIAKEY:se/cr+et@bucket/rows.jsonl"


@pytest.mark.parametrize("key", ["path", "image_root"])
def test_credentials_in_a_recipe_are_refused_and_never_repeated(key):
    source = {"name": "s", "reader": "table", "path": "x.jsonl", key: SECRET}
    text = json.dumps({"name": "r", "sources": [source], "encoder": {"kind": "embedded"}})
    with raises_code("recipe_invalid", paths=[f"sources.0.{key}"]) as caught:
        parse_recipe(text)
    message = str(caught.value)
    assert "credentials" in message
    assert not any(part in message for part in ("se/cr", "AKIA", "\n"))


def test_credentials_are_hidden_wherever_a_url_is_opened():
    with raises_code("credentials_in_recipe", location="s3://***@bucket/rows.jsonl") as caught:
        filesystem(SECRET)
    assert "se/cr" not in str(caught.value)
    assert without_secrets(f"cannot read '{SECRET}'") == "cannot read 's3://***@bucket/rows.jsonl'"
    for plain in ("s3://bucket/a:b.png", "gs://anonymous@bucket/x", "abfs://c@account.dfs/x"):
        assert without_secrets(plain) == plain


@pytest.mark.parametrize(("query", "seconds"), [("", 20), ("?retry_limit_seconds=3", 3)])
def test_a_google_store_that_does_not_answer_is_given_up(monkeypatch, query, seconds):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    store, path = filesystem(f"gs://bucket-of-this-test/x{query}")
    assert path == "bucket-of-this-test/x"
    assert store.__reduce__()[1][0]["retry_time_limit"] == timedelta(seconds=seconds)
