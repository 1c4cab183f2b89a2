"""Words that are well made keep quality 1; each of the seven defects takes it away."""

from __future__ import annotations

import pytest

from curation.scoring import text_quality
from curation.scoring.text_quality import (
    AnsweredQuestion,
    TextQualityConfig,
    opening_shares,
    quality,
)

GOOD = [
    ("Is there a fracture?", "yes", "closed", "en"),
    ("Is there a fracture?", "No.", "closed", None),
    ("有骨折吗?", "没有", "closed", "zh"),
    ("有骨折吗?", "没有", None, None),
    ("Are there any masses?", "none", None, None),
    ("Which organ is shown? (A) liver (B) kidney", "B", "choice", "en"),
    ("Is the lesion on the left or the right?", "left", "open", "en"),
    ("How many lesions are there?", "3", "open", "en"),
    ("What imaging modality was used?", "CT", "open", "en"),
    ("使用了哪种成像方式?", "CT", "open", "zh"),
    ("使用了哪种成像方式?", "磁共振成像", "open", "zh-CN"),
    ("Which lobes?", "the left lower lobe and the right lower lobe", "open", "en"),
    ("How would you describe the lesion?", "hypodense", "open", "en"),
    ("Describe the picture.", "A frontal radiograph with clear lungs.", "open", "en"),
    ("Was zeigt das Bild?", "Eine kleine Läsion der Leber rechts.", "open", "de"),
]
ABSENT = [
    ("Which lesions are present?", "None", "open", "en"),
    ("What abnormality is seen?", "None.", "open", "en"),
    ("What complications are there?", "none", None, None),
    ("有什么异常?", "无", "open", "zh"),
    ("图中有哪些病变?", "没有", "open", "zh"),
]
BAD = {
    "repetition": [
        ("What is seen?", "no no no no no no no no", "open", "en"),
        ("What is seen?", "a mass " * 12, "open", "en"),
        ("看到什么?", "肺部肺部肺部肺部肺部肺部肺部", "open", "zh"),
        ("What is seen?", "aaaaaaaaaaaaaaaa", "open", "en"),
    ],
    "length": [
        ("What is seen?", "...", "open", "en"),
        ("Is it seen?", "-", "closed", "en"),
        ("What is seen?", "B", "open", "en"),
        ("Please describe the picture.", "Lungs.", "open", "en"),
        ("请描述图像。", "肺", "open", "zh"),
    ],
    "boilerplate": [
        ("What is it?", "As an AI language model I see a small mass.", "open", "en"),
        ("What is it?", "As a large language model, I would say a mass.", "open", "en"),
        ("这是什么?", "作为一个人工智能模型,我认为是肿块。", "open", "zh"),
    ],
    "refusal": [
        ("What is it?", "I'm sorry, but I can't help with that.", "open", "en"),
        ("What is it?", "I cannot provide a diagnosis from pictures.", "open", "en"),
        ("Is it there?", "I’m unable to tell.", "closed", "en"),
        ("这是什么?", "抱歉,我无法回答这个问题。", "open", "zh"),
    ],
    "non_answer": [
        ("What is it?", "N/A", "open", "en"),
        ("What is it?", "Not sure.", "open", "en"),
        ("What is it?", "unknown", None, None),
        ("Which organ is shown?", "None", "open", "en"),
        ("这是什么?", "无", "open", "zh"),
        ("Which lesions are present?", "unknown", "open", "en"),
        ("这是什么?", "不知道", "open", "zh"),
    ],
    "language": [
        ("What organ is shown?", "肝脏", "open", "en"),
        ("图中是哪个器官?", "It is the right lobe of the liver.", "open", None),
        ("Which organ is shown here?", "The liver is shown.", "open", "zh"),
    ],
    "leak": [
        ("What causes Bell's palsy ?", "Bell's palsy", "open", "en"),
        ("What does the black area signify?", "Black", "open", "en"),
        ("图中的肺部阴影是什么?", "肺部阴影", "open", "zh"),
    ],
}


@pytest.mark.parametrize("line", [*GOOD, *ABSENT], ids=lambda line: f"{line[0]} {line[1]}")
def test_a_good_exchange_is_perfect(line) -> None:
    assert quality(AnsweredQuestion(*line), {}) == 1.0


@pytest.mark.parametrize(
    ("factor", "line"), [(factor, line) for factor, lines in BAD.items() for line in lines]
)
def test_a_defect_is_seen_by_its_factor(factor, line) -> None:
    exchange = AnsweredQuestion(*line)
    rest = (exchange, {}) if factor == "boilerplate" else (exchange,)
    assert getattr(text_quality, factor)(*rest) <= 0.6
    assert quality(exchange, {}) <= 0.6


def test_an_opening_in_fashion_costs_half_its_share() -> None:
    asked = "What do you see?"
    same = [f"The image shows organ number {n} of a patient again" for n in range(30)]
    own = [f"Organ {n} opens this answer of more than eight words" for n in range(70)]
    exchanges = [AnsweredQuestion(asked, answer, "open", "en") for answer in same + own]
    shares = opening_shares(exchanges)
    assert shares == {("the", "image", "shows"): 0.3}
    assert quality(exchanges[0], shares) == pytest.approx(0.85)
    assert quality(exchanges[-1], shares) == 1.0


def test_a_pool_is_scored_line_by_line(make_pool, make_context) -> None:
    lines = [GOOD[0], BAD["refusal"][0], GOOD[0], BAD["leak"][0]]
    names = ("question", "answer", "answer_type", "language")
    pool = make_pool([dict(zip(names, line, strict=True)) for line in lines])
    found = TextQualityConfig(kind="text_quality").score(make_context(pool))
    assert found.tolist() == [1.0, 0.0, 1.0, text_quality.LEAK]


def test_a_sample_without_words_is_the_worst(make_pool, make_context) -> None:
    found = TextQualityConfig(kind="text_quality").score(make_context(make_pool([{}])))
    assert found.tolist() == [0.0]
