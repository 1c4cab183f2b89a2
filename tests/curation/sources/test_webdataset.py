"""Members of a tar: none is lost without a word, none is read beyond its limit."""

from __future__ import annotations

import gzip
import io
import json
import resource
import subprocess
import sys
import tarfile
from pathlib import Path

import pyarrow as pa
import pytest

from curation.ingest import IngestConfig, ingest
from curation.sources.suffixes import IMAGE_SUFFIXES, UNDECODED_SUFFIXES
from curation.sources.webdataset import WebDatasetReader, samples
from medsift import records
from medsift.images.blob_store import BlobStore
from medsift.images.decoding import EXTENSIONS
from tests.expect import raises_code

PAIR = json.dumps({"question": "q", "answer": "a"}).encode()


def tar(path, members, mode="w"):
    with tarfile.open(path, mode) as archive:
        for name, data in members:
            if isinstance(data, tarfile.TarInfo):
                data.name = name
                archive.addfile(data)
                continue
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return str(path)


def rows_of(path, folder, **settings):
    reader = WebDatasetReader(name="w", path=str(path), **settings)
    blobs = BlobStore(Path(folder) / "blobs")
    return pa.concat_tables(
        table for shard in reader.shards() for table in reader.read(shard, blobs)
    ).to_pylist()


def shown(row):
    return [Path(ref).read_bytes() for ref in row["images"]]


def test_every_format_that_is_decoded_is_a_picture():
    assert set(IMAGE_SUFFIXES) == set(EXTENSIONS)
    assert not set(UNDECODED_SUFFIXES) & set(EXTENSIONS)


@pytest.mark.parametrize("suffix", [*IMAGE_SUFFIXES, *UNDECODED_SUFFIXES, ".PNG", ".Jfif"])
def test_a_picture_of_any_format_is_never_lost(tmp_path, suffix):
    path = tar(tmp_path / "x.tar", [("1.json", PAIR), (f"1{suffix}", b"p")])
    (row,) = rows_of(path, tmp_path)
    assert shown(row) == [b"p"]


@pytest.mark.parametrize("name", ["9.0.png", "9.image1.png", "9.img_2.png", "9.view.1.png"])
def test_numbered_pictures_are_pictures(tmp_path, name):
    path = tar(tmp_path / "x.tar", [("9.json", PAIR), (name, b"p"), ("9.png", b"q")])
    (row,) = rows_of(path, tmp_path)
    assert shown(row) == [b"p", b"q"]
    assert row["notes"] == []


@pytest.mark.parametrize("name", ["9.mask.png", "9.seg.1.tif", "9.label.jpg", "9.npy", "9.pdf"])
def test_members_that_are_no_picture_of_the_record_are_noted(tmp_path, name):
    path = tar(tmp_path / "x.tar", [("9.json", PAIR), ("9.png", b"p"), (name, b"m")])
    (row,) = rows_of(path, tmp_path)
    assert shown(row) == [b"p"]
    assert row["notes"] == [f"members: .{name.partition('.')[2]} not read"]


def test_pictures_of_names_that_say_nothing_fail_their_record_unless_chosen(tmp_path):
    members = [("9.json", PAIR), ("9.frontal.png", b"p"), ("9.mask.png", b"m")]
    path = tar(tmp_path / "x.tar", [*members, ("10.json", PAIR)])
    assert [row["error"] for row in rows_of(path, tmp_path)] == ["named_pictures", None]
    first, _ = rows_of(path, tmp_path, pictures=["frontal.png"])
    assert (shown(first), first["notes"]) == ([b"p"], ["members: .mask.png not read"])
    first, _ = rows_of(path, tmp_path, pictures=[".MASK.png"])
    assert shown(first) == [b"m"]


def test_a_choice_of_suffixes_leaves_the_others_out(tmp_path):
    members = [("1.json", PAIR), ("1.0.png", b"p"), ("1.jpg", b"j"), ("1.mp4", b"v")]
    path = tar(tmp_path / "x.tar", members)
    (row,) = rows_of(path, tmp_path, pictures=["png"])
    assert shown(row) == [b"p"]
    assert row["notes"] == ["members: .jpg not read", "members: .mp4 not read"]


@pytest.mark.parametrize("suffix", ["mp4", "wav", "nii", "nii.gz"])
def test_films_sounds_and_volumes_fail_their_record(tmp_path, suffix):
    path = tar(tmp_path / "x.tar", [("1.json", PAIR), (f"1.{suffix}", b"v"), ("2.json", PAIR)])
    assert [row["error"] for row in rows_of(path, tmp_path)] == ["media_member", None]


def test_objects_of_any_name_are_read_and_must_agree(tmp_path):
    members = [
        ("1.meta.json", PAIR),
        ("2.meta.json", b'{"modality": "ct", "answer": "a"}'),
        ("2.json", PAIR),
        ("3.json", PAIR),
        ("3.meta.json", b'{"answer": "other"}'),
    ]
    one, two, three = rows_of(tar(tmp_path / "x.tar", members), tmp_path)
    assert [turn["content"] for turn in one["messages"]] == ["q", "a"]
    assert two["modality"] == "ct"
    assert three["error"] == "duplicate_key"


