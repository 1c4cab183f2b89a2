"""Show duplicate groups with their survivor as small pictures inside the page."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from medsift.manifest.any_version import Line, ask
from medsift.pages.thumbnail import thumbnail

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

MAX_GROUPS = 24
MAX_MEMBERS = 5

# The least similar groups of a kind come first, because a reader wants to check those.
CHOSEN = """
WITH sized AS (
    SELECT kind, group_id, min(survivor) AS survivor,
           count(DISTINCT member) + (NOT bool_or(member = survivor))::BIGINT AS members,
           coalesce(min(similarity), 0) AS lowest
    FROM clusters WHERE run_id = $run GROUP BY kind, group_id
), ranked AS (
    SELECT *, row_number() OVER (
        PARTITION BY kind ORDER BY lowest, members DESC, group_id) AS place
    FROM sized
), quota AS (SELECT ceil($groups / greatest(count(DISTINCT kind), 1)) AS each FROM sized)
SELECT kind, group_id, survivor, members FROM ranked, quota
WHERE place <= each ORDER BY kind, place LIMIT $groups
"""

MEMBERS = """
SELECT kind, group_id, clusters.member, max(clusters.similarity) AS similarity, {facts}
FROM clusters
JOIN (SELECT unnest($kinds) AS kind, unnest($groups) AS group_id) USING (kind, group_id)
{joins}
WHERE clusters.run_id = $run
GROUP BY kind, group_id, clusters.member
QUALIFY row_number() OVER (
    PARTITION BY kind, group_id ORDER BY max(clusters.similarity), clusters.member) <= $members
ORDER BY similarity, clusters.member
"""
# The members of image groups are image ids, those of sample groups row ids.
ROW_MEMBERS = MEMBERS.format(
    facts="""any_value(samples.question) AS question, any_value(samples.answer) AS answer,
       any_value(samples.images[1].ref) AS ref, any_value(decisions.reason) AS reason""",
    joins="""LEFT JOIN samples ON samples.run_id = $run AND samples.row_id = clusters.member
LEFT JOIN decisions ON decisions.run_id = $run AND decisions.row_id = clusters.member""",
)
IMAGE_MEMBERS = MEMBERS.format(
    facts="""min(images.width) AS width, min(images.height) AS height,
       min(images.format) AS format, min(images.ref) AS ref""",
    joins="LEFT JOIN images ON images.run_id = $run AND images.image_id = clusters.member",
)

ROW = """
SELECT row_id AS member, NULL::DOUBLE AS similarity, question, answer, images[1].ref AS ref,
       NULL AS reason
FROM samples WHERE run_id = $run AND row_id = $member LIMIT 1
"""

IMAGE = """
SELECT image_id AS member, NULL::DOUBLE AS similarity, width, height, format, ref
FROM images WHERE run_id = $run AND image_id = $member ORDER BY ref LIMIT 1
"""


@dataclass(frozen=True, slots=True)
class Member:
    """One picture or sample of a group.

    `picture` is a data URI, or `missing` says why there is none; a text-only sample has neither.
    """

    name: str
    survivor: bool
    similarity: float | None
    question: str | None
    answer: str | None
    facts: str | None
    fate: str
    picture: str | None
    missing: str | None


@dataclass(frozen=True, slots=True)
class Group:
    """Members of a group, the survivor first; `hidden` more are not shown."""

    kind: str
    group_id: str
    members: list[Member]
    hidden: int


def read_gallery(con: DuckDBPyConnection, run_id: str) -> list[Group]:
    """Return at most `MAX_GROUPS` duplicate groups, balanced over kinds, in a fixed order."""
    groups = ask(con, CHOSEN, run=run_id, groups=MAX_GROUPS)
    members: dict[tuple[str, str], list[Line]] = defaultdict(list)
    for sql, of_pictures in ((IMAGE_MEMBERS, True), (ROW_MEMBERS, False)):
        keys = [_key(group) for group in groups if (group["kind"] == "image_copy") == of_pictures]
        if keys:
            kinds, ids = map(list, zip(*keys, strict=True))
            # One member more than is shown: the survivor may be among them and moves to the front.
            more = {"kinds": kinds, "groups": ids, "members": MAX_MEMBERS + 1}
            for member in ask(con, sql, run=run_id, **more):
                members[_key(member)].append(member)
    return [_group(con, run_id, group, members[_key(group)]) for group in groups]


def _key(line: Line) -> tuple[str, str]:
    return line["kind"], line["group_id"]


def _group(con: DuckDBPyConnection, run_id: str, group: Line, members: Sequence[Line]) -> Group:
    pictures, survivor = group["kind"] == "image_copy", group["survivor"]
    first = [member for member in members if member["member"] == survivor]
    if not first:
        first = ask(con, IMAGE if pictures else ROW, run=run_id, member=survivor)
    others = [member for member in members if member["member"] != survivor]
    shown = [*first, *others][:MAX_MEMBERS]
    return Group(
        group["kind"],
        group["group_id"],
        [_member(member, member["member"] == survivor, pictures) for member in shown],
        group["members"] - len(shown),
    )


def _member(line: Line, survivor: bool, pictures: bool) -> Member:
    ref, facts = line["ref"], None
    picture, missing = thumbnail(ref) if ref else (None, None)
    fate = "copy" if pictures else str(line["reason"] or "kept")
    if pictures and line["width"] is not None:
        facts = f"{line['width']:,} × {line['height']:,} px, {line['format']}"
    return Member(
        name=str(ref).rsplit("/", 1)[-1] if pictures and ref else str(line["member"]),
        survivor=survivor,
        similarity=None if survivor else line["similarity"],
        question=line.get("question"),
        answer=line.get("answer"),
        facts=facts,
        fate="survivor" if survivor else fate,
        picture=picture,
        missing=missing,
    )
