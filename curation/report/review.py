"""The review list: pictures and texts near a benchmark's, side by side, for a person to judge."""

from __future__ import annotations

import base64
import io
import json
from dataclasses import dataclass
from typing import Final

import duckdb

from curation.report.data import fetch
from medsift.manifest.any_version import Line
from medsift.pages.thumbnail import thumbnail
from medsift.records import THUMB_SIDE

SHOWN: Final = 60
SIDE: Final = 256
KEEP: Final = "keep"

LISTED: Final = """
SELECT reviews.*, samples.question, samples.answer,
       list_filter(samples.images, lambda shown: shown.image_id = reviews.image_id)[1].ref AS ref,
       decisions.row_id IS NOT NULL AS dropped
FROM reviews
LEFT JOIN samples ON samples.run_id = $run AND samples.row_id = reviews.row_id
LEFT JOIN decisions ON decisions.run_id = $run AND decisions.row_id = reviews.row_id
WHERE reviews.run_id = $run
ORDER BY similarity DESC, benchmark, reviews.row_id, item_id LIMIT $shown
"""

TOTAL: Final = "SELECT count(*) AS total FROM reviews WHERE run_id = $run"
RECIPE: Final = "SELECT recipe FROM runs WHERE run_id = $run"


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two: `picture` is a data URI or None, then `missing` says why, if it has one."""

    name: str
    others: int
    question: str | None
    answer: str | None
    picture: str | None
    missing: str | None


@dataclass(frozen=True, slots=True)
class NearHit:
    """What of the pool is near what of a benchmark, how near, and what the recipe made of it."""

    benchmark: str
    kind: str
    pool: Side
    item: Side
    similarity: float
    cosine: float | None
    correlation: float | None
    verdict: str
    dropped: bool


@dataclass(frozen=True, slots=True)
class Reviews:
    """The most similar of all `total` hits; `rule` is the recipe's `decontaminate.unresolved`."""

    hits: list[NearHit]
    total: int
    rule: str


def read_reviews(connection: duckdb.DuckDBPyConnection, run_id: str) -> Reviews:
    """At most `SHOWN` hits, the most similar first."""
    lines = fetch(connection, LISTED, run_id, shown=SHOWN)
    total = int(fetch(connection, TOTAL, run_id)[0]["total"])
    return Reviews([_hit(line) for line in lines], total, _rule(connection, run_id))


def _rule(connection: duckdb.DuckDBPyConnection, run_id: str) -> str:
    recipe = json.loads(fetch(connection, RECIPE, run_id)[0]["recipe"] or "{}")
    return str(recipe.get("decontaminate", {}).get("unresolved", KEEP))


def _hit(line: Line) -> NearHit:
    return NearHit(
        benchmark=line["benchmark"],
        kind=line["kind"],
        pool=_pool_side(line),
        item=_item_side(line),
        similarity=line["similarity"],
        cosine=line["cosine"],
        correlation=line["correlation"],
        verdict=line["verdict"],
        dropped=line["dropped"],
    )


def _pool_side(line: Line) -> Side:
    picture, missing = thumbnail(line["ref"], SIDE) if line["ref"] else (None, None)
    others = line["samples"] - 1
    return Side(line["row_id"], others, line["question"], line["answer"], picture, missing)


def _item_side(line: Line) -> Side:
    """The benchmark's own picture where its file is there, else the index's miniature."""
    picture, missing = thumbnail(line["item_ref"], SIDE) if line["item_ref"] else (None, None)
    if picture is None and line["item_miniature"]:
        picture, missing = miniature(line["item_miniature"]), None
    if picture is None and line["item_image_id"]:
        missing = missing or "not in the index"
    others = line["items"] - 1
    return Side(line["item_id"], others, line["item_question"], None, picture, missing)


def miniature(grey: bytes) -> str:
    """A PNG data URI of the bytes of a grey miniature."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.frombytes("L", (THUMB_SIDE, THUMB_SIDE), grey).save(buffer, "PNG")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
