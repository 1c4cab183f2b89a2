"""Robustness as the page puts it."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from evaluation.report.data import Evaluation, read_page_data
from evaluation.report.profile import ROLES, Profile, profile
from medsift.manifest import open_manifest, read


@pytest.fixture(scope="module")
def looker(full_manifest: Path) -> Evaluation:
    with closing(open_manifest(full_manifest)) as connection:
        known = connection.execute("SELECT DISTINCT evaluation_id FROM evaluations").fetchall()
        data = read_page_data(connection, "run-1", [line[0] for line in known])
    return next(one for one in data.evaluations if one.name.startswith("looker"))


@pytest.fixture(scope="module")
def found(looker: Evaluation) -> Profile:
    made = profile(looker)
    assert made is not None
    return made


def test_variants_stand_by_what_they_are_for_in_the_order_of_their_levels(found: Profile) -> None:
    assert [(title, [step.variant for step in steps]) for title, steps in found.groups] == [
        (ROLES["original"], ["original"]),
        (
            ROLES["invariant"],
            [
                *(f"noise@{at}" for at in (1, 2, 3)),
                *(f"rotation@{at}" for at in (1, 2, 3)),
                *(f"paraphrase@{at}" for at in (1, 2, 3, 4)),
                "typos",
            ],
        ),
        (ROLES["control"], ["no_image", "blank", "mask_region", "mask_elsewhere"]),
    ]


def test_a_variant_is_set_against_the_same_items_as_published(
    found: Profile, looker: Evaluation, full_manifest: Path
) -> None:
    means = read(
        full_manifest,
        "SELECT changed.variant, avg(plain.score) AS before FROM predictions changed "
        "JOIN predictions plain USING (evaluation_id, benchmark, item_id) "
        f"WHERE plain.variant = 'original' AND benchmark = '{looker.row['benchmark']}' "
        "AND evaluation_id LIKE 'looker%' GROUP BY ALL",
    ).to_pylist()
    before = {line["variant"]: line["before"] for line in means}
    steps = [step for _, steps in found.groups for step in steps if step.variant != "original"]
    assert {step.variant: step.before for step in steps} == pytest.approx(
        {step.variant: before[step.variant] for step in steps}
    )
    assert before["mask_region"] != pytest.approx(before["noise@1"])


def test_originals_alone_have_no_profile(looker: Evaluation) -> None:
    lines = [line for line in looker.metrics if line["variant"] == "original"]
    assert profile(Evaluation("a", looker.row, lines, [])) is None
