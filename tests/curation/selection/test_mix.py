"""Mixes: shares of sources, classes of licences, a limit for each article."""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from pydantic import ValidationError

from curation.selection.config import SelectionConfig
from curation.selection.method import Candidates
from curation.selection.quality import Scores
from curation.selection.select import select
from medsift.execution import LocalExecutor
from medsift.licence_classes import licence_use
from tests.curation.selection.conftest import CandidatesMaker
from tests.expect import raises_code

N = 240
LICENCES = ("CC BY 4.0", "CC BY-NC-ND 4.0", None, "CC0", "own terms")


@pytest.fixture(scope="module")
def mixed(make_candidates: CandidatesMaker) -> Candidates:
    """Three sources of very unequal size, five licences, articles of one to nine figures."""
    made = make_candidates(N)
    rng = np.random.default_rng(5)
    columns = {
        "source": rng.choice(["big", "mid", "small"], N, p=[0.75, 0.2, 0.05]).tolist(),
        "license": [LICENCES[row % len(LICENCES)] for row in range(N)],
        "study_id": [None if row % 11 == 0 else f"a{row // (1 + row % 9)}" for row in range(N)],
    }
    samples = made.pool.samples
    for name, values in columns.items():
        place = samples.schema.get_field_index(name)
        samples = samples.set_column(place, samples.schema.field(name), [values])
    return replace(made, pool=replace(made.pool, samples=samples))


def made(candidates: Candidates, mix: dict[str, object], budget: object = 60, **more: object):
    config = {"name": "mixed", "method": {"kind": "random"}, "budget": budget, "mix": mix}
    return select(
        candidates,
        Scores(None),
        SelectionConfig.model_validate(config | more),
        0,
        LocalExecutor(),
    )


def column(candidates: Candidates, selection, name: str) -> list[str | None]:
    values: list[str | None] = (
        candidates.pool.samples[name].take(pa.array(selection.order)).to_pylist()
    )
    return values


@pytest.mark.parametrize("kind", ["random", "facility_location", "k_center"])
def test_shares_of_sources_are_met_to_the_sample(mixed: Candidates, kind: str):
    chosen = made(mixed, {"shares": {"big": 0.5, "mid": 0.5}}, 50, method={"kind": kind})
    assert Counter(column(mixed, chosen, "source")) == {"big": 25, "mid": 25}
    assert len(set(chosen.order.tolist())) == 50
    assert chosen.weight.sum() == pytest.approx(
        mixed.mass[np.isin(mixed.pool.samples["source"].to_pylist(), ["big", "mid"])].sum()
    )


def test_a_source_that_lacks_its_share_is_filled_up_with_a_warning(
    mixed: Candidates, caplog: pytest.LogCaptureFixture
):
    there = mixed.pool.samples["source"].to_pylist().count("small")
    with caplog.at_level(logging.WARNING):
        chosen = made(mixed, {"shares": {"big": 0.4, "small": 0.6}}, 100)
    assert Counter(column(mixed, chosen, "source")) == {"big": 100 - there, "small": there}
    assert sum("source small" in record.getMessage() for record in caplog.records) == 1


def test_a_temperature_lifts_small_sources(mixed: Candidates):
    shares = [
        Counter(column(mixed, made(mixed, {"temperature": value}), "source"))["small"]
        for value in (1.0, 3.0)
    ]
    assert shares[0] < shares[1]


def test_no_article_has_more_than_its_limit_and_small_ones_stay(mixed: Candidates):
    samples = mixed.pool.samples
    keys = list(zip(samples["source"].to_pylist(), samples["study_id"].to_pylist(), strict=True))
    sizes = Counter(key for key in keys if key[1] is not None)
    most = sum(min(size, 2) for size in sizes.values()) + sum(key[1] is None for key in keys)
    chosen = made(mixed, {"per_article": 2}, most)
    taken = Counter(keys[row] for row in chosen.order.tolist())
    assert all(taken[key] == min(size, 2) for key, size in sizes.items())
    with raises_code("budget_invalid"):
        made(mixed, {"per_article": 2}, most + 1)


def test_licences_are_allowed_by_class_and_unknown_ones_are_told(
    mixed: Candidates, caplog: pytest.LogCaptureFixture
):
    with caplog.at_level(logging.WARNING):
        chosen = made(mixed, {"licences": ["commercial"]}, "100%")
    assert set(column(mixed, chosen, "license")) == {"CC BY 4.0", "CC0"}
    [line] = [record.getMessage() for record in caplog.records]
    assert "unknown" in line
    with raises_code("mix_unfit"):
        made(mixed, {"licences": ["no_derivatives"]})


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("CC BY 4.0", "commercial"),
        ("cc-by-sa-3.0", "commercial"),
        ("CC0", "commercial"),
        ("MIT", "commercial"),
        ("CC BY-NC-ND 4.0", "noncommercial"),
        ("CC-BY-ND-4.0", "no_derivatives"),
        ("PhysioNet Restricted", "other"),
        ("", "unknown"),
        (None, "unknown"),
    ],
)
def test_a_licence_has_one_use(name: str | None, kind: str):
    assert licence_use(name) == kind


@pytest.mark.parametrize(
    "mix",
    [
        {"shares": {"big": 0.5, "mid": 0.4}},
        {"shares": {"big": 1.2, "mid": -0.2}},
        {"shares": {"big": 1.0}, "temperature": 2.0},
        {"licences": ["free"]},
        {"per_article": 0},
    ],
)
def test_a_mix_that_does_not_add_up_is_refused(mix: dict[str, object]):
    with pytest.raises(ValidationError):
        SelectionConfig.model_validate({"name": "m", "budget": 5, "mix": mix})


def test_a_source_that_the_pool_lacks_is_named(mixed: Candidates):
    with raises_code("mix_unfit", source="bigg"):
        made(mixed, {"shares": {"bigg": 1.0}})


def test_fewer_candidates_keep_their_true_neighbours(mixed: Candidates):
    rows = np.sort(np.random.default_rng(1).permutation(N)[: N // 2])
    part, whole = mixed.graph.only(rows), mixed.graph
    place = {int(row): number for number, row in enumerate(rows)}
    for number, row in enumerate(rows.tolist()):
        wanted = [place[other] for other in whole.index[row].tolist() if other in place]
        found = part.index[number]
        assert found[: len(wanted)].tolist() == wanted
        assert (found[len(wanted) :] == -1).all()
        assert np.isneginf(part.similarity[number, len(wanted) :]).all()
