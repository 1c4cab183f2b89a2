"""Cells that name pictures: read or refused by what they are, the same in every format."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import pytest

from curation.sources.cell_values import list_value
from curation.sources.conversations import read_conversation
from curation.sources.pictures import looks_like_picture, pictures_of, store_image
from curation.sources.row_faults import RowFault
from medsift.images.blob_store import BlobStore
from tests.curation.sources.every_format import FORMATS, read


def png(level=7):
    from PIL import Image

    stream = io.BytesIO()
    Image.new("L", (8, 8), level).save(stream, "PNG")
    return stream.getvalue()


PNG = png()
CODE = base64.b64encode(PNG).decode()
SHAPES = {
    "bare base64": CODE,
    "base64 in lines": "\n".join(CODE[at : at + 40] for at in range(0, len(CODE), 40)),
    "URL-safe base64": base64.urlsafe_b64encode(PNG).decode().rstrip("="),
    "data URL": f"data:image/png;base64,{CODE}",
    "data URL without its scheme": f"image/png;base64,{CODE}",
    "numbers": list(PNG),
    "object of base64": {"bytes": CODE, "path": None},
    "object of numbers": {"bytes": list(PNG), "path": "x.png"},
    "object with a data URL": {"url": f"data:image/png;base64,{CODE}"},
    "list": [CODE],
}


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("shape", SHAPES)
def test_a_picture_inside_a_cell_is_stored(shape, kind, tmp_path):
    (row,) = read(tmp_path, kind, [{"question": "q", "answer": "a", "image": SHAPES[shape]}])
    assert row["error"] is None, row["detail"]
    assert [Path(ref).read_bytes() for ref in row["images"]] == [PNG]


PATHS = {
    "list": ["a.png", "b/c.png"],
    "json": '["a.png", "b/c.png"]',
    "printed": "['a.png', 'b/c.png']",
    "printed tuple": "('a.png', 'b/c.png')",
    "printed by numpy": "['a.png' 'b/c.png']",
    "objects": [{"path": "a.png"}, {"path": "b/c.png"}],
    "object of lists": {"path": ["a.png", "b/c.png"], "bytes": [None, None]},
    "with blanks": ["a.png", "", None, "b/c.png"],
}


@pytest.mark.parametrize("kind", [kind for kind in FORMATS if kind != "tar"])
@pytest.mark.parametrize("shape", PATHS)
def test_several_paths_in_a_cell_are_as_many_pictures(shape, kind, tmp_path):
    items = [{"question": "q", "answer": "a", "images": PATHS[shape]}]
    (row,) = read(tmp_path, kind, items, image_root=str(tmp_path))
    root = tmp_path.resolve()
    assert row["images"] == [str(root / "a.png"), str(root / "b/c.png")]


REFUSED = {
    "number": 5,
    "fraction": 2.5,
    "boolean": True,
    "numbers that are no bytes": [1, 2, 300],
    "pixels": [[[0, 0, 0], [9, 9, 9]]],
    "object of nothing known": {"width": 5},
    "long base64 of nothing": base64.b64encode(b"no picture " * 900).decode(),
    "broken data URL": "data:image/png;base64,@@@@",
    "printed bytes": "b'\\x89PNG'",
    "printed object with bytes": "{'bytes': b'\\x89PNG', 'path': None}",
}


@pytest.mark.parametrize("kind", ["jsonl", "json", "parquet", "hf", "tar"])
@pytest.mark.parametrize("shape", REFUSED)
def test_what_is_no_picture_fails_its_row_by_what_it_is(shape, kind, tmp_path):
    good = {"question": "q", "answer": "a", "image": None}
    rows = read(tmp_path, kind, [good | {"image": REFUSED[shape]}, good])
    assert [row["error"] for row in rows] == ["malformed_image", None]
    assert len(rows[0]["detail"]) < 400


@pytest.mark.parametrize("kind", [kind for kind in FORMATS if kind != "tar"])
def test_image_and_images_agree_or_the_row_fails(kind, tmp_path):
    base = {"question": "q", "answer": "a"}
    items = [
        base | {"images": [], "image": "a.png"},
        base | {"images": ["a.png", "b.png"], "image": "a.png"},
        base | {"images": ["a.png"], "image": "b.png"},
        base | {"images": ["b.png"], "image": None},
    ]
    rows = read(tmp_path, kind, items, image_root=str(tmp_path))
    names = [[Path(ref).name for ref in row["images"] or []] for row in rows]
    assert names == [["a.png"], ["a.png", "b.png"], [], ["b.png"]]
    assert [row["error"] for row in rows] == [None, None, "malformed_image", None]


@pytest.mark.parametrize(
    "part",
    [
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": CODE}},
        {"type": "image", "source": {"type": "url", "url": f"data:image/png;base64,{CODE}"}},
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{CODE}"}},
        {"type": "image_url", "image_url": f"data:image/png;base64,{CODE}"},
        {"type": "input_image", "image_url": f"data:image/png;base64,{CODE}", "detail": "low"},
        {"type": "image", "image": CODE, "min_pixels": 4, "max_pixels": 99},
        {"type": "image", "base64": CODE},
        {"inline_data": {"mime_type": "image/png", "data": CODE}},
    ],
)
def test_pictures_inside_a_conversation_are_read_in_every_part(part, tmp_path):
    chat = [
        {"role": "user", "content": [part, {"type": "text", "text": "q"}]},
        {"role": "assistant", "content": "a"},
    ]
    (row,) = read(tmp_path, "jsonl", [{"messages": chat}])
    assert row["error"] is None, row["detail"]
    assert [Path(ref).read_bytes() for ref in row["images"]] == [PNG]
    assert row["messages"][0]["content"] == "<image>\nq"


def test_a_picture_part_that_names_its_picture_in_an_unknown_way_fails(tmp_path):
    part = {"type": "image", "file_id": "file-123"}
    with pytest.raises(RowFault) as caught:
        read_conversation([{"role": "user", "content": [part]}])
    assert caught.value.reason == "malformed_image"
    assert read_conversation([{"role": "user", "content": [{"type": "image"}]}]).pictures == []


def test_messages_show_little_of_a_long_value(tmp_path):
    blobs = BlobStore(tmp_path)
    for value in ("../" + "x" * 9000 + ".png", "A" * 30_000, ["x"] * 5000, {"k": "v" * 9000}):
        with pytest.raises(RowFault) as caught:
            store_image(value, str(tmp_path), blobs)
        assert len(str(caught.value)) < 400


@pytest.mark.parametrize(
    ("value", "looks"),
    [
        ("a/b.png", True),
        ("http://host/a.jpg?x=1", True),
        (CODE, True),
        (PNG, True),
        ({"bytes": PNG, "path": None}, True),
        (["a.dcm"], True),
        (f"data:image/png;base64,{CODE}", True),
        ("case 7", False),
        ("png", False),
        (5, False),
        (b"text", False),
        (None, False),
    ],
)
def test_a_column_of_pictures_is_known_by_its_values(value, looks):
    assert looks_like_picture(value) == looks


@pytest.mark.parametrize("text", ["[a].png", "(1).png", "{x}.jpg", "['a'", "[1) x", "['a' + 'b']"])
def test_a_path_with_brackets_is_a_path(text):
    assert list_value(text) == text
    assert pictures_of(text) == [text]
