"""The gallery: duplicate groups with their survivor, as small pictures inside the page."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import duckdb

from curation.report.data import fetch
from medsift.manifest.any_version import Line
from medsift.pages.thumbnail import thumbnail

GROUPS = 24
MEMBERS = 5

# The least similar groups of a kind first: these are the ones a reader wants to check.
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

# Image groups name image ids, sample groups row ids; both become pictures with words.
ROW_MEMBERS = """
SELECT kind, group_id, clusters.member, max(clusters.similarity) AS similarity,
       any_value(samples.question) AS question, any_value(samples.answer) AS answer,
       any_value(samples.images[1].ref) AS ref, any_value(decisions.reason) AS reason,
       any_value(decisions.action) AS action
FROM clusters
JOIN (SELECT unnest($kinds) AS kind, unnest($groups) AS group_id) USING (kind, group_id)
LEFT JOIN samples ON samples.run_id = $run AND samples.row_id = clusters.member
LEFT JOIN decisions ON decisions.run_id = $run AND decisions.row_id = clusters.member
WHERE clusters.run_id = $run
GROUP BY kind, group_id, clusters.member
QUALIFY row_number() OVER (
    PARTITION BY kind, group_id ORDER BY max(clusters.similarity), clusters.member) <= $members
ORDER BY similarity, clusters.member
"""

IMAGE_MEMBERS = """
SELECT kind, group_id, clusters.member, max(clusters.similarity) AS similarity,
       min(images.width) AS width, min(images.height) AS height, min(images.format) AS format,
       min(images.ref) AS ref
FROM clusters
JOIN (SELECT unnest($kinds) AS kind, unnest($groups) AS group_id) USING (kind, group_id)
LEFT JOIN images ON images.run_id = $run AND images.image_id = clusters.member
WHERE clusters.run_id = $run
GROUP BY kind, group_id, clusters.member
QUALIFY row_number() OVER (
    PARTITION BY kind, group_id ORDER BY max(clusters.similarity), clusters.member) <= $members
ORDER BY similarity, clusters.member
"""

ROW = """
SELECT row_id AS member, NULL::DOUBLE AS similarity, question, answer, images[1].ref AS ref,
       NULL AS reason, NULL AS action
FROM samples WHERE run_id = $run AND row_id = $member LIMIT 1
"""

IMAGE = """
SELECT image_id AS member, NULL::DOUBLE AS similarity, width, height, format, ref
FROM images WHERE run_id = $run AND image_id = $member ORDER BY ref LIMIT 1
"""


@dataclass(frozen=True, slots=True)
class Member:
    """One picture or sample of a group; `picture` is a data URI or None, then `missing` says why.

    A text-only sample has neither.
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
    """Copies of each other, the survivor first; `hidden` of them are not shown."""

    kind: str
    group_id: str
    members: list[Member]
    hidden: int


def read_gallery(connection: duckdb.DuckDBPyConnection, run_id: str) -> list[Group]:
    """At most `GROUPS` duplicate groups, balanced over kinds, in a fixed order."""
    chosen = fetch(connection, CHOSEN, run_id, groups=GROUPS)
    found = _members(connection, run_id, chosen)
    return [_group(connection, run_id, line, found[_key(line)]) for line in chosen]


def _members(
    connection: duckdb.DuckDBPyConnection, run_id: str, chosen: Sequence[Line]
) -> Mapping[tuple[str, str], list[Line]]:
    """Members of all groups, the least similar of each first, one more than is shown of any."""
    found: dict[tuple[str, str], list[Line]] = defaultdict(list)
    for sql, of_pictures in ((IMAGE_MEMBERS, True), (ROW_MEMBERS, False)):
        these = [line for line in chosen if _of_pictures(line) == of_pictures]
        if these:
            kinds, groups = zip(*map(_key, these), strict=True)
            # The survivor may be among them and moves to the front.
            more = {"kinds": list(kinds), "groups": list(groups), "members": MEMBERS + 1}
            for line in fetch(connection, sql, run_id, **more):
                found[_key(line)].append(line)
    return found


def _key(line: Line) -> tuple[str, str]:
    return line["kind"], line["group_id"]


def _of_pictures(line: Line) -> bool:
    return bool(line["kind"] == "image_copy")


def _group(
    connection: duckdb.DuckDBPyConnection, run_id: str, chosen: Line, found: Sequence[Line]
) -> Group:
    pictures, survivor = _of_pictures(chosen), chosen["survivor"]
    first = [line for line in found if line["member"] == survivor]
    if not first:
        first = fetch(connection, IMAGE if pictures else ROW, run_id, member=survivor)
    others = [line for line in found if line["member"] != survivor]
    shown = [*first, *others][:MEMBERS]
    members = [_member(line, line["member"] == survivor, pictures) for line in shown]
    return Group(chosen["kind"], chosen["group_id"], members, chosen["members"] - len(shown))


def _member(line: Line, survivor: bool, pictures: bool) -> Member:
    ref = line["ref"]
    picture, missing = thumbnail(ref) if ref else (None, None)
    name = str(ref).rsplit("/", 1)[-1] if pictures and ref else str(line["member"])
    return Member(
        name=name,
        survivor=survivor,
        similarity=None if survivor else line["similarity"],
        question=line.get("question"),
        answer=line.get("answer"),
        facts=_facts(line) if pictures else None,
        fate=_fate(line, survivor, pictures),
        picture=picture,
        missing=missing,
    )


def _fate(line: Line, survivor: bool, pictures: bool) -> str:
    if survivor:
        return "survivor"
    if pictures:
        return "copy"
    return str(line["reason"]) if line["reason"] else "kept"


def _facts(line: Line) -> str | None:
    if line["width"] is None:
        return None
    return f"{line['width']:,} × {line['height']:,} px, {line['format']}"
