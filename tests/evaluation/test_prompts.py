"""Items in words: marks for pictures, options by letter, instructions by kind and language."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from evaluation.prompts import PromptConfig, ask, candidates
from evaluation.records import ITEMS
from medsift.replies.closed import polarity

PLAIN = PromptConfig()


def item(**values: Any) -> dict[str, Any]:
    row = dict.fromkeys(ITEMS.names) | {
        "question": "Is there a mass?",
        "gold": "yes",
        "answer_type": "closed",
        "options": [],
        "images": ["a.png"],
        "language": "en",
    }
    return row | values


def words(looks: bool = True, config: PromptConfig = PLAIN, **values: Any) -> str:
    [(role, text)] = ask(item(**values), config, looks=looks)
    assert role == "user"
    return text


def test_a_picture_stands_before_its_question():
    assert words() == "<image>Is there a mass?\nAnswer with yes or no."


def test_who_does_not_look_gets_no_mark():
    assert words(looks=False) == "Is there a mass?\nAnswer with yes or no."
    assert "<image>" not in words(looks=False, question="Is <image> or <image 2> worse?")


def test_two_pictures_have_two_marks():
    assert words(images=["a", "b"]).startswith("<image><image>Is")


@pytest.mark.parametrize(
    "question", ["Is <image> worse than <image>?", "Is <image 1> worse than <image 2>?"]
)
def test_marks_of_the_question_stay_where_they_are(question):
    text = words(question=question, images=["a", "b"])
    assert text.startswith("Is <image> worse than <image> ?")


def test_marks_out_of_order_become_words_behind_the_pictures():
    text = words(question="Is <image 2> worse than <image 1>?", images=["a", "b"])
    assert text.startswith("<image><image>Is image 2 worse than image 1 ?")


def test_marks_of_another_number_of_pictures_are_taken_out():
    assert words(question="See <image> here").startswith("See <image> here")
    assert words(question="See <image> here", images=["a", "b"]).startswith(
        "<image><image>See here"
    )


def test_options_have_letters_and_their_own_instruction():
    text = words(answer_type="choice", options=["CT", "MR"], gold="A", looks=False)
    assert text.splitlines()[1:] == [
        "A. CT",
        "B. MR",
        "Answer with the letter of the right option.",
    ]


def test_a_closed_question_of_another_kind_is_asked_as_an_open_one():
    assert words(gold="left").endswith("Answer with a single word or a short phrase.")
    assert candidates(item(gold="left")) == ()


def test_chinese_items_get_chinese_instructions():
    assert words(language="zh", gold="是").endswith("请回答“是”或“否”。")
    assert words(language=None, question="这是什么?", gold="CT", answer_type="open").endswith(
        "请用一个词或短语回答。"
    )


def test_a_language_without_instructions_gets_english_ones():
    assert words(language="fr").endswith("Answer with yes or no.")


def test_own_instructions_and_a_system_turn_are_taken():
    config = PromptConfig(system="Be brief.", instructions={"closed": "Yes or no?"})
    turns = ask(item(), config, looks=False)
    assert turns == (("system", "Be brief."), ("user", "Is there a mass?\nYes or no?"))


def test_an_instruction_for_no_kind_of_question_is_refused():
    with pytest.raises(ValidationError) as caught:
        PromptConfig(instructions={"yesno": "?"})
    assert "yesno" in str(caught.value)


def test_candidates_are_letters_or_yes_and_no():
    assert candidates(item()) == ("yes", "no")
    assert candidates(item(options=["a", "b", "c"], answer_type="choice")) == ("A", "B", "C")
    assert candidates(item(answer_type="open", gold="liver")) == ()


def test_candidates_are_words_that_the_instruction_offers():
    chinese = item(language="zh", question="有肿块吗?", gold="否")
    assert candidates(chinese) == ("是", "否")
    assert all(word in words(language="zh", gold="否") for word in candidates(chinese))
    assert [polarity(word) for word in candidates(chinese)] == [True, False]
    assert [polarity(word) for word in candidates(item())] == [True, False]
