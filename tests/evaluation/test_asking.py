"""What is asked once, what is kept, and what a killed evaluation asks again."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa
import pytest
from PIL import Image

from evaluation.generators import GeneratorConfig, Reply
from evaluation.inference import AskModel, RequestBuilder, collect_replies
from evaluation.perturb.apply import find_variants, vary
from evaluation.prompts import PromptConfig
from evaluation.records import ITEMS
from medsift.execution import LocalExecutor
from tests.expect import raises_code

heard: list[str] = []
"""What the models of these tests were asked, in order."""


class Echo(GeneratorConfig):
    """Says what it was asked, with the size of the pictures; fails where the words say so."""

    stop_after: int | None = None

    def fingerprint(self) -> str:
        return f"echo-{type(self).__name__}"

    def build(self, items: pa.Table) -> Echo:
        return self

    def generate(self, requests: Any) -> list[Reply]:
        return [self._reply(request) for request in requests]

    def _reply(self, request: Any) -> Reply:
        if self.stop_after is not None and len(heard) >= self.stop_after:
            raise KeyboardInterrupt
        heard.append(request.turns[-1][1])
        if "broken" in request.turns[-1][1]:
            return Reply(None, error="no answer")
        sizes = [picture.getpixel((0, 0)) for picture in request.pictures]
        return Reply(f"{request.turns[-1][1]} {sizes}", tokens=3)


class Blind(Echo):
    """The same without eyes."""

    looks: ClassVar[bool] = False


class Fleeting(Blind):
    """Replies by item; nothing is kept."""

    lasting: ClassVar[bool] = False


@pytest.fixture(autouse=True)
def _silence() -> None:
    heard.clear()


@pytest.fixture
def items(tmp_path: Path) -> list[dict[str, Any]]:
    rows = []
    for number in range(4):
        path = tmp_path / f"{number // 2}.png"
        Image.new("L", (8, 8), 40 + number // 2).save(path)
        rows.append(
            dict.fromkeys(ITEMS.names)
            | {
                "benchmark": "set",
                "item_id": str(number),
                "question": f"Question {number % 2}?",
                "gold": "yes",
                "answer_type": "closed",
                "options": [],
                "images": [str(path)],
                "image_id": str(number // 2),
                "language": "en",
            }
        )
    return rows


@pytest.fixture
def collect(tmp_path: Path):
    def collected(config: GeneratorConfig, rows: list[dict[str, Any]], batch: int = 2) -> pa.Table:
        builder = RequestBuilder(PromptConfig(), 0, {"set": "content"})
        asked = [builder.build({"variant": "original", **row}, config) for row in rows]
        table = pa.Table.from_pylist(rows, schema=ITEMS)
        replies = collect_replies(
            asked,
            config,
            partial(AskModel, config, table, 0, tmp_path / "cache", config.fingerprint()),
            LocalExecutor(),
            folder=tmp_path / "run" / config.name,
            cache=tmp_path / "cache",
            fingerprint=config.fingerprint(),
            batch=batch,
            begin=lambda total: None,
            advance=lambda rows: None,
        )
        by_id = {line["request_id"]: line for line in replies.to_pylist()}
        return [by_id[one.request_id] for one in asked]

    return collected


def echo(kind: type[Echo], **settings: Any) -> Echo:
    return kind(**{"label": "echo", **settings})


def test_the_same_question_about_two_pictures_is_two_requests(items, collect):
    said = [line["reply"] for line in collect(echo(Echo), items)]
    assert len(heard) == 4
    assert said[0].endswith("[40]")
    assert said[2].endswith("[41]")


def test_who_does_not_look_is_asked_each_question_once(items, collect):
    said = [line["reply"] for line in collect(echo(Blind), items)]
    assert len(heard) == 2
    assert said[0] == said[2] != said[1]


def test_a_second_evaluation_asks_nothing(items, collect):
    first = collect(echo(Echo), items)
    heard.clear()
    assert collect(echo(Echo), items, batch=3) == first
    assert heard == []


def test_a_new_item_is_all_that_is_asked(items, collect):
    collect(echo(Echo), items[:3])
    heard.clear()
    collect(echo(Echo), items)
    assert len(heard) == 1


def test_a_killed_evaluation_goes_on_with_what_has_no_reply_yet(items, collect):
    uninterrupted = collect(echo(Echo, label="other"), items)
    with pytest.raises(KeyboardInterrupt):
        collect(FreshEcho(label="echo", stop_after=4 + 3), items, batch=1)
    heard.clear()
    resumed = collect(FreshEcho(label="echo"), items, batch=1)
    assert len(heard) == 1
    assert [line["reply"] for line in resumed] == [line["reply"] for line in uninterrupted]


class FreshEcho(Echo):
    """An echo with a cache of its own."""


def test_a_request_without_a_reply_has_a_reason_and_is_asked_again(items, collect):
    items[1]["question"] = "broken"
    found = collect(echo(Echo), items)
    assert (found[1]["reply"], found[1]["error"]) == (None, "no answer")
    heard.clear()
    collect(echo(Echo), items)
    assert [text.splitlines()[0] for text in heard] == ["<image>broken"]


def test_replies_that_are_not_kept_are_asked_by_item(items, collect):
    collect(echo(Fleeting), items)
    collect(echo(Fleeting), items)
    assert len(heard) == 8


def test_a_variant_that_changes_pixels_is_another_request_and_one_of_words_too(items, collect):
    table = pa.Table.from_pylist(items, schema=ITEMS)
    varied = vary(table, find_variants(["original", "blank", "no_image"], table), 0)
    rows = varied.items.to_pylist()
    said = {
        (row["item_id"], row["variant"]): line["reply"]
        for row, line in zip(rows, collect(echo(Echo), rows), strict=True)
    }
    assert said["0", "original"].endswith("[40]")
    assert said["0", "blank"].endswith("[127]")
    assert said["0", "no_image"].endswith("[]")


def test_who_does_not_look_answers_picture_variants_as_the_original(items, collect):
    table = pa.Table.from_pylist(items, schema=ITEMS)
    names = ["original", "blank", "noise", "swapped_image", "no_image"]
    rows = vary(table, find_variants(names, table), 0).items.to_pylist()
    collect(echo(Blind), rows)
    assert len(heard) == 2


def test_a_picture_that_is_gone_is_one_clear_error(items, collect):
    Path(items[0]["images"][0]).unlink()
    with raises_code("picture_changed", ref=items[0]["images"][0]):
        collect(echo(Echo), items)
