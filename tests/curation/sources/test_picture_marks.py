"""Marks of pictures, films and sounds: one mark, or a row that fails; never text left over."""

from __future__ import annotations

import pytest

from curation.sources.picture_marks import MARK_UNREAD, Marks
from curation.sources.row_faults import MALFORMED_CHAT, RowFault
from medsift.vocabulary import IMAGE_MARK
from tests.curation.sources.every_format import FORMATS, asked, read


def settled(*texts):
    marks = Marks()
    return [marks.read(text, "question") for text in texts], marks


@pytest.mark.parametrize(
    "mark",
    [
        *("<image>", "<IMAGE>", "<Image>", "<|image|>", "<ImageHere>", "<Img><ImageHere></Img>"),
        *("<|vision_start|><|image_pad|><|vision_end|>", "<|image_pad|>", "<|image_pad|>" * 5),
        *("<img_placeholder>", "<image-placeholder>", "<image_placeholder>", "[IMG]", "[IMAGE]"),
        *("<image_1>", "<image 1>", "<image1>", "<|image_1|>", "<image_token>", "<__media__>"),
        *("<img><IMG_CONTEXT><IMG_CONTEXT></img>", "<IMG_CONTEXT>", "<start_of_image>"),
        "<|vision_start|> <|image_pad|><|image_pad|> <|vision_end|>",
    ],
)
def test_every_known_mark_is_the_one_mark(mark):
    (text,), marks = settled(f"{mark}\nWhat is it?")
    assert text == f"{IMAGE_MARK}\nWhat is it?"
    assert (marks.seen, marks.paths) == (1, [])


@pytest.mark.parametrize("kind", FORMATS)
def test_a_path_inside_the_mark_is_the_picture(kind, tmp_path):
    question = "Picture 1: <img>a/one.png</img>\nPicture 2: <img>two b.png</img>\nCompare"
    settings = {} if kind == "tar" else {"image_root": str(tmp_path / "img")}
    items = [{"question": question, "answer": "worse"}]
    (row,) = read(tmp_path, kind, items, **settings)
    if kind == "tar":  # a tar's rows have no folder of pictures next to them
        assert row["error"] == "reference_escapes"
        return
    root = tmp_path.resolve() / "img"
    assert row["images"] == [str(root / "a/one.png"), str(root / "two b.png")]
    assert asked(row) == f"{IMAGE_MARK}\n{IMAGE_MARK}\nCompare"


def test_numbered_marks_stand_in_order_and_later_ones_are_mentions():
    texts, marks = settled("<image_1> and <image_2>: is <image 2> worse?", "see <image1>")
    assert texts == [f"{IMAGE_MARK} and {IMAGE_MARK}: is image 2 worse?", "see image 1"]
    assert marks.seen == 2


@pytest.mark.parametrize(
    "text",
    [
        *("<image_2> then <image_1>", "<img src='a.png'> q", "<img>", "</img> q", "<image_patch>"),
        *("<|vision_start|> q", "<|image_start|>", "<|vision_pad|>", "<image>a.png</image>"),
    ],
)
def test_a_mark_that_is_not_read_fails_the_row(text):
    with pytest.raises(RowFault) as caught:
        settled(text)
    assert caught.value.reason == MARK_UNREAD


@pytest.mark.parametrize(
    "text", ["what <b>bold</b>", "a <5 mm nodule", "x < image size", "<imaging>", "[img] in prose"]
)
def test_what_is_no_mark_stays(text):
    assert settled(text)[0] == [text]


@pytest.mark.parametrize(
    "text",
    [
        *("<video>\nWhat happens?", "What happens? <audio>", "a\n<video>\nb", "<VIDEO> q"),
        *("is <|video_pad|> it", "<|vision_start|><|video_pad|><|vision_end|>q", "x <|audio_1|> y"),
    ],
)
@pytest.mark.parametrize("kind", ["jsonl", "csv", "parquet"])
def test_marks_of_films_and_sounds_fail_the_row(text, kind, tmp_path):
    good = {"question": "What?", "answer": "x"}
    rows = read(tmp_path, kind, [good | {"question": text}, good])
    assert [row["error"] for row in rows] == [MALFORMED_CHAT, None]


def test_a_sentence_about_a_film_tag_is_text_with_a_note():
    (text,), marks = settled("What does the <video> tag of a page do?")
    assert text == "What does the <video> tag of a page do?"
    assert len(marks.notes) == 1


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("column", ["videos", "audios", "video", "Audio"])
def test_a_column_of_films_or_sounds_fails_its_rows(column, kind, tmp_path):
    good = {"question": "What?", "answer": "x", column: None}
    films = ["a.mp4"] if column.endswith("s") else "a.mp4"
    rows = read(tmp_path, kind, [good | {column: films}, good])
    assert [row["error"] for row in rows] == [MALFORMED_CHAT, None]
    taken = read(
        tmp_path / "taken", kind, [good | {column: films}], columns={column.lower(): "'x'"}
    )
    assert [row["error"] for row in taken] == [None]
