"""Candidates are weighed by the first tokens of their spellings."""

from __future__ import annotations

import math

import pytest
import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Metaspace
from transformers import PreTrainedTokenizerFast

from medsift.models.generation.first_token_probs import Candidates, spellings
from tests.tiny_models import tokenizer

VOCABULARY = ["?", "yes", "▁yes", "Yes", "▁Yes", "no", "▁no", "No", "▁No", "▁a", "▁A", "▁B", "▁"]


def words() -> PreTrainedTokenizerFast:
    """Whole words, with the space before them or without."""
    inner = Tokenizer(WordLevel({word: place for place, word in enumerate(VOCABULARY)}, "?"))
    inner.pre_tokenizer = Metaspace(prepend_scheme="never")
    return PreTrainedTokenizerFast(tokenizer_object=inner)


def test_the_mass_of_all_spellings_is_shared_out() -> None:
    logits = torch.arange(len(VOCABULARY)) / 3
    mass = {word: math.exp(place / 3) for place, word in enumerate(VOCABULARY)}
    yes = sum(mass[word] for word in ("yes", "▁yes", "Yes", "▁Yes"))
    no = sum(mass[word] for word in ("no", "▁no", "No", "▁No"))
    found = Candidates(words()).weigh(logits, ("yes", "no"))
    assert found == pytest.approx((yes / (yes + no), no / (yes + no)))


def test_a_letter_is_no_article_and_the_order_is_that_of_the_candidates() -> None:
    logits = torch.zeros(300)
    bytes_ = tokenizer()
    a, b, article = bytes_.convert_tokens_to_ids(["A", "B", "a"])
    logits[a], logits[article] = 2.0, 50.0
    candidates = Candidates(bytes_)
    share = math.exp(2) / (math.exp(2) + 1)
    assert candidates.weigh(logits, ("A", "B")) == pytest.approx((share, 1 - share))
    assert candidates.weigh(logits, ("B", "A")) == pytest.approx((1 - share, share))
    assert b != article
    assert spellings("A") == ["A", " A"]
    assert set(spellings("no")) == {"no", " no", "No", " No"}


def test_candidates_that_share_a_first_token_are_not_weighed() -> None:
    candidates = Candidates(tokenizer())
    logits = torch.zeros(300)
    assert candidates.weigh(logits, ("yes", "yellow")) is None
    assert candidates.weigh(logits, ("A", "A")) is None
    assert candidates.weigh(logits, ()) is None
    assert candidates.weigh(logits, ("yes", "no")) == (0.5, 0.5)


def test_huge_logits_do_not_overflow() -> None:
    logits = torch.zeros(300)
    bytes_ = tokenizer()
    logits[bytes_.convert_tokens_to_ids("A")] = 1e4
    assert Candidates(bytes_).weigh(logits, ("A", "B")) == (1.0, 0.0)
