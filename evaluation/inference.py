"""Turn items into requests, and collect the reply to each distinct request exactly once."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from evaluation.generators import Generator, GeneratorConfig, Request
from evaluation.perturb.apply import find_variant, show
from evaluation.perturb.item import ItemRow
from evaluation.perturb.perturbation import Variant
from evaluation.prompts import PROMPTS_VERSION, PromptConfig, ask, candidates
from medsift import records
from medsift.device_clock import DeviceClock, waiting_share
from medsift.errors import StorageError
from medsift.execution import Executor, Tables, spent_seconds
from medsift.images.references import read_bytes
from medsift.images.settings import DECODE_SECONDS
from medsift.models.chat_format import Turn
from medsift.storage.mirror import discard, here, is_mirrored
from medsift.storage.parts import read_folder
from medsift.storage.table_cache import TableCache

if TYPE_CHECKING:
    from PIL.Image import Image

    from medsift.images.decoder_process import DecoderProcess

logger = logging.getLogger(__name__)

KEPT_PICTURES: Final = 64
"""Decoded pictures that a worker keeps: several questions ask about one picture."""

REPLIES: Final = pa.schema(
    [
        pa.field("request_id", pa.string(), nullable=False),
        pa.field("reply", pa.string()),
        pa.field("error", pa.string()),
        pa.field("probabilities", pa.list_(pa.float64())),
        pa.field("tokens", pa.int64()),
    ]
)


class ModelRequest(NamedTuple):
    """One request: its id, the item in its variant, its prompt, and answers to weigh."""

    request_id: str
    item: ItemRow
    turns: tuple[Turn, ...]
    candidates: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RequestBuilder:
    """Build the request of an item: its prompt, and an id that equal requests share.

    `content_hashes` maps a benchmark to the hash of its items and pictures: equal references mean
    equal pictures only while it is the same.
    """

    prompts: PromptConfig
    seed: int
    content_hashes: dict[str, str]

    def build(self, item: ItemRow, config: GeneratorConfig) -> ModelRequest:
        """Return the request that an item (a row of ``VARIED``) makes to a model."""
        turns = ask(item, self.prompts, looks=config.looks)
        answers = candidates(item)
        if config.lasting:
            identity = [*(part for turn in turns for part in turn), "\x1e", *answers]
            identity += self._picture_identity(item) if config.looks else []
        else:
            identity = [item["benchmark"], item["item_id"], item["variant"]]
        digest = records.digest("request", str(PROMPTS_VERSION), *identity)
        return ModelRequest(digest, item, turns, answers)

    def _picture_identity(self, item: ItemRow) -> list[str]:
        """Return what identifies the pictures of an item as the model sees them."""
        refs: Sequence[str] = item["images"] or ()
        if not refs:
            return []
        identity = ["\x1e", self.content_hashes[item["benchmark"]], *refs]
        # A variant of the words alone shows the same pixels: its pictures need no identity more.
        if _changes_pixels(item["variant"]):
            identity += [item["variant"], str(self.seed), item["benchmark"], item["item_id"]]
        return identity


class AskModel:
    """Worker that gets replies to requests, and stores them in the cache as they come."""

    def __init__(
        self, config: GeneratorConfig, items: pa.Table, seed: int, cache: Path, fingerprint: str
    ) -> None:
        self.config, self.items, self.seed = config, items, seed
        self.cache = reply_cache(cache, fingerprint) if config.lasting else None
        self.picture = lru_cache(maxsize=KEPT_PICTURES)(PictureReader())
        self.generator: Generator | None = None
        self.clock = DeviceClock()

    @property
    def spent(self) -> Mapping[str, float]:
        """How long the model worked on the last item, and how long it waited."""
        return self.clock.spent

    def __call__(self, item: Sequence[ModelRequest]) -> Iterator[Tables]:
        """Yield `replies` to one batch of requests."""
        with self.clock.item():
            yield {"replies": self._replies(item)}

    def _replies(self, item: Sequence[ModelRequest]) -> pa.Table:
        if self.generator is None:
            with self.clock.loading():
                self.generator = self.config.build(self.items)
        asked = [self._with_pictures(one) for one in item]
        with self.clock.working():
            replies = self.generator.generate(asked)
        rows = [
            {
                "request_id": request.request_id,
                "reply": reply.text,
                "error": reply.error,
                "probabilities": reply.probabilities,
                "tokens": reply.tokens,
            }
            for request, reply in zip(item, replies, strict=True)
        ]
        table = pa.Table.from_pylist(rows, schema=REPLIES)
        if self.cache is not None:
            # A request without a reply is asked again next time.
            self.cache.append(table.filter(pc.is_null(table["error"])))
        return table

    def _with_pictures(self, request: ModelRequest) -> Request:
        item = request.item
        pictures: tuple[Image, ...] = ()
        if self.config.looks and item["images"]:
            pictures = tuple(show(item, [self.picture(ref) for ref in item["images"]], self.seed))
        head = item["benchmark"], item["item_id"], item["variant"]
        return Request(*head, request.turns, pictures, request.candidates)


def collect_replies(
    requests: Iterable[ModelRequest],
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
    """Return one row of ``REPLIES`` a distinct request; only those without a stored reply are sent.

    A request without a reply has a row with its error, and is sent again next time.

    Args:
        requests: The requests, repeated ones included.
        config: The model.
        make: Makes the worker that sends them.
        executor: Runs the workers.
        folder: Folder for what is under way; removed afterwards.
        cache: Folder of stored replies.
        fingerprint: Identity of the model, under which replies are stored.
        batch: Requests in one unit of work.
        begin: Is called with the number of requests to send.
        advance: Is called with the number of requests that were answered.
    """
    distinct = {one.request_id: one for one in requests}
    stored = REPLIES.empty_table()
    if config.lasting:
        known = reply_cache(cache, fingerprint).lookup(list(distinct))
        stored = known.cast(REPLIES) if known.num_rows else stored
    answered = set(stored["request_id"].to_pylist())
    # Requests about one picture follow each other, so that it is decoded once.
    left = sorted(
        (one for key, one in distinct.items() if key not in answered),
        key=lambda one: (list(one.item["images"] or ()), one.turns[-1][1], one.request_id),
    )
    begin(len(left))
    if not left:
        return stored
    batches = [tuple(left[start : start + batch]) for start in range(0, len(left), batch)]
    out = folder / records.digest(*(one.request_id for one in left))[:16]
    # An interrupted evaluation of other requests left files; its replies are in the cache.
    for leftover in folder.glob("*"):
        if leftover != out:
            shutil.rmtree(leftover, ignore_errors=True)
    executor.stream(batches, make, out, advance, config.resources)
    share = waiting_share(spent_seconds(out))
    if share is not None and config.resources.accelerated:
        logger.info("%s waited for requests for %.1f %% of its time", config.name, 100 * share)
    fresh = read_folder(out / "replies", REPLIES)
    if is_mirrored(out):
        # They were all brought here, so that this is what the store has.
        discard([path for path in here(out).rglob("*") if path.is_file()])
    shutil.rmtree(folder, ignore_errors=True)
    return pa.concat_tables([stored, fresh])


def reply_cache(cache: Path, fingerprint: str) -> TableCache:
    """Return the cache of the replies of one model under one setting."""
    return TableCache(cache / "replies", fingerprint, key="request_id")


class PictureReader:
    """Read a benchmark's pictures; a process apart decodes them, as nobody has checked them yet."""

    def __init__(self) -> None:
        self.decoder: DecoderProcess | None = None

    def __call__(self, ref: str) -> Image:
        """Return a picture. Raises StorageError when it is gone, ImageError when it is damaged."""
        from medsift.images import ImageError, ImagesConfig
        from medsift.images.decoder_process import DecoderProcess

        try:
            data = read_bytes(ref)
        except FileNotFoundError as error:
            raise StorageError(
                f"{ref} is gone; put it back and run the same command again",
                code="picture_changed",
                ref=ref,
            ) from error
        if self.decoder is None:
            any_size = ImagesConfig(max_pixels=1 << 62, max_bytes=1 << 62)
            self.decoder = DecoderProcess(any_size, DECODE_SECONDS)
        row, image = self.decoder.inspect(ref, data)
        if image is None:
            raise ImageError(row["error"], row["detail"])
        return image


@lru_cache(maxsize=256)
def _changes_pixels(variant: str) -> bool:
    return type(find_variant(variant)).picture is not Variant.picture
