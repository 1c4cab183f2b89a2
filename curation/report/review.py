"""List pictures and texts that are near a benchmark's, for a person to judge."""

from __future__ import annotations

import base64
import io
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from medsift.manifest.any_version import Line, ask
from medsift.pages.thumbnail import thumbnail
from medsift.records import THUMB_SIDE

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

MAX_HITS: Final = 60
SIDE: Final = 256
"""Pixels on the longer side of a picture."""

LISTED: Final = """
SELECT reviews.*, samples.question, samples.answer,
       list_filter(samples.images, lambda shown: shown.image_id = reviews.image_id)[1].ref AS ref,
       decisions.row_id IS NOT NULL AS dropped
FROM reviews
LEFT JOIN samples ON samples.run_id = $run AND samples.row_id = reviews.row_id
LEFT JOIN decisions ON decisions.run_id = $run AND decisions.row_id = reviews.row_id
WHERE reviews.run_id = $run
ORDER BY similarity DESC, benchmark, reviews.row_id, item_id LIMIT $limit
"""


@dataclass(frozen=True, slots=True)
class Side:
    """One side of a pair; `picture` is a data URI, or `missing` says why a picture is not shown."""

    name: str
    others: int
    question: str | None
    answer: str | None
    picture: str | None
    missing: str | None


@dataclass(frozen=True, slots=True)
class NearHit:
    """A sample of the pool and the item of a benchmark that it is near, with the verdict."""

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


def read_reviews(con: DuckDBPyConnection, run_id: str) -> Reviews:
    """Return at most `MAX_HITS` hits, the most similar first."""
    hits = [_hit(line) for line in ask(con, LISTED, run=run_id, limit=MAX_HITS)]
    sql = "SELECT count(*) AS total FROM reviews WHERE run_id = $run"
    [counted] = ask(con, sql, run=run_id)
    [run] = ask(con, "SELECT recipe FROM runs WHERE run_id = $run", run=run_id)
    settings = json.loads(run["recipe"] or "{}").get("decontaminate", {})
    return Reviews(hits, int(counted["total"]), str(settings.get("unresolved", "keep")))


def _hit(line: Line) -> NearHit:
    picture, missing = thumbnail(line["ref"], SIDE) if line["ref"] else (None, None)
    others = line["samples"] - 1
    pool = Side(line["row_id"], others, line["question"], line["answer"], picture, missing)
    picture, missing = thumbnail(line["item_ref"], SIDE) if line["item_ref"] else (None, None)
    # Without the benchmark's own file there is still the miniature in its index.
    if picture is None and line["item_miniature"]:
        picture, missing = miniature(line["item_miniature"]), None
    if picture is None and line["item_image_id"]:
        missing = missing or "not in the index"
    others = line["items"] - 1
    item = Side(line["item_id"], others, line["item_question"], None, picture, missing)
    same = ("benchmark", "kind", "similarity", "cosine", "correlation", "verdict", "dropped")
    return NearHit(pool=pool, item=item, **{name: line[name] for name in same})


def miniature(grey: bytes) -> str:
    """Return a PNG data URI of a grey miniature."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.frombytes("L", (THUMB_SIDE, THUMB_SIDE), grey).save(buffer, "PNG")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
