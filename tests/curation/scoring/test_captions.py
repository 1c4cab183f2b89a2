"""Scores of captions and figures: specificity, panels, scan or chart, alignment by modality."""

from __future__ import annotations

import io
import re
import unicodedata
from collections import Counter
from math import log
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from curation.phantoms.cases import draw_case
from curation.phantoms.images import paint, to_bytes
from curation.scoring import is_scan
from curation.scoring.alignment import AlignmentConfig, said_vectors
from curation.scoring.caption_specificity import CaptionSpecificityConfig
from curation.scoring.compound import CompoundConfig
from curation.scoring.config import ScoresConfig
from curation.scoring.is_scan import IsScanConfig, by_words
from curation.scoring.panel_layout import caption_panels, picture_panels
from curation.scoring.percentiles import rank_percentiles
from curation.scoring.tables import score_tables
from tests.curation.scoring.conftest import sample

CAPTIONS = [
    ("en", "Axial contrast-enhanced CT shows a spiculated nodule in the right upper lobe."),
    ("en", "CT image of the patient."),
    ("en", "Image of the patient."),
    ("en", "Image of the patient, image of the patient, image of the patient, image."),
    ("en", "Sagittal MRI of the knee with a torn meniscus and joint effusion in the patient."),
    ("zh", "胸部CT显示右肺结节。"),
    ("zh", "胸部图像。"),
    (None, "!!"),
]


def captioned(text: str | None, **more: object) -> dict[str, object]:
    return {"question": "Describe this image.", "answer": text, "task_type": "caption"} | more


def idf_by_hand(texts: list[tuple[str | None, str]], prior: float) -> list[float]:
    def words(text: str) -> set[str]:
        plain = unicodedata.normalize("NFC", text).lower()
        spaced = re.sub(r"([\u4e00-\u9fff])", r" \1 ", plain)
        return {w for w in re.findall(r"\w+", spaced) if len(w) > 1 or "\u4e00" <= w <= "\u9fff"}

    bags = [(language, words(text)) for language, text in texts]
    size = Counter(language for language, _ in bags)
    known = Counter((language, word) for language, bag in bags for word in bag)
    idf = [
        [log((size[language] + 1) / (known[language, word] + 1)) for word in bag]
        for language, bag in bags
    ]
    middle = float(np.mean([np.mean(values) for values in idf if values]))
    return [
        (sum(values) + prior * middle) / (len(values) + prior) if values else np.nan
        for values in idf
    ]


def test_specificity_is_that_of_a_count_by_hand(make_pool, make_context):
    lines = [captioned(text, language=language) for language, text in CAPTIONS]
    lines.append({"question": "Is there a nodule?", "answer": "yes", "task_type": "presence"})
    found = CaptionSpecificityConfig(prior_words=3).score(make_context(make_pool(lines)))
    np.testing.assert_allclose(found[:-1], idf_by_hand(CAPTIONS, 3.0), atol=1e-6)
    assert np.isnan(found[-1])
    # What fits every picture is last, and saying it often gains nothing.
    assert found[0] > found[1] > found[2]
    assert found[3] == found[2]
    assert found[5] > found[6]


def test_specificity_of_no_caption_at_all_is_null(make_pool, make_context):
    pool = make_pool([{"question": "q", "answer": "a"}])
    assert np.isnan(CaptionSpecificityConfig().score(make_context(pool))).all()


@pytest.mark.parametrize(
    ("caption", "panels"),
    [
        ("(A) Axial CT. (B) Coronal CT.", 2),
        ("(a, b) CT before and (c–e) after treatment", 5),
        ("(A and B) Radiographs", 2),
        ("(a) CT alone", 1),
        ("Grade (b) lesion; see (c)", 1),
        ("CT of the chest (arrow), 12 (mm)", 1),
        ("胸部CT (A) 和 (B)", 2),
        ("", 1),
    ],
)
def test_letters_count_from_a_without_a_gap(caption: str, panels: int):
    assert caption_panels(caption) == panels


