"""Answer losses: those of a plain loop, of answer tokens alone, and asked for once."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer
from tokenizers.decoders import ByteLevel as Bytes
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from curation.scoring.answer_losses import IfdConfig, PerplexityConfig
from curation.scoring.language import (
    AnswerLosses,
    cut_into_items,
    read_exchange,
    round_to_digits,
)
from curation.scoring.scorer import ScoringContext
from medsift.models import EmbeddedModelConfig, TransformersModelConfig
from medsift.models.chat_format import ChatFormat, Tokens
from medsift.models.language_model import LanguageModel
from medsift.models.likelihood import AnswerHead, AnswerLikelihood, padded_length
from tests.curation.scoring.conftest import ContextMaker, PoolMaker
from tests.expect import raises_code

CHAT = (
    "{% for turn in messages %}<s>{{ turn['role'] }}: {{ turn['content'] }}</s>{% endfor %}"
    "{% if add_generation_prompt %}<s>assistant: {% endif %}"
)
WORDS = ["is", "there", "a", "small", "left", "pleural", "effusion", "on", "this", "film"]
Message = dict[str, str]
Context = Callable[..., ScoringContext]


def tokenizer(template: str | None = CHAT) -> PreTrainedTokenizerFast:
    """One token a byte."""
    alphabet = sorted(ByteLevel.alphabet())
    inner = Tokenizer(BPE({letter: place for place, letter in enumerate(alphabet)}, []))
    inner.pre_tokenizer = ByteLevel(add_prefix_space=False)
    inner.decoder = Bytes()
    inner.add_special_tokens(["<s>", "</s>"])
    found = PreTrainedTokenizerFast(tokenizer_object=inner, bos_token="<s>", eos_token="</s>")
    found.chat_template = template
    return found


def language(template: str | None = CHAT, seed: int = 0) -> LanguageModel:
    words = tokenizer(template)
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=len(words),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        max_position_embeddings=512,
        initializer_range=0.2,
        bos_token_id=words.bos_token_id,
        eos_token_id=words.eos_token_id,
    )
    return LanguageModel("tiny", LlamaForCausalLM(config).eval(), words, "cpu")


@pytest.fixture(scope="module")
def tiny() -> LanguageModel:
    return language()


@pytest.fixture(scope="module")
def saved(tiny: LanguageModel, tmp_path_factory: pytest.TempPathFactory) -> TransformersModelConfig:
    folder = tmp_path_factory.mktemp("tiny")
    tiny.model.save_pretrained(folder)
    tiny.tokenizer.save_pretrained(folder)
    return TransformersModelConfig(model=str(folder))


def sequences(model: LanguageModel, count: int, seed: int = 0) -> list[Tokens]:
    """Questions and answers of 1 to 60 words."""
    random = np.random.default_rng(seed)
    framing = ChatFormat(model.tokenizer)

    def said() -> str:
        return " ".join(random.choice(WORDS, random.integers(1, 30)))

    prompts = framing.prompts([[("user", said())] for _ in range(count)])
    answers = framing.answers(["no", *(said() for _ in range(count - 1))])
    pairs = zip(prompts, answers, strict=True)
    return [Tokens(prompt + answer, len(prompt)) for prompt, answer in pairs if prompt is not None]


def plain_loss(model: LanguageModel, one: Tokens) -> float:
    """The loss as any textbook has it: one sequence, no padding, whole logits."""
    ids = torch.tensor([one.ids])
    with torch.inference_mode():
        logits = model.model(input_ids=ids).logits[0]
    return float(torch.nn.functional.cross_entropy(logits[one.start - 1 : -1], ids[0, one.start :]))


@pytest.mark.parametrize("template", [CHAT, None], ids=["chat", "plain"])
def test_losses_are_those_of_a_plain_loop(template: str | None) -> None:
    model = language(template)
    asked = sequences(model, 30)
    wanted = [plain_loss(model, one) for one in asked]
    np.testing.assert_allclose(AnswerLikelihood(model).losses(asked), wanted, rtol=2e-5)


def test_batches_order_and_threads_do_not_move_a_bit(tiny: LanguageModel) -> None:
    asked = sequences(tiny, 40)
    wanted = AnswerLikelihood(tiny).losses(asked)
    for batch_tokens in (1, 300, 1 << 20):
        found = AnswerLikelihood(tiny, batch_tokens)
        np.testing.assert_array_equal(found.losses(asked), wanted)
        np.testing.assert_array_equal(found.losses(asked[::-1])[::-1], wanted)
        np.testing.assert_array_equal(found.losses(asked[:3]), wanted[:3])
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        np.testing.assert_array_equal(AnswerLikelihood(tiny).losses(asked), wanted)
    finally:
        torch.set_num_threads(threads)


def test_scorers_that_share_a_model_leave_it_as_it_was() -> None:
    """A hook that stays would pile up with every scorer, and cut the logits of other users."""
    model = language()
    asked = sequences(model, 6)
    ids = {"input_ids": torch.tensor([asked[0].ids])}
    with torch.inference_mode():
        before = model.model(**ids).logits
    for _ in range(3):
        AnswerLikelihood(model).losses(asked)
    assert not any(module._forward_pre_hooks for module in model.model.modules())
    with torch.inference_mode():
        torch.testing.assert_close(model.model(**ids).logits, before, rtol=0, atol=0)


def test_a_failed_pass_leaves_no_hook_behind() -> None:
    model = language()
    head = AnswerHead(model.model)
    with pytest.raises(IndexError):
        head.losses({"input_ids": torch.full((1, 4), len(model.tokenizer))}, [(1, 4)])
    assert not model.model.get_output_embeddings()._forward_pre_hooks


def test_only_answer_tokens_count() -> None:
    model = language()
    with torch.no_grad():
        model.model.get_output_embeddings().weight.zero_()
    uniform = AnswerLikelihood(model).losses(sequences(model, 5))
    np.testing.assert_allclose(uniform, math.log(len(model.tokenizer)), rtol=1e-6)
    one = Tokens([5, 6, 7, 8, 9], 3)
    likelihood = AnswerLikelihood(language())
    parts = likelihood.losses([Tokens(one.ids[:4], 3), Tokens(one.ids, 4), one])
    assert parts[2] == pytest.approx(parts[:2].mean(), rel=1e-5)


def test_an_answer_without_tokens_has_no_loss(tiny: LanguageModel) -> None:
    found = AnswerLikelihood(tiny).losses([Tokens([1, 2], 2), Tokens([1, 2, 3], 2)])
    assert np.isnan(found).tolist() == [True, False]
    assert len(AnswerLikelihood(tiny).losses([])) == 0


def test_lengths_are_padded_little_and_by_themselves() -> None:
    lengths = np.arange(1, 5000)
    padded = np.array([padded_length(int(length)) for length in lengths])
    assert (padded >= lengths).all()
    assert (np.diff(padded) >= 0).all()
    assert (padded <= np.maximum(lengths * 1.13, lengths + 7)).all()


def test_an_answer_is_the_same_tokens_with_and_without_its_question(tiny: LanguageModel) -> None:
    framing = ChatFormat(tiny.tokenizer)
    [prompt] = framing.prompts([[("user", "why?")]])
    assert prompt is not None
    assert tiny.tokenizer.decode(prompt) == "<s>user: why?</s><s>assistant: "
    assert tiny.tokenizer.decode(framing.opening) == "<s>assistant: "
    plain = ChatFormat(tokenizer(None))
    [prompt] = plain.prompts([[("user", "why?")]])
    assert plain.tokenizer.decode(prompt) == "<s>Question: why?\nAnswer:"
    assert plain.tokenizer.decode(plain.opening) == "<s>Answer:"
    assert plain.tokenizer.decode(plain.answers(["no"])[0]) == " no"


def test_a_beginning_that_the_template_sets_once_also_opens_a_lone_answer() -> None:
    once = "{{ '<s>' }}" + CHAT.replace("<s>", "")
    framing = ChatFormat(tokenizer(once))
    assert framing.tokenizer.decode(framing.opening) == "<s>assistant: "


def test_what_a_template_refuses_has_no_prompt() -> None:
    strict = "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no') }}{% endif %}" + CHAT
    framing = ChatFormat(tokenizer(strict))
    found = framing.prompts([[("system", "be brief"), ("user", "why?")], [("user", "why?")]])
    assert found[0] is None
    assert found[1] is not None


def chat(question: str | None, answer: str | None) -> list[Message]:
    turns = [("user", question), ("assistant", answer)]
    return [{"role": role, "content": words} for role, words in turns if words is not None]


@pytest.fixture
def context(make_pool: PoolMaker, make_context: ContextMaker, tmp_path: Path) -> Context:
    def make(conversations: Sequence[list[Message]], folder: str, **fields: Any) -> ScoringContext:
        pool = make_pool([{"messages": messages} for messages in conversations])
        return make_context(pool, folder=tmp_path / folder, **fields)

    return make


def losses(asked: ScoringContext, model: TransformersModelConfig, tokens: int) -> AnswerLosses:
    return IfdConfig(model=model, max_tokens=tokens).losses(asked)


def conversations(count: int, seed: int = 1) -> list[list[Message]]:
    random = np.random.default_rng(seed)
    spoken = [[" ".join(random.choice(WORDS, 6)) for _ in range(2)] for _ in range(count)]
    return [chat(question, answer) for question, answer in spoken]


def test_order_duplicates_and_a_filled_cache_do_not_matter(
    saved: TransformersModelConfig, context: Context
) -> None:
    spoken = conversations(12)
    spoken += spoken[:2]
    wanted = losses(context(spoken, "a"), saved, 256)
    order = np.random.default_rng(0).permutation(len(spoken))
    mixed = [spoken[place] for place in order]
    for name, cache in (("b", "cache"), ("c", "new")):
        folder = context(mixed, name).cache.with_name(cache)
        found = losses(context(mixed, name, cache=folder), saved, 256)
        np.testing.assert_array_equal(found.conditioned, wanted.conditioned[order])
        np.testing.assert_array_equal(found.direct, wanted.direct[order])
    assert wanted.direct[0] == wanted.direct[12]


def test_two_scorers_ask_the_model_once_and_a_new_batch_asks_for_what_is_new(
    saved: TransformersModelConfig, context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    real = AnswerLikelihood.losses

    def counted(self: AnswerLikelihood, given: Sequence[Tokens]) -> Any:
        asked.append(len(given))
        return real(self, given)

    monkeypatch.setattr(AnswerLikelihood, "losses", counted)
    spoken = conversations(8)
    ifd = IfdConfig(model=saved).score(context(spoken[:6], "ifd"))
    perplexity = PerplexityConfig(model=saved).score(context(spoken[:6], "perplexity"))
    assert asked == [12]
    assert np.isfinite(ifd).all()
    assert (perplexity > 1).all()
    IfdConfig(model=saved).score(context(spoken, "more"))
    assert asked == [12, 4]


def test_a_finished_folder_is_not_scored_again(
    saved: TransformersModelConfig, context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    spoken = conversations(5)
    wanted = losses(context(spoken, "a"), saved, 256)
    monkeypatch.setattr(AnswerLikelihood, "losses", lambda self, given: pytest.fail("asked again"))
    found = losses(context(spoken, "a", cache=Path("elsewhere")), saved, 256)
    np.testing.assert_array_equal(found.conditioned, wanted.conditioned)


def test_what_cannot_be_asked_has_no_value(
    saved: TransformersModelConfig, context: Context
) -> None:
    spoken = [
        chat("is it?", "no"),
        chat("is it?", None),
        chat("is it?", "  "),
        chat(None, "no"),
        chat("<image>", "no"),
        chat("why? " * 60, "no"),
    ]
    found = losses(context(spoken, "a"), saved, 64)
    assert np.isnan(found.conditioned).tolist() == [False, True, True, True, True, True]
    assert np.isnan(found.direct).tolist() == [False, True, True, True, True, True]


@pytest.mark.parametrize(
    ("question", "answer"),
    [("is it</s><s>assistant: no?", "no"), ("is it?", "no</s>"), ("is <s>", "no"), ("?", "[<s>]")],
)
def test_texts_that_spell_a_token_of_the_model_have_no_value_and_move_no_other(
    saved: TransformersModelConfig, context: Context, caplog: Any, question: str, answer: str
) -> None:
    fine = conversations(3)
    wanted = losses(context(fine, "a"), saved, 256)
    found = losses(context([*fine, chat(question, answer)], "b"), saved, 256)
    for values, others in ((found.conditioned, wanted.conditioned), (found.direct, wanted.direct)):
        np.testing.assert_array_equal(values, [*others, np.nan])
    assert "null for 1 of 4" in caplog.text


def test_a_long_answer_is_judged_by_its_beginning(
    saved: TransformersModelConfig, context: Context
) -> None:
    [prompt] = ChatFormat(tokenizer()).prompts([[("user", "why?")]])
    assert prompt is not None
    room = 128 - len(prompt)
    answer = "because it is so " * 20
    spoken = [chat("why?", answer[:length]) for length in (room, room + 1, len(answer) - 1)]
    found = losses(context(spoken, "a"), saved, 128)
    assert len(set(found.conditioned.tolist())) == 1
    shorter = losses(context([chat("why?", answer[: room - 1])], "b"), saved, 128)
    assert shorter.conditioned[0] != found.conditioned[0]


def test_the_last_answer_is_asked_after_all_turns_before_it() -> None:
    messages = [*chat("one <image>", "two"), *chat("three", "four"), *chat("unanswered", None)]
    found = read_exchange(messages)
    assert found is not None
    assert found.turns == (("user", "one"), ("assistant", "two"), ("user", "three"))
    assert found.answer == "four"
    assert read_exchange(messages[2:]) != found


def test_work_is_cut_into_items_of_like_cost_whatever_the_order() -> None:
    made = [read_exchange(one) for one in conversations(3000)]
    exchanges = {one.content_id: one for one in made if one is not None}
    items = cut_into_items(exchanges)
    assert cut_into_items(dict(reversed(exchanges.items()))) == items
    assert sorted(one.content_id for item in items for one in item) == sorted(exchanges)
    costs = [sum(one.characters for one in item) for item in items]
    assert len(items) > 3
    assert max(costs[:-1]) < 1.01 * min(costs[:-1])


def test_five_digits_are_kept() -> None:
    found = round_to_digits(np.array([1.2345678, 0.000123456789, 12345.678, np.nan, 0.0]))
    np.testing.assert_array_equal(found, [1.2346, 0.00012346, 12346.0, np.nan, 0.0])


def test_identity_is_of_the_model_and_the_length_not_of_batches(
    saved: TransformersModelConfig,
) -> None:
    one = IfdConfig(model=saved).fingerprint()
    assert IfdConfig(model=saved, batch_tokens=64).fingerprint() == one
    assert IfdConfig(model=saved, max_tokens=64).fingerprint() != one
    assert IfdConfig(model=EmbeddedModelConfig()).fingerprint() != one
    assert PerplexityConfig(model=saved).fingerprint() != one


def test_a_model_that_cannot_be_had_is_refused_before_anything_runs(tmp_path: Path) -> None:
    nowhere = TransformersModelConfig(model=str(tmp_path / "nowhere"))
    with raises_code("model_unloadable"):
        IfdConfig(model=nowhere).fingerprint()
