from __future__ import annotations

import pyarrow as pa
import pytest
from pyarrow import fs

from curation.sources.table import TableReader
from medsift.errors import StorageError
from medsift.images.blob_store import BlobStore
from medsift.images.references import read_bytes, resolve, stat
from tests.expect import raises_code


@pytest.fixture
def root(tmp_path):
    (tmp_path / "root" / "sub").mkdir(parents=True)
    (tmp_path / "root" / "sub" / "a.png").write_bytes(b"abc")
    (tmp_path / "root2").mkdir()
    (tmp_path / "root2" / "s.png").write_bytes(b"secret")
    return tmp_path.resolve() / "root"


def test_references_inside_the_root_resolve_to_one_path(root):
    wanted = str(root / "sub" / "a.png")
    for ref in ("sub/a.png", "./sub/../sub/a.png", wanted, (root / "sub/a.png").as_uri()):
        assert resolve(ref, str(root)) == wanted
    assert resolve("sub/a.png", root.as_uri()) == wanted
    assert read_bytes(wanted) == b"abc"


@pytest.mark.parametrize(
    "ref", ["../root2/s.png", "/etc/passwd", "sub/../../root2/s.png", "file:///etc/passwd", "a\0b"]
)
def test_references_that_escape_are_refused(root, ref):
    with raises_code("image_reference_invalid"):
        resolve(ref, str(root))


def test_links_count_by_where_they_lead(root):
    (root / "out.png").symlink_to(root.parent / "root2" / "s.png")
    (root / "in.png").symlink_to(root / "sub" / "a.png")
    link_target = str(root.parent / "root2" / "s.png")
    with raises_code("image_reference_invalid", image_root=str(root), link_target=link_target):
        resolve("out.png", str(root))
    assert resolve("in.png", str(root)) == str(root / "sub" / "a.png")


@pytest.mark.parametrize(
    ("ref", "image_root"),
    [
        ("http://host/a.png", None),
        ("s3://bucket/a.png?endpoint_override=evil", None),
        ("s3://bucket/../b/a.png", None),
        ("s3://bucket/a.png", None),
        ("gs://bucket/a.png", None),
        ("hdfs://host/a.png", "/data"),
        ("file://[x", "/data"),
        ("file://[x", None),
        ("s3://[x", "s3://bucket/images"),
        ("\ud800.png", "/data"),
        ("s3://bucket/a.png", "/data"),
        ("../a.png", "s3://bucket/images"),
        ("/a.png", "s3://bucket/images"),
        ("s3://other/a.png", "s3://bucket/images"),
        ("s3://bucket/images2/a.png", "s3://bucket/images"),
        ("a.png?endpoint_override=evil", "s3://bucket/images"),
        ("a.png", None),
    ],
)
def test_urls_outside_the_root_are_refused(ref, image_root):
    with raises_code("image_reference_invalid"):
        resolve(ref, image_root)


def test_urls_inside_the_root_keep_its_endpoint():
    base = "s3://bucket/images?endpoint_override=localhost%3A1"
    wanted = "s3://bucket/images/a/b.png?endpoint_override=localhost%3A1"
    assert resolve("a/b.png", base) == wanted
    assert resolve("s3://bucket/images/a/b.png", base) == wanted


def test_what_is_missing_is_told_apart(root):
    for ref in ("nothing.png", "sub", "sub/a.png/deeper", "x" * 300):
        with pytest.raises((FileNotFoundError, StorageError)):
            read_bytes(str(root / ref))
    found = stat([str(root / "sub" / "a.png"), str(root / "nothing.png")])
    assert [size for _, size, _ in found] == [3, -1]


def test_blobs_are_stored_once(tmp_path):
    blobs = BlobStore(tmp_path / "blobs")
    assert blobs.put(b"x") == blobs.put(b"x") != blobs.put(b"y")
    assert len([path for path in (tmp_path / "blobs").rglob("*") if path.is_file()]) == 2


@pytest.fixture(scope="module")
def bucket(object_store):
    store = fs.S3FileSystem(
        endpoint_override=object_store,
        scheme="http",
        region="us-east-1",
        allow_bucket_creation=True,
    )
    store.create_dir("medical")
    lines = b"".join(
        b'{"question":"q","answer":"a","image":"%s"}\n' % name
        for name in (b"one.png", b"../x.png", b"gone.png")
    )
    for path, data in {"data/t.jsonl": lines, "img/one.png": b"png"}.items():
        with store.open_output_stream(f"medical/{path}") as stream:
            stream.write(data)
    return object_store


def rows_of(reader, folder):
    blobs = BlobStore(folder / "blobs")
    tables = [table for shard in reader.shards() for table in reader.read(shard, blobs)]
    return pa.concat_tables(tables).to_pylist()


@pytest.mark.parametrize("path", ["data", "data/t.jsonl", "data/*.jsonl"])
def test_tables_and_pictures_are_read_from_an_object_store(bucket, tmp_path, path):
    query = f"?endpoint_override={bucket}&scheme=http&region=us-east-1"
    reader = TableReader(
        name="s",
        path=f"s3://medical/{path}{query}",
        image_root=f"s3://medical/img{query}",
        shard_bytes=60,
    )
    rows = rows_of(reader, tmp_path)
    assert [(row["row_id"], row["error"]) for row in rows] == [
        ("s:t.jsonl:0", None),
        ("s:t.jsonl:1", "reference_escapes"),
        ("s:t.jsonl:2", None),
    ]
    assert read_bytes(rows[0]["images"][0]) == b"png"
    with pytest.raises(FileNotFoundError):
        read_bytes(rows[2]["images"][0])
    sizes = [size for _, size, _ in stat([rows[0]["images"][0], rows[2]["images"][0]])]
    assert sizes == [3, -1]
    assert reader.fingerprint() == reader.fingerprint()


def test_the_environment_can_name_the_endpoint(bucket, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{bucket}")
    assert read_bytes("s3://medical/img/one.png") == b"png"
    with raises_code("source_empty", path="s3://medical/nowhere"):
        TableReader(name="s", path="s3://medical/nowhere").shards()