def tile(index: int) -> Image.Image:
    return Image.fromarray(to_bytes(paint(draw_case(3, index), 3)))


def composed(rng: np.random.Generator, first: int, level: int) -> tuple[np.ndarray, int]:
    rows, columns = [(1, 2), (2, 1), (2, 2), (1, 3), (2, 3)][rng.integers(5)]
    gap, side = int(rng.integers(3, 14)), 220
    size = (columns * (side + gap) - gap, rows * (side + gap) - gap)
    figure = Image.new("L", size, level)
    for place in range(rows * columns):
        at = (place % columns * (side + gap), place // columns * (side + gap))
        figure.paste(tile(first + place).resize((side, side)), at)
    data = io.BytesIO()
    figure.save(data, "JPEG", quality=int(rng.integers(60, 95)))
    return np.asarray(Image.open(data)), rows * columns


def test_composed_figures_are_seen_by_their_gutters_and_single_scans_are_not():
    rng = np.random.default_rng(0)
    white = [composed(rng, 10 * at, 255) for at in range(12)]
    black = [composed(rng, 10 * at, 0) for at in range(12)]
    singles = [np.asarray(tile(5000 + at)) for at in range(24)]
    assert all(picture_panels(figure) > 1 for figure, _ in white)
    assert sum(picture_panels(figure) == panels for figure, panels in white) >= 9
    # Panels with black borders of their own leave nothing to see of a black gutter.
    assert sum(picture_panels(figure) > 1 for figure, _ in black) >= 5
    assert all(picture_panels(single) == 1 for single in singles)


@pytest.mark.parametrize("value", [0, 255, 128])
def test_a_picture_of_one_level_is_one_panel(value: int):
    assert picture_panels(np.full((40, 60), value, np.uint8)) == 1
    assert picture_panels(np.full((1, 1), value, np.uint8)) == 1


def test_compound_takes_the_larger_count_and_trusts_a_named_panel(
    make_pool, make_context, tmp_path: Path
):
    figure, _ = composed(np.random.default_rng(2), 3, 255)
    for name, pixels in (("many.png", figure), ("one.png", np.asarray(tile(5)))):
        Image.fromarray(pixels).save(tmp_path / name)
    many, one = (
        sample(tmp_path / name, "Describe this image.", "x") for name in ("many.png", "one.png")
    )
    lines = [
        many | captioned("A CT."),
        one | captioned("(A) CT. (B) MRI. (C) X-ray."),
        one | captioned("(A) CT. (B) MRI.", extra='{"panel": "B"}'),
        one | {"answer": "(A) and (B)", "task_type": "choice"},
        captioned("(A) and (B)"),
    ]
    panels = CompoundConfig().score(make_context(make_pool(lines)))
    assert panels[0] > 1
    assert panels[1:4].tolist() == [3.0, 1.0, 1.0]
    assert np.isnan(panels[4])


@pytest.mark.parametrize(
    ("caption", "modality", "value"),
    [
        ("Axial CT of the chest", "", 1.0),
        ("Kaplan–Meier curves of survival", "", 0.0),
        ("Flowchart of the study", "", 0.0),
        ("Fundus photograph", "", 1.0),
        ("", "mr", 1.0),
        ("Receiver operating curve of CT", "", np.nan),
        ("Survival", "", np.nan),
    ],
)
def test_words_tell_a_scan_from_a_chart(caption: str, modality: str, value: float):
    assert by_words(caption, modality) == pytest.approx(value, nan_ok=True)


def pictured(make_pool, answers: list[str], extra: list[str | None], seed: int = 0):
    """Two well separated kinds of pictures in turn, scans first."""
    n = len(answers)
    rng = np.random.default_rng(seed)
    vectors = rng.standard_normal((n, 8)) * 0.6
    vectors[::2, 0] += 2.0
    vectors[1::2, 0] -= 2.0
    lines = [
        captioned(text, images=[f"i{row:03d}"], extra=more)
        for row, (text, more) in enumerate(zip(answers, extra, strict=True))
    ]
    return make_pool(lines, image=vectors)


def test_labels_are_carried_to_pictures_without_one_and_judge_none_of_their_own(
    make_pool, make_context
):
    n = 120
    extra = ['{"is_scan": "yes"}', '{"is_scan": "no"}'] * 15 + [None] * (n - 30)
    # One wrong label, which its own picture must not believe.
    extra[0] = '{"is_scan": "no"}'
    pool = pictured(make_pool, ["Figure 1."] * n, extra)
    value = IsScanConfig().score(make_context(pool))
    right = (value > 0.5) == (np.arange(n) % 2 == 0)
    assert right[30:].mean() > 0.95
    assert value[0] > 0.5


def test_without_labels_the_words_of_a_cluster_decide(make_pool, make_context):
    n = 160
    answers = [
        ("Axial CT." if row % 2 == 0 else "Bar chart.") if row % 8 < 2 else "See the text."
        for row in range(n)
    ]
    pool = pictured(make_pool, answers, [None] * n)
    value = IsScanConfig().score(make_context(pool))
    silent = np.arange(n) % 8 >= 2
    assert ((value > 0.5) == (np.arange(n) % 2 == 0))[silent].mean() > 0.9


def test_where_nothing_tells_the_kind_it_is_null(make_pool, make_context):
    pool = pictured(make_pool, ["See the text."] * 12, [None] * 12)
    assert np.isnan(IsScanConfig().score(make_context(pool))).all()
    bare = make_pool([captioned("Axial CT.")])
    assert np.isnan(IsScanConfig().score(make_context(bare))).all()


def test_no_vote_of_a_fold_counts_in_it():
    rng = np.random.default_rng(1)
    vectors = rng.standard_normal((40, 4)).astype(np.float32)
    labels, fold = (rng.random(40) < 0.5).astype(float), rng.integers(0, 4, 40)
    before = is_scan.cluster_votes(vectors, labels, fold, 3, 0)
    flipped = np.where(fold == 2, 1.0 - labels, labels)
    prior_moves = abs((flipped.sum() - labels.sum()) / 41.0)
    after = is_scan.cluster_votes(vectors, flipped, fold, 3, 0)
    assert np.abs(after - before)[fold == 2].max() <= prior_moves + 1e-12


def test_alignment_is_ranked_within_modality_whatever_the_strata(make_pool):
    rng = np.random.default_rng(3)
    lines = [captioned(f"text {row}", modality=("ct", "plot")[row % 2]) for row in range(40)]
    pool = make_pool(lines)
    scores = rng.standard_normal(40) + np.arange(40) % 2 * 5.0
    config = ScoresConfig(scorers=(AlignmentConfig(kind="alignment"), CaptionSpecificityConfig()))
    values = {"alignment": scores, "caption_specificity": scores}
    table = next(iter([list(score_tables(pool, values, config).scores)]))
    ranked = {part["scorer"][0].as_py(): part["percentile"].to_numpy() for part in table}
    by_modality = rank_percentiles(scores, [str(line["modality"]) for line in lines])
    np.testing.assert_array_equal(ranked["alignment"], by_modality)
    np.testing.assert_array_equal(
        ranked["caption_specificity"], rank_percentiles(scores, [""] * 40)
    )


def test_the_request_of_a_caption_says_nothing_about_its_picture(make_pool):
    pool = make_pool([captioned("a CT"), {"question": "Which plane?", "answer": "axial"}])
    said = said_vectors(pool)
    assert not said.question[0].any()
    np.testing.assert_array_equal(said.question[1], pool.vectors.question[1])
    plain = make_pool([{"question": "Which plane?", "answer": "axial"}])
    assert said_vectors(plain) is plain.vectors
