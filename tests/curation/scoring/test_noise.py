"""Planted noise is found: pictures of other patients by alignment, wrong answers by label noise."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pytest
import yaml

from curation.phantoms.noise_metrics import average_precision, roc_auc
from curation.pipeline import curate
from curation.pool import Pool, SampleVectors, load_pool
from curation.recipe import parse_recipe
from curation.scoring import ScoringContext
from curation.scoring.alignment import AlignmentConfig
from curation.scoring.cross_fit import AnswerOdds
from curation.scoring.label_noise import LabelNoiseConfig, probability_wrong
from medsift.execution import LocalExecutor

ALIGNMENT = AlignmentConfig(kind="alignment")
LABEL_NOISE = LabelNoiseConfig(kind="label_noise")
SEEDS = [
    11,
    pytest.param(12, marks=pytest.mark.nightly),
    pytest.param(13, marks=pytest.mark.nightly),
]


@pytest.mark.parametrize("seed", SEEDS)
def test_pictures_of_other_patients_are_out_of_line(make_noisy, seed) -> None:
    noisy = make_noisy(seed)
    assert noisy.mismatched.sum() == 24
    assert roc_auc(-noisy.value("alignment"), noisy.mismatched) >= 0.8


@pytest.mark.parametrize("seed", SEEDS)
def test_wrong_answers_are_noise(make_noisy, seed) -> None:
    noisy = make_noisy(seed)
    assert noisy.wrong.sum() == 24
    value = noisy.value("label_noise")
    judged = np.isfinite(value)
    share = noisy.wrong[judged].mean()
    assert share < 0.06
    assert average_precision(value[judged], noisy.wrong[judged]) >= 4 * share


def test_open_answers_are_not_judged(noisy) -> None:
    types = np.array(noisy.pool.samples["answer_type"].to_pylist())
    value = noisy.value("label_noise")
    assert np.isnan(value[types == "open"]).all()
    assert np.isfinite(value[types != "open"]).mean() > 0.9
    judged = value[np.isfinite(value)]
    assert ((judged > 0) & (judged < 1)).all()


def turned(pool: Pool, order: np.ndarray) -> Pool:
    vectors = pool.vectors
    return Pool(
        samples=pool.samples.take(pa.array(order)),
        images=pool.images,
        vectors=SampleVectors(
            vectors.image[order], vectors.question[order], vectors.answer[order], False
        ),
        mass=pool.mass[order],
        strata=pool.strata.take(order),
    )


@pytest.mark.parametrize("config", [ALIGNMENT, LABEL_NOISE], ids=lambda config: config.kind)
def test_order_of_samples_does_not_change_a_score(noisy, make_context, config) -> None:
    order = np.random.default_rng(0).permutation(len(noisy.pool))
    shuffled = config.score(make_context(turned(noisy.pool, order)))
    np.testing.assert_allclose(config.score(make_context(noisy.pool))[order], shuffled, atol=2e-6)


@pytest.mark.parametrize("config", [ALIGNMENT, LABEL_NOISE], ids=lambda config: config.kind)
def test_the_seed_deals_the_folds(noisy, make_context, config) -> None:
    one, again = (config.score(make_context(noisy.pool, seed)) for seed in (5, 5))
    other = config.score(make_context(noisy.pool, 6))
    np.testing.assert_array_equal(one, again)
    assert not np.array_equal(one, other, equal_nan=True)


@pytest.mark.parametrize("config", [ALIGNMENT, LABEL_NOISE], ids=lambda config: config.kind)
def test_texts_without_pictures_and_tiny_pools_have_no_score_or_a_finite_one(
    make_pool, make_context, config
) -> None:
    asked = {"question": "Is it?", "answer": "yes", "answer_type": "closed"}
    for pool in (
        make_pool([]),
        make_pool([asked]),
        make_pool([asked] * 30),
        make_pool([asked] * 30, image=np.empty((30, 0))),
    ):
        assert np.isnan(config.score(make_context(pool))).all()
    alone = make_pool([{**asked, "images": ["i"]}], image=np.ones((1, 4)))
    assert not np.isinf(config.score(make_context(alone))).any()


def test_a_shared_space_compares_the_pair_itself(make_pool, make_context) -> None:
    rng = np.random.default_rng(4)
    meaning = rng.standard_normal((200, 32))
    # Two cones: nearly all of each vector is its side's mean, which must not count.
    image, text = meaning + 6.0 * np.eye(32)[0], meaning + 6.0 * np.eye(32)[1]
    wrong = np.zeros(200, bool)
    wrong[:20] = True
    image[:20] = np.roll(image[:20], 1, axis=0)
    lines = [{"question": "q", "answer": "a", "images": [f"i{n:03d}"]} for n in range(200)]
    lines[-1]["images"] = []
    image[-1] = 0.0
    pool = make_pool(lines, image=image, question=text, answer=text, shared_space=True)
    found = ALIGNMENT.score(make_context(pool))
    assert np.isnan(found[-1])
    assert roc_auc(-found[:-1], wrong[:-1]) > 0.99
    assert found[~wrong][:-1].min() > 0.5


def odds(seen: list[float], classes: list[int]) -> AnswerOdds:
    return AnswerOdds(np.array(seen), np.array(seen), np.array(classes))


def test_a_picture_that_says_nothing_leaves_the_rate() -> None:
    found = probability_wrong(odds([1 / 2, 1 / 4, 1 / 20], [2, 4, 20]), rate=0.05)
    np.testing.assert_allclose(found, 0.05)


def test_the_less_likely_an_answer_the_likelier_it_is_wrong() -> None:
    seen = np.linspace(0.01, 0.99, 50)
    found = probability_wrong(odds(seen.tolist(), [3] * 50), rate=0.1)
    assert (np.diff(found) < 0).all()
    # One simulated world: true classes drawn from p, labels turned with rate 0.1.
    rng = np.random.default_rng(0)
    p, n = 0.3, 200_000
    true = rng.random(n) < p
    label = np.where(rng.random(n) < 0.1, ~true, true)
    wrong = (label & ~true).sum() / label.sum()
    assert probability_wrong(odds([p], [2]), rate=0.1)[0] == pytest.approx(wrong, abs=0.005)


@pytest.mark.nightly
@pytest.mark.slow
def test_real_pictures_that_were_exchanged_fall_behind(
    vqa_rad, vectors, tmp_path, make_context
) -> None:
    """VQA-RAD with real vectors: one pair in twelve gets the picture of another body part."""
    lines = (vqa_rad / "vqa_rad.jsonl").read_text(encoding="utf-8").splitlines()[:900]
    (tmp_path / "rows.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    source = {
        "name": "rad",
        "reader": "table",
        "path": str(tmp_path / "rows.jsonl"),
        "image_root": str(vqa_rad / "images"),
        "columns": {
            "images": "image_name",
            "body_part": "image_organ",
            "answer_type": "answer_type",
        },
    }
    settings = {
        "name": "rad",
        "sources": [source],
        "encoder": {"kind": "embedded"},
        "cache": str(vectors),
        "strata": ["body_part", "answer_type"],
        "scores": {
            "scorers": [
                {"kind": kind}
                for kind in ("image_quality", "text_quality", "alignment", "label_noise", "rarity")
            ],
            "weights": {"image_quality": 1, "text_quality": 1, "alignment": 1, "label_noise": 1},
        },
    }
    run = curate(parse_recipe(yaml.safe_dump(settings)), tmp_path / "run", LocalExecutor())
    pool = load_pool(run.upstream, ("body_part",), shared_space=False)
    assert len(pool) > 500
    # One draw of some seventy pairs has a standard error of 0.03: twelve have one of 0.01.
    areas = [_area_of_exchanged(pool, make_context, seed) for seed in range(12)]
    assert np.mean(areas) > 0.68


def _area_of_exchanged(pool: Pool, make_context: Callable[..., ScoringContext], seed: int) -> float:
    """ROC AUC of low alignment for pairs that got the picture of another body part."""
    exchanged = np.zeros(len(pool), bool)
    samples, rng = pool.samples.to_pylist(), np.random.default_rng(seed)
    vectors = pool.vectors.image.copy()
    for row in rng.choice(len(pool), len(pool) // 12, replace=False):
        others = [
            n for n, line in enumerate(samples) if line["body_part"] != samples[row]["body_part"]
        ]
        other = others[int(rng.integers(len(others)))]
        samples[row]["images"] = pool.samples["images"][other].as_py()
        vectors[row] = pool.vectors.image[other]
        exchanged[row] = True
    spoiled = Pool(
        samples=pa.Table.from_pylist(samples, schema=pool.samples.schema),
        images=pool.images,
        vectors=SampleVectors(vectors, pool.vectors.question, pool.vectors.answer, False),
        mass=pool.mass,
        strata=pool.strata,
    )
    found = ALIGNMENT.score(make_context(spoiled))
    assert np.isfinite(found).all()
    return roc_auc(-found, exchanged)
