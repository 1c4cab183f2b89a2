"""Where in a conversation a benchmark's text sits makes no difference; nor does its script."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curation.decontaminate import (
    SAME_TEXT,
    BenchmarkIndex,
    DecontaminateConfig,
    build_index,
    find_hits,
    read_index,
    write_index,
)
from curation.decontaminate.passages import item_passages, sample_passages
from curation.matching.image_copies import image_set
from curation.matching.settings import ImageCopyConfig
from curation.neighbors.shingles import canonical
from medsift import records
from medsift.storage.vectors import ContentVectors
from medsift.vocabulary import NEAR
from tests.expect import raises_code

Talk = list[tuple[str, str]]

Q = "Which of the following findings on this frontal radiograph best explains the sudden pain?"
A = "A large pneumothorax on the left side with shift of the mediastinum to the right."
OTHER_Q, OTHER_A = "What is the modality of the picture?", "It is an x-ray of the chest."
ZH_Q, ZH_A = "这张胸部正位片上哪一个发现最能解释患者突发的胸痛和呼吸困难", "左侧大量气胸伴纵隔右移"
LANGUAGES = {
    "English": (Q, A),
    "Chinese": (ZH_Q, ZH_A),
    "Thai": (
        "ภาพรังสีทรวงอกนี้พบความผิดปกติใดที่อธิบายอาการเจ็บหน้าอกเฉียบพลันได้ดีที่สุด",
        "ลมรั่วในช่องเยื่อหุ้มปอดด้านซ้าย",
    ),
    "Arabic": (
        "ما هي النتيجة التي تفسر الألم المفاجئ في هذه الصورة الشعاعية للصدر عند هذا المريض",
        "استرواح صدري كبير في الجانب الأيسر",
    ),
    "Korean": (
        "이 흉부 방사선 사진에서 환자의 갑작스러운 가슴 통증을 가장 잘 설명하는 소견은 무엇입니까",
        "왼쪽에 큰 기흉이 있고 종격동이 오른쪽으로 밀려 있습니다",
    ),
}


def row(name: str, talk: Talk, images: tuple[str, ...] = ("x",)) -> dict[str, Any]:
    return {
        "sample_id": f"id-{name}",
        "row_id": name,
        "source": "s",
        "question": next((text for role, text in talk if role == "user"), None),
        "answer": talk[-1][1],
        "images": list(images),
        "messages": [{"role": role, "content": text} for role, text in talk],
    }


def table(lines: list[dict[str, Any]]) -> pa.Table:
    return pa.Table.from_pylist(lines, schema=records.SAMPLES)


NO_PICTURES = records.IMAGES.empty_table()
NO_VECTORS = ContentVectors([], np.zeros((0, 8), np.float32))


def index_of(*talks: Talk) -> BenchmarkIndex:
    lines = [row(f"item{place}", talk, ()) for place, talk in enumerate(talks)]
    return build_index("bench", table(lines), NO_PICTURES, NO_VECTORS, "e", gram=13)


def verdicts(index: BenchmarkIndex, **talks: Talk) -> dict[str, str]:
    lines = [row(name, talk) for name, talk in talks.items()]
    pool = image_set(NO_PICTURES, NO_VECTORS)
    return find_hits(
        table(lines), pool, index, DecontaminateConfig(), ImageCopyConfig(), 0.85
    ).worst


def pair(question: str, answer: str) -> Talk:
    return [("user", question), ("assistant", answer)]


OTHER = pair(OTHER_Q, OTHER_A)


@pytest.mark.parametrize("language", LANGUAGES)
def test_an_item_is_confirmed_wherever_it_sits(language: str) -> None:
    question, answer = LANGUAGES[language]
    found = verdicts(
        index_of(pair(question, answer)),
        only=pair(question, answer),
        first=pair(question, answer) + OTHER,
        middle=OTHER + pair(question, answer) + OTHER,
        last=OTHER + pair(question, answer),
        under_a_system_prompt=[("system", "Be brief."), *OTHER, *pair(question, answer)],
        in_the_system_prompt=[("system", f"{question}\n{answer}"), *OTHER],
        inside_the_system_prompt=[("system", f"Be brief. {question} {answer} Thanks."), *OTHER],
        in_one_user_turn=OTHER + pair(f"{question} {answer}", "Right."),
        in_one_assistant_turn=OTHER + pair("Go on.", f"{question}\n{answer}"),
        elsewhere=OTHER + OTHER,
    )
    assert found == dict.fromkeys(set(found) | {"only"}, SAME_TEXT)
    assert set(found) == {
        *("only", "first", "middle", "last", "under_a_system_prompt", "in_the_system_prompt"),
        *("inside_the_system_prompt", "in_one_user_turn", "in_one_assistant_turn"),
    }


def test_vowel_points_hide_no_item() -> None:
    question, answer = LANGUAGES["Arabic"]
    pointed = pair(question.replace("ال", "الْ").replace("ب", "بَ"), answer.replace("ا", "اً"))
    assert pointed != pair(question, answer)
    assert verdicts(index_of(pair(question, answer)), pointed=pointed) == {"pointed": SAME_TEXT}
    assert verdicts(index_of(pointed), plain=pair(question, answer)) == {"plain": SAME_TEXT}


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize(
    "form",
    [
        "Q: {q} A: {a}",
        "**Question:** {q}\n**Answer:** {a}",
        "问:{q}\n答:{a}",
        '{{"question": "{q}", "answer": "{a}"}}',
        "USER: {q} ASSISTANT: {a}",
    ],
)
def test_what_introduces_question_and_answer_in_one_text_hides_no_item(
    language: str, form: str
) -> None:
    question, answer = LANGUAGES[language]
    text = form.format(q=question, a=answer)
    found = verdicts(
        index_of(pair(question, answer)), asked=pair(text, "Right."), said=pair("Go on.", text)
    )
    assert found == {"asked": SAME_TEXT, "said": SAME_TEXT}


@pytest.mark.parametrize("language", LANGUAGES)
def test_options_that_were_added_or_taken_away_hide_no_item(language: str) -> None:
    question, answer = LANGUAGES[language]
    offered = f"{question}\n(A) 1\n(B) {answer}\n(C) 2"
    for item in (pair(question, answer), pair(offered, "B"), pair(offered, answer)):
        met = verdicts(
            index_of(item),
            without=OTHER + pair(question, answer),
            letter=OTHER + pair(offered, "B") + OTHER,
            words=pair(offered, answer),
        )
        assert met == dict.fromkeys(("without", "letter", "words"), SAME_TEXT)


def test_short_questions_with_options_say_nothing_without_their_picture() -> None:
    short, offered = "Which side is it?", "Which side is it? (A) left (B) right"
    for item in (pair(short, "left"), pair(offered, "A")):
        found = verdicts(index_of(item), bare=pair(short, "left"), offered=pair(offered, "A"))
        assert found == {}


def test_every_exchange_of_an_item_counts() -> None:
    index = index_of([*OTHER, *pair(Q, A), *pair("Why?", "The lung edge is seen.")])
    found = verdicts(index, one=pair(Q, A), inside=pair("Hello.", "Hello.") + pair(Q, A))
    assert found == {"one": SAME_TEXT, "inside": SAME_TEXT}


def test_an_answer_to_another_question_is_near_and_not_the_item() -> None:
    found = verdicts(index_of(pair(Q, A)), x=OTHER + pair("What else?", A), y=pair(Q, "No."))
    assert found == {"x": NEAR, "y": NEAR}


def test_short_exchanges_of_a_talk_say_nothing() -> None:
    thanks = pair("Thank you!", "You are welcome.")
    index = index_of([*pair(Q, A), *thanks])
    lines = [row("x", pair("What causes flu?", "A virus.") + thanks, ())]
    pool = image_set(NO_PICTURES, NO_VECTORS)
    assert not find_hits(
        table(lines), pool, index, DecontaminateConfig(), ImageCopyConfig(), 0.85
    ).worst


def test_a_short_item_is_met_inside_a_longer_talk_without_a_picture() -> None:
    index = index_of(pair("What causes flu?", "A virus."))
    lines = [row("x", OTHER + pair("what causes flu", "a virus") + OTHER, ())]
    pool = image_set(NO_PICTURES, NO_VECTORS)
    found = find_hits(table(lines), pool, index, DecontaminateConfig(), ImageCopyConfig(), 0.85)
    assert found.worst == {"x": SAME_TEXT}


def test_a_system_prompt_that_all_items_share_is_no_item() -> None:
    prompt = ("system", "You are a careful radiologist who answers each of the questions briefly.")
    index = index_of([prompt, *pair(Q, A)])
    assert verdicts(index, x=[prompt, *OTHER], y=[prompt, *pair(Q, A)]) == {"y": SAME_TEXT}


def test_chinese_is_near_by_its_characters() -> None:
    report = f"{ZH_A}，心影向右侧移位，右肺代偿性过度充气，未见肋骨骨折征象，双侧膈面光整"
    index = index_of(pair(ZH_Q, report))
    found = verdicts(
        index,
        a_word_changed=OTHER + pair(ZH_Q.replace("突发", "急性"), report),
        half=pair(ZH_Q, "右侧肋骨骨折"),
        other=pair("这张图片是什么模态？", "这是一张胸部正位片"),
    )
    assert found == {"a_word_changed": SAME_TEXT, "half": NEAR}


WORDS = [f"w{n}" for n in range(6)]
TALKS = st.lists(
    st.tuples(st.lists(st.sampled_from(WORDS), min_size=1, max_size=9).map(" ".join),
              st.lists(st.sampled_from(WORDS), min_size=1, max_size=9).map(" ".join)),
    min_size=1, max_size=4,
)  # fmt: skip


def equal_passages(pool: Talk, item: Talk) -> bool:
    """Whether an exchange or all of the item has the words of an exchange, a turn or all."""

    def said(talk: Talk) -> dict[str, None]:
        pairs = zip(talk[::2], talk[1::2], strict=True)
        whole = "\n".join(text for _, text in talk)
        return dict.fromkeys(canonical(f"{a[1]}\n{b[1]}") for a, b in pairs) | {
            canonical(whole): None
        }

    own = set(said(pool)) | {canonical(text) for _, text in pool}
    long = {text for text in said(item) if len(text.split()) >= 12}
    return bool(own & long)


@settings(max_examples=150, deadline=None)
@given(TALKS, TALKS)
def test_equal_words_are_met_exactly_where_a_slow_search_meets_them(
    pool: list[tuple[str, str]], item: list[tuple[str, str]]
) -> None:
    talks = [[turn for q, a in pairs for turn in pair(q, a)] for pairs in (pool, item)]
    made = index_of(talks[1])
    kinds = {
        line["kind"]
        for line in find_hits(
            table([row("x", talks[0])]),
            image_set(NO_PICTURES, NO_VECTORS),
            made,
            DecontaminateConfig(),
            ImageCopyConfig(),
            0.85,
        ).leaks.to_pylist()
    }
    assert ("same_text" in kinds) == equal_passages(*talks)


def test_the_cost_goes_by_the_words() -> None:
    def runs(turns: int) -> int:
        talk = [
            turn for n in range(turns) for turn in pair(f"question {n} of the set", "yes it is")
        ]
        made = [*sample_passages(talk, 13), *item_passages(talk, 13)]
        return sum(len(one.shingles) + len(one.grams) for one in made)

    assert runs(64) < 2.3 * runs(32)


def test_an_index_of_the_older_layout_says_what_to_do(tmp_path: Path) -> None:
    write_index(index_of(pair(Q, A)), tmp_path)
    note = json.loads((tmp_path / "index.json").read_text())
    (tmp_path / "index.json").write_text(json.dumps(note | {"version": 1}))
    with raises_code("benchmark_index_unreadable", version=1):
        read_index(tmp_path, "e")