@pytest.mark.parametrize(
    "kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE]
)
def test_members_that_are_no_files_fail_their_record_alone(tmp_path, kind):
    info = tarfile.TarInfo()
    info.type = kind
    info.linkname = "/etc/passwd" if kind in (tarfile.SYMTYPE, tarfile.LNKTYPE) else ""
    path = tar(tmp_path / "x.tar", [("1.json", PAIR), ("1.png", info), ("2.json", PAIR)])
    rows = rows_of(path, tmp_path)
    assert [row["error"] for row in rows] == ["not_a_file", None]
    assert "1.png" in rows[0]["detail"]


def test_records_and_texts_beyond_their_limits_fail_alone(tmp_path):
    members = [
        *[("1.json", PAIR), ("1.png", b"p" * 400), ("1.0.png", b"p" * 400)],
        *[("2.json", PAIR), ("2.png", b"p" * 400)],
        *[("3.json", PAIR + b" " * 300)],
    ]
    path = tar(tmp_path / "x.tar", members)
    rows = rows_of(path, tmp_path, record_bytes=600, text_bytes=200)
    assert [row["error"] for row in rows] == ["member_too_large", None, "member_too_large"]


def test_a_packed_tar_beyond_its_limit_is_refused_in_one_line(tmp_path):
    path = tar(tmp_path / "x.tar.gz", [("1.json", PAIR), ("1.png", b"\0" * 500_000)], "w:gz")
    with raises_code("file_too_large", most=100_000) as caught:
        rows_of(path, tmp_path, file_bytes=100_000)
    assert "\n" not in str(caught.value)
    plain = tar(tmp_path / "x.tar", [("1.json", PAIR), ("1.png", b"\0" * 500_000)])
    assert [row["error"] for row in rows_of(plain, tmp_path, file_bytes=100_000)] == [None]


def test_a_header_that_unpacks_to_a_huge_name_is_refused(tmp_path):
    info = tarfile.TarInfo("././@LongLink")
    info.type, info.size = tarfile.GNUTYPE_LONGNAME, 2 << 20
    data = info.tobuf(tarfile.GNU_FORMAT) + b"x" * info.size
    (tmp_path / "x.tar.gz").write_bytes(gzip.compress(data + b"\0" * 1024))
    with raises_code("file_broken", file="x.tar.gz", format="tar"):
        rows_of(tmp_path / "x.tar.gz", tmp_path)


BOMB = """
import sys
from curation.sources.reader import BlobStore
from curation.sources.webdataset import WebDatasetReader
reader = WebDatasetReader(name="w", path=sys.argv[1])
rows = [row for shard in reader.shards()
        for table in reader.read(shard, BlobStore(sys.argv[2])) for row in table.to_pylist()]
print([row["error"] for row in rows])
"""


def test_a_bomb_costs_its_record_and_little_memory(tmp_path):
    path = tmp_path / "bomb.tar.gz"
    size = 1 << 30
    with gzip.open(path, "wb", compresslevel=1) as packed:
        info = tarfile.TarInfo("1.png")
        info.size = size
        packed.write(info.tobuf())
        for _ in range(size >> 20):
            packed.write(bytes(1 << 20))
        last = tarfile.TarInfo("2.json")
        last.size = len(PAIR)
        packed.write(last.tobuf() + PAIR.ljust(512, b"\0") + bytes(1024))
    limit = lambda: resource.setrlimit(resource.RLIMIT_DATA, (700 << 20, 700 << 20))  # noqa: E731
    said = subprocess.run(
        [sys.executable, "-c", BOMB, str(path), str(tmp_path / "blobs")],
        capture_output=True,
        text=True,
        preexec_fn=limit,
    )
    assert said.stdout.strip() == "['member_too_large', None]", said.stderr


def test_a_reference_of_the_record_is_handed_on_with_the_names_of_its_members(tmp_path):
    members = [("d/1.json", b'{"question":"q","answer":"a"}'), ("d/1.png", b"p")]
    reader = WebDatasetReader(name="w", path=tar(tmp_path / "x.tar", members))
    stream = samples(reader.path, "x.tar", reader._limits(0), None, lambda data: data.decode())
    ((_, sample),) = stream
    assert (sample.members, sample.pictures) == (["d/1.png"], ["p"])


def test_balanced_with_every_fault_at_once(tmp_path):
    link = tarfile.TarInfo()
    link.type, link.linkname = tarfile.SYMTYPE, "x"
    members = [("1.json", PAIR), ("2.png", link), ("3.mp4", b"v"), ("4.txt", b"\xff"), ("5.x", b"")]
    rows = rows_of(tar(tmp_path / "x.tar", members), tmp_path)
    table = pa.Table.from_pylist(rows, schema=records.ROWS)
    result = ingest(table, IngestConfig())
    assert result.samples.num_rows + result.decisions.num_rows == 5
    assert sorted(result.decisions["reason"].to_pylist()) == [
        "empty_answer",
        "media_member",
        "not_a_file",
        "not_utf8",
    ]


@pytest.mark.parametrize("data", [b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0", b"\0" * 128 + b"DICM"])
@pytest.mark.parametrize("suffix", ["img", "bin", "image_bytes"])
def test_a_picture_under_any_suffix_is_never_lost_in_silence(tmp_path, suffix, data):
    path = tar(tmp_path / "x.tar", [("9.json", PAIR), (f"9.{suffix}", data)])
    assert [row["error"] for row in rows_of(path, tmp_path)] == ["named_pictures"]
    (row,) = rows_of(path, tmp_path, pictures=[suffix])
    assert shown(row) == [data]
