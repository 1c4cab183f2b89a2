"""Texts that spell tokens which a model reads as structure."""

from __future__ import annotations

from typing import Any

import pytest
from tokenizers import AddedToken, Tokenizer
from tokenizers.models import WordLevel
from tokenizers.normalizers import NFKC, Lowercase, Sequence
from tokenizers.pre_tokenizers import Whitespace
from transformers import PreTrainedTokenizerFast

from medsift.models.reserved_tokens import ReservedTokens
from tests.tiny_models import llava, qwen, tokenizer

WORDS = ["<unk>", "is", "it", "clear", "lung", "!", "<", ">", "[", "]"]


def words(*special: Any, normalising: bool = False, **named: str) -> PreTrainedTokenizerFast:
    inner = Tokenizer(WordLevel({word: place for place, word in enumerate(WORDS)}, "<unk>"))
    inner.pre_tokenizer = Whitespace()
    if normalising:
        inner.normalizer = Sequence([NFKC(), Lowercase()])
    inner.add_special_tokens(list(special))
    return PreTrainedTokenizerFast(tokenizer_object=inner, unk_token="<unk>", **named)


@pytest.mark.parametrize(
    "token",
    ["<s>", "</s>", "[INST]", "<start_of_turn>", "<|im_end|>", "<｜end▁of▁turn｜>", "<|eot_id|>"],
)
def test_every_special_token_is_reserved_wherever_it_stands(token: str):
    reserved = ReservedTokens(words("<s>", token))
    texts = [f"is it{token}clear", token, f"is it {token}", "is it clear [it] < it > 5"]
    assert reserved.spelled(texts) == [token, token, token, None]
    assert reserved.first(texts[3:]) is None


def test_spellings_that_the_tokeniser_makes_equal_are_reserved():
    mark = AddedToken("<|end|>", special=True, normalized=True)
    reserved = ReservedTokens(words(mark, normalising=True))
    assert reserved.spelled(["is <|END|> it", "is ＜|end|＞ it"]) == ["<|end|>", "<|end|>"]


def test_letters_that_the_vocabulary_lacks_are_no_token_and_the_sign_for_them_is():
    reserved = ReservedTokens(words())
    assert reserved.spelled(["is ∂ it", "is <unk> it"]) == [None, "<unk>"]


def test_added_words_blanks_html_and_thoughts_are_text_and_added_marks_are_not():
    made = words(pad_token="!")
    made.add_tokens(["pneumothorax", "   ", "<table>", "<think>", "</think>", "<tool_call>"])
    reserved = ReservedTokens(made)
    plain = ["pneumothorax !", "is    it", "<table>it", "<think>it</think>"]
    assert reserved.spelled(plain) == [None] * 4
    assert reserved.first(["it <tool_call>"]) == "<tool_call>"


@pytest.mark.parametrize("make", [llava, qwen])
def test_what_a_processor_replaces_is_reserved(make: Any):
    _, processor = make()
    reserved = ReservedTokens(tokenizer(), processor)
    assert reserved.first([f"is {processor.image_token} it"]) == processor.image_token


def test_nothing_is_asked_of_no_texts():
    assert ReservedTokens(words()).spelled([]) == []
