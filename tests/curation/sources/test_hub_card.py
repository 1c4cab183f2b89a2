"""A data set's card names files of its own repository, or nothing is opened at all."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from curation.sources.hf import HfReader
from medsift.images.blob_store import BlobStore
from tests.expect import raises_code

LINE = b'{"question": "q", "answer": "a"}\n'


@pytest.fixture
def server() -> Iterator[tuple[str, list[str]]]:
    """A server on this machine, and the paths that it was asked for."""
    asked: list[str] = []

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(200)
            self.send_header("Content-Length", str(len(LINE)))
            self.end_headers()
            self.wfile.write(b"" if self.command == "HEAD" else LINE)

        do_HEAD = do_GET

        def log_message(self, *_: object) -> None:
            return

    with HTTPServer(("127.0.0.1", 0), Answer) as made:
        threading.Thread(target=made.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{made.server_port}/rows.jsonl", asked
        made.shutdown()


def rows(folder: Path, blobs: Path) -> int:
    """Read a copy of a repository, and count its rows."""
    reader = HfReader(name="copy", path=str(folder))
    shards = reader.shards()
    return sum(table.num_rows for one in shards for table in reader.read(one, BlobStore(blobs)))


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    (tmp_path / "copy").mkdir()
    (tmp_path / "outside.jsonl").write_bytes(LINE.replace(b'"q"', b'"secret"'))
    (tmp_path / "copy" / "rows.jsonl").write_bytes(LINE)
    return tmp_path / "copy"


HEADS = {
    "file": "configs:\n- config_name: default\n  data_files: {place!r}\n",
    "split": (
        "configs:\n- config_name: default\n  data_files:\n  - split: train\n    path: [{place!r}]\n"
    ),
    "folder": "configs:\n- config_name: default\n  data_dir: {place!r}\n",
}


@pytest.mark.parametrize("card", ["README.md", ".huggingface.yaml"])
@pytest.mark.parametrize("head", HEADS.values(), ids=HEADS)
@pytest.mark.parametrize(
    "place",
    [
        *("{url}", "zip://a::{url}", "s3://bucket/a.jsonl", "file:///etc/passwd"),
        *("{outside}", "../outside.jsonl", "a/../../outside.jsonl", "..\\\\outside.jsonl"),
    ],
)
def test_a_card_that_leads_elsewhere_is_refused_before_anything_is_asked(
    card, head, place, copy, server, tmp_path
):
    url, asked = server
    text = head.format(place=place.format(url=url, outside=tmp_path / "outside.jsonl"))
    (copy / card).write_text(f"---\n{text}---\n" if card.endswith(".md") else text)
    with raises_code("dataset_unloadable") as caught:
        rows(copy, tmp_path / "blobs")
    assert "\n" not in str(caught.value)
    assert asked == []


def test_a_card_that_names_its_own_files_is_followed(copy, tmp_path):
    (copy / "README.md").write_text("---\n" + HEADS["split"].format(place="*.jsonl") + "---\n# x")
    assert rows(copy, tmp_path / "blobs") == 1


@pytest.mark.parametrize("head", ["a: &a [*a]", "configs: 3", "configs: [{data_files: 4}]"])
def test_a_card_without_sense_is_one_line(head, copy, tmp_path):
    (copy / "README.md").write_text(f"---\n{head}\n---\n")
    with raises_code("dataset_unloadable") as caught:
        rows(copy, tmp_path / "blobs")
    assert "\n" not in str(caught.value)
