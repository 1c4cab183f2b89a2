"""Draw several replies to each question, with its options in another order each time."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from functools import lru_cache
from string import ascii_uppercase as LETTERS
from typing import Any, Final

import numpy as np
import pyarrow as pa

from evaluation.generators import Generator, GeneratorConfig, Reply, Request
from evaluation.inference import KEPT_PICTURES, PictureReader
from evaluation.perturb.image_controls import Blank
from evaluation.perturb.item import ItemRow
from evaluation.perturb.option_rotation import BY_PLACE
from evaluation.prompts import PromptConfig, ask
from evaluation.scoring import PARSED, AnswerKey
from evaluation.scoring.strict import score
from medsift.execution import Tables
from medsift.manifest.schema import arrow_schema
from medsift.records import digest

ROLLOUTS: Final = arrow_schema("rollouts", without=("rollouts", "model", "model_hash"))
SEED_DIGITS: Final = 15


class DrawReplies:
    """Worker that draws replies to items, first with their pictures and then with blank ones.

    Args:
        config: the model.
        items: all items, which baselines look at.
        prompts: how items are put into words.
        draws: replies to each item.
        blank_draws: replies to each item with blank pictures.
        seed: of the order of options.
    """

    def __init__(
        self,
        config: GeneratorConfig,
        items: pa.Table,
        prompts: PromptConfig,
        draws: int,
        blank_draws: int,
        seed: int,
    ) -> None:
        self.config, self.items, self.prompts = config, items, prompts
        self.draws, self.blank_draws, self.seed = draws, blank_draws, seed
        self.picture = lru_cache(maxsize=KEPT_PICTURES)(PictureReader())
        self.generator: Generator | None = None

    def __call__(self, item: Sequence[ItemRow]) -> Iterator[Tables]:
        """Yield `rollouts` of one batch of items."""
        if self.generator is None:
            self.generator = self.config.build(self.items)
        asked = [
            (shuffled(one, self.seed, draw), draw, blank)
            for one in item
            for blank, count in ((False, self.draws), (True, self._blank_draws(one)))
            for draw in range(count)
        ]
        requests = [self._request(*parts) for parts in asked]
        replies = self.generator.generate(requests)
        rows = [
            _row(*parts, request, reply)
            for parts, request, reply in zip(asked, requests, replies, strict=True)
        ]
        yield {"rollouts": pa.Table.from_pylist(rows, schema=ROLLOUTS)}

    def _blank_draws(self, item: ItemRow) -> int:
        return self.blank_draws if self.config.looks and item["images"] else 0

    def _request(self, item: ItemRow, draw: int, blank: bool) -> Request:
        turns = ask(item, self.prompts, looks=self.config.looks)
        pictures = [self.picture(ref) for ref in item["images"] or () if self.config.looks]
        if blank:
            pictures = [Blank().picture(picture, item, self.seed) for picture in pictures]
        variant = "blank" if blank else "original"
        head = item["benchmark"], item["item_id"], variant
        return Request(*head, turns, tuple(pictures), draw=draw)


def shuffled(item: ItemRow, seed: int, draw: int) -> ItemRow:
    """Return an item with its options in the order of a draw, and the gold's new letter.

    Options that speak of others by their place stay as they are.
    """
    options, gold = list(item["options"] or ()), item["gold"].strip()
    if len(options) < 2 or gold not in LETTERS[: len(options)] or len(gold) != 1:
        return item
    if any(BY_PLACE.search(option) for option in options):
        return item
    own = int(digest("options", str(seed), str(draw), item["item_id"])[:SEED_DIGITS], 16)
    order = np.random.default_rng(own).permutation(len(options)).tolist()
    place = order.index(LETTERS.index(gold))
    return {**item, "options": [options[index] for index in order], "gold": LETTERS[place]}


def _row(item: ItemRow, draw: int, blank: bool, request: Request, reply: Reply) -> dict[str, Any]:
    options = list(item["options"] or ())
    row: dict[str, Any] = {
        "sample_id": json.loads(item["extra"])["sample_id"],
        "row_id": item["item_id"],
        "draw": draw,
        "blank": blank,
        "prompt": request.turns[-1][1],
        "options": options,
        "gold": item["gold"],
        "reply": reply.text,
        "error": reply.error,
        "tokens": reply.tokens,
        "cut": reply.cut,
    }
    if reply.text is not None:
        key = AnswerKey(item["benchmark"], item["answer_type"], item["gold"], tuple(options))
        scored = score(key, reply.text)
        row |= {
            "parsed": scored.parsed,
            "parse_status": scored.parse_status,
            "correct": scored.parse_status == PARSED and bool(scored.score),
        }
    return row
