"""IFD and perplexity: 1 where a question cannot help, small where it decides, right by hand."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from curation.scoring.answer_losses import IfdConfig, PerplexityConfig, difficulty
from curation.scoring.language import AnswerLosses
from medsift.arrays import Doubles
from medsift.models import TransformersModelConfig
from tests.curation.scoring.conftest import ContextMaker, PoolMaker

QUESTIONS = [f"q{number}" for number in range(8)]
ANSWERS = [f"a{number}" for number in range(8)]
VOCABULARY = ["<s>", "Question:", "Answer:", *QUESTIONS, *ANSWERS]
Pairs = list[tuple[str, str]]
Scored = Callable[[IfdConfig | PerplexityConfig, Pairs], Doubles]


def tiny_model() -> LlamaForCausalLM:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(VOCABULARY),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        max_position_embeddings=64,
        initializer_range=0.2,
        bos_token_id=0,
        eos_token_id=0,
    )
    return LlamaForCausalLM(config)


def save(model: LlamaForCausalLM, folder: Path) -> TransformersModelConfig:
    inner = Tokenizer(WordLevel({word: place for place, word in enumerate(VOCABULARY)}, "<s>"))
    inner.pre_tokenizer = WhitespaceSplit()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=inner, bos_token="<s>", unk_token="<s>")
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return TransformersModelConfig(model=str(folder))


@pytest.fixture(scope="module")
def taught(tmp_path_factory: pytest.TempPathFactory) -> TransformersModelConfig:
    """Knows that question i is answered by answer i, and that all answers are as frequent."""
    model = tiny_model()
    ids = {word: place for place, word in enumerate(VOCABULARY)}
    asked = [
        [ids[word] for word in ("<s>", "Question:", question, "Answer:", answer)]
        for question, answer in zip(QUESTIONS, ANSWERS, strict=True)
    ]
    alone = [[ids[word] for word in ("<s>", "Answer:", answer)] for answer in ANSWERS]
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    for _ in range(60):
        losses = [
            torch.nn.functional.cross_entropy(
                model(input_ids=torch.tensor(batch)).logits[:, -2], torch.tensor(batch)[:, -1]
            )
            for batch in (asked, alone)
        ]
        optimizer.zero_grad()
        sum(losses).backward()  # type: ignore[union-attr]
        optimizer.step()
    return save(model, tmp_path_factory.mktemp("taught"))


@pytest.fixture
def score(make_pool: PoolMaker, make_context: ContextMaker, tmp_path: Path) -> Scored:
    """Score questions and answers."""

    def scored(config: IfdConfig | PerplexityConfig, pairs: Pairs) -> Doubles:
        lines = [
            {"messages": [{"role": "user", "content": q}, {"role": "assistant", "content": a}]}
            for q, a in pairs
        ]
        return config.score(make_context(make_pool(lines), folder=tmp_path / config.kind))

    return scored


def test_a_question_that_decides_gives_a_small_ifd_and_a_wrong_one_a_large(
    taught: TransformersModelConfig, score: Scored
) -> None:
    right = list(zip(QUESTIONS, ANSWERS, strict=True))
    wrong = list(zip(QUESTIONS, ANSWERS[1:] + ANSWERS[:1], strict=True))
    ifd = score(IfdConfig(model=taught), right + wrong)
    perplexity = score(PerplexityConfig(model=taught), right + wrong)
    assert (ifd[:8] < 0.2).all()
    assert (ifd[8:] > 1.0).all()
    assert (perplexity[:8] < 1.5).all()
    assert (perplexity[8:] > 8.0).all()
    # Alone, each of the eight answers has probability 1/8, so that both scores give it back.
    np.testing.assert_allclose(np.log(perplexity) / ifd, np.log(8), rtol=0.1)


def test_a_model_that_looks_at_nothing_but_the_last_token_finds_no_help(
    score: Scored, tmp_path: Path
) -> None:
    model = tiny_model()
    with torch.no_grad():
        for layer in model.model.layers:
            layer.self_attn.o_proj.weight.zero_()
    pairs = [(question, f"{ANSWERS[0]} {question} {ANSWERS[3]}") for question in QUESTIONS]
    ifd = score(IfdConfig(model=save(model, tmp_path / "model")), pairs)
    np.testing.assert_allclose(ifd, 1.0, rtol=1e-4)


def test_ratio_by_hand() -> None:
    losses = AnswerLosses(np.array([1.0, 3.0, np.nan, 0.5]), np.array([2.0, 2.0, 1.0, 0.0]))
    np.testing.assert_array_equal(difficulty(losses), [0.5, 1.5, np.nan, np.nan])


@pytest.mark.nightly
@pytest.mark.slow
def test_real_answers_are_likelier_after_their_own_questions(
    medical_text: Path, score: Scored
) -> None:
    """The embedded model on MedQuAD: each answer after its question, and after another's."""
    with gzip.open(medical_text / "medquad_answered.jsonl.gz", "rt", encoding="utf-8") as file:
        lines = [json.loads(line) for line in islice(file, 0, 12_000, 1_000)]
    right = [(str(line["question"]), str(line["answer"])) for line in lines]
    wrong = [(right[place - 1][0], answer) for place, (_, answer) in enumerate(right)]
    ifd = score(IfdConfig(max_tokens=64), right + wrong)
    assert (ifd < 2).all()
    own, others = np.split(ifd, 2)
    assert (own < others).mean() > 0.9
