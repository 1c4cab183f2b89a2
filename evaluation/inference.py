"""From items to replies: what is asked once, where replies are kept, and the worker that asks."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from evaluation.generators import Generator, GeneratorConfig, Reply, Request
from evaluation.perturb.apply import find_variant, show
from evaluation.perturb.item import Item
from evaluation.perturb.perturbation import Variant
from evaluation.prompts import PROMPTS_VERSION, PromptConfig, ask, candidates
from medsift import records
from medsift.errors import StorageError
from medsift.execution import Executor, Tables
from medsift.images.references import read_bytes
from medsift.models.chat_format import Turn
from medsift.storage.parts import read_folder
from medsift.storage.table_cache import TableCache

if TYPE_CHECKING:
    from PIL.Image import Image

HELD_PICTURES: Final = 64
log = logging.getLogger(__name__)

REPLIES: Final = pa.schema(
    [
        pa.field("request_id", pa.string(), nullable=False),
        pa.field("reply", pa.string()),
        pa.field("error", pa.string()),
        pa.field("probabilities", pa.list_(pa.float64())),
        pa.field("tokens", pa.int64()),
    ]
)


class Asked(NamedTuple):
    """One request: its id, the item in its variant, and the item in words."""

    request_id: str
    item: Item
    turns: tuple[Turn, ...]
    candidates: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Question:
    """How items are asked: the words, the seed of the variants, which pictures there are.

    `pictures` maps a benchmark to the content hash of its pictures: equal references mean equal
    pictures only while it is the same.
    """

    prompts: PromptConfig
    seed: int
    pictures: dict[str, str]

    def asked(self, item: Item, config: GeneratorConfig) -> Asked:
        """The request that an item (a row of ``VARIED``) makes to a model."""
        turns = ask(item, self.prompts, looks=config.looks)
        weighed = candidates(item)
        if config.lasting:
            identity = [*(part for turn in turns for part in turn), "\x1e", *weighed]
            identity += self._seen(item) if config.looks else []
        else:
            identity = [item["benchmark"], item["item_id"], item["variant"]]
        digest = records.digest("request", str(PROMPTS_VERSION), *identity)
        return Asked(digest, item, turns, weighed)

    def _seen(self, item: Item) -> list[str]:
        """What tells the pictures of an item apart from others."""
        refs: Sequence[str] = item["images"] or ()
        if not refs:
            return []
        seen = ["\x1e", self.pictures[item["benchmark"]], *refs]
        if _changes_pixels(item["variant"]):
            seen += [item["variant"], str(self.seed), item["benchmark"], item["item_id"]]
        return seen


class AskModel:
    """Worker: replies to requests, kept in the cache as soon as they come."""

    def __init__(
        self, config: GeneratorConfig, items: pa.Table, seed: int, cache: Path, fingerprint: str
    ) -> None:
        self.config, self.items, self.seed = config, items, seed
        self.cache = reply_cache(cache, fingerprint) if config.lasting else None
        self.picture = lru_cache(maxsize=HELD_PICTURES)(read_picture)
        self.generator: Generator | None = None

    def __call__(self, item: Sequence[Asked]) -> Iterator[Tables]:
        """Yield `replies` to one batch of requests."""
        if self.generator is None:
            self.generator = self.config.build(self.items)
        replies = self.generator.generate([self._request(one) for one in item])
        table = replies_table([one.request_id for one in item], replies)
        if self.cache is not None:
            self.cache.append(table.filter(pc.is_null(table["error"])))
        yield {"replies": table}

    def _request(self, asked: Asked) -> Request:
        item = asked.item
        shown: tuple[Image, ...] = ()
        if self.config.looks and item["images"]:
            shown = tuple(show(item, [self.picture(ref) for ref in item["images"]], self.seed))
        return Request(
            item["benchmark"],
            item["item_id"],
            item["variant"],
            asked.turns,
            shown,
            asked.candidates,
        )


def collect_replies(
    asked: Iterable[Asked],
    config: GeneratorConfig,
    make: Callable[[], AskModel],
    executor: Executor,
    *,
    folder: Path,
    cache: Path,
    fingerprint: str,
    batch: int,
    begin: Callable[[int], None],
    advance: Callable[[int], None],
) -> pa.Table:
    """One line of ``REPLIES`` a distinct request; only those without a kept reply are asked.

    `folder` holds what is under way and is removed afterwards. A request without a reply has a
    line with its error, and is asked again next time.
    """
    distinct = {one.request_id: one for one in asked}
    kept = _kept(cache, fingerprint, distinct) if config.lasting else REPLIES.empty_table()
    known = set(kept["request_id"].to_pylist())
    # Requests about one picture stand together, so that it is decoded once.
    left = sorted((one for key, one in distinct.items() if key not in known), key=_beside)
    begin(len(left))
    if not left:
        return kept
    items = [tuple(left[start : start + batch]) for start in range(0, len(left), batch)]
    out = folder / records.digest(*(one.request_id for one in left))[:16]
    _forget_others(folder, out)
    executor.stream(items, make, out, advance, config.resources)
    fresh = read_folder(out / "replies", REPLIES)
    shutil.rmtree(folder, ignore_errors=True)
    return pa.concat_tables([kept, fresh])


def reply_cache(cache: Path, fingerprint: str) -> TableCache:
    """Where replies of one model under one setting are kept."""
    return TableCache(cache / "replies", fingerprint, key="request_id")


def replies_table(ids: Sequence[str], replies: Sequence[Reply]) -> pa.Table:
    """Replies as ``REPLIES``."""
    columns: list[list[Any]] = [
        list(ids),
        [one.text for one in replies],
        [one.error for one in replies],
        [None if one.probabilities is None else list(one.probabilities) for one in replies],
        [one.tokens for one in replies],
    ]
    return pa.table(columns, schema=REPLIES)


def read_picture(ref: str) -> Image:
    """A benchmark's picture as a viewer shows it: mode L or RGB.

    Raises StorageError when it is gone.
    """
    from medsift.images import ImagesConfig, decode

    any_size = ImagesConfig(max_pixels=1 << 62, max_bytes=1 << 62)
    try:
        picture = decode(read_bytes(ref), PurePosixPath(ref).name, any_size).image
    except FileNotFoundError as error:
        raise StorageError(
            f"{ref} is gone; put it back and run the same command again", code="picture_changed"
        ) from error
    return picture if picture.mode in ("L", "RGB") else picture.convert("RGB")


def _kept(cache: Path, fingerprint: str, wanted: dict[str, Asked]) -> pa.Table:
    found = reply_cache(cache, fingerprint).lookup(list(wanted))
    return found.cast(REPLIES) if found.num_rows else REPLIES.empty_table()


def _beside(asked: Asked) -> tuple[list[str], str, str]:
    return list(asked.item["images"] or ()), asked.turns[-1][1], asked.request_id


def _forget_others(folder: Path, out: Path) -> None:
    """Remove what an interrupted evaluation of other requests left: its replies are kept."""
    for leftover in folder.glob("*"):
        if leftover != out:
            shutil.rmtree(leftover, ignore_errors=True)


@lru_cache(maxsize=256)
def _changes_pixels(variant: str) -> bool:
    return type(find_variant(variant)).picture is not Variant.picture
