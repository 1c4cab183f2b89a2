"""Neurons of models of several designs, against plain hooks on whole passes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers

from medsift.models.answer_neurons import AnswerNeurons
from medsift.models.image_text import Illustrated
from medsift.models.neurons import FeedForwardNeurons
from tests.expect import raises_code
from tests.tiny_models import (
    Make,
    causal,
    idefics,
    llava,
    picture,
    qwen,
    saved,
    saved_causal,
    seeded,
)

SHAPE = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "vocab_size": 50,
    "pad_token_id": 0,
    "bos_token_id": 0,
    "eos_token_id": 1,
}
WIDE_HEADS = SHAPE | {"head_dim": 128}
GPT2 = {"n_embd": 32, "n_layer": 3, "n_head": 2, "vocab_size": 50}
OPT = SHAPE | {"ffn_dim": 64, "word_embed_proj_dim": 32}


def made(family: str, settings: dict[str, Any]) -> Any:
    """A small model of a family of transformers."""
    torch.manual_seed(0)
    config = getattr(transformers, f"{family}Config")(**settings)
    kind = getattr(transformers, f"{family.replace('Text', '')}ForCausalLM", None)
    return (kind or transformers.GPT2LMHeadModel)(config).eval()


@pytest.mark.parametrize(
    ("family", "settings", "projection"),
    [
        ("Llama", SHAPE, "model.layers.{}.mlp.down_proj"),
        ("Qwen2", SHAPE, "model.layers.{}.mlp.down_proj"),
        ("Phi3", SHAPE, "model.layers.{}.mlp.down_proj"),
        ("Gemma3Text", WIDE_HEADS, "model.layers.{}.mlp.down_proj"),
        ("GPTNeoX", SHAPE, "gpt_neox.layers.{}.mlp.dense_4h_to_h"),
        ("GPT2", GPT2, "transformer.h.{}.mlp.c_proj"),
        ("OPT", OPT, "model.decoder.layers.{}.fc2"),
    ],
)
@pytest.mark.parametrize(("depth", "layer"), [(0.0, 0), (0.5, 1), (1.0, 2)])
def test_a_reading_is_that_of_a_plain_hook_on_the_whole_pass(
    family: str, settings: dict[str, Any], projection: str, depth: float, layer: int
) -> None:
    model = made(family, settings)
    seen: list[torch.Tensor] = []
    module = model.get_submodule(projection.format(layer))
    hook = module.register_forward_pre_hook(lambda _, arguments: seen.append(arguments[0]))
    ids = {"input_ids": torch.arange(7)[None] + 2}
    with torch.inference_mode():
        whole = model(**ids).logits
    hook.remove()
    wanted = np.abs(seen[0].reshape(7, -1)[3:6].numpy()).mean(axis=0)
    found = FeedForwardNeurons(model, depth).read(ids, 3, 6)
    np.testing.assert_allclose(found, wanted, rtol=1e-5)
    with torch.inference_mode():
        torch.testing.assert_close(model(**ids).logits, whole)


def test_later_layers_are_not_computed() -> None:
    model = made("Llama", SHAPE)
    passed: list[int] = []
    for number, layer in enumerate(model.model.layers):
        layer.register_forward_hook(lambda *_, number=number: passed.append(number))
    FeedForwardNeurons(model, 0.5).read({"input_ids": torch.arange(5)[None]}, 2, 4)
    assert passed == [0]


@pytest.mark.parametrize(
    ("family", "settings"),
    [
        ("Mixtral", SHAPE | {"num_local_experts": 2}),
        ("Mamba", {"hidden_size": 32, "num_hidden_layers": 2, "vocab_size": 50, "state_size": 4}),
    ],
)
def test_a_model_without_neurons_that_every_token_passes_is_refused(
    family: str, settings: dict[str, Any]
) -> None:
    model = made(family, settings)
    with raises_code("model_unsuitable", model=f"{family}ForCausalLM"):
        FeedForwardNeurons(model, 0.5)


def samples() -> list[Illustrated]:
    """One picture, two, none, several turns."""
    return [
        Illustrated([("user", "<image>what is it?")], "a lung", [picture(0)]),
        Illustrated(
            [("user", "<image> or <image>?"), ("assistant", "yes"), ("user", "sure?")],
            "the second is larger",
            [picture(1), picture(2, 30, 60)],
        ),
        Illustrated([("user", "why?")], "no", []),
    ]


def plain_reading(model: Any, inputs: dict[str, Any], tokens: int) -> np.ndarray:
    """The mean size over the last tokens of what the last layer's projection is given."""
    seen: list[torch.Tensor] = []
    module = model.get_decoder().layers[1].mlp.down_proj
    hook = module.register_forward_pre_hook(lambda _, arguments: seen.append(arguments[0]))
    with torch.inference_mode():
        model.eval()(**inputs)
    hook.remove()
    return np.asarray(seen[0][0, -tokens:].abs().mean(dim=0).numpy())


@pytest.mark.parametrize("make", [llava, idefics, qwen])
def test_readings_of_answers_are_those_of_a_plain_loop_in_any_order(
    make: Make, tmp_path: Path
) -> None:
    model, processor = seeded(make)
    wanted = []
    for sample in samples():
        turns = []
        for role, content in sample.turns:
            pieces = content.split("<image>")
            parts = [{"type": "text", "text": pieces[0].strip()}]
            for piece in pieces[1:]:
                parts += [{"type": "image"}, {"type": "text", "text": piece.strip()}]
            turns.append({"role": role, "content": parts})
        prompt = processor.apply_chat_template(turns, add_generation_prompt=True, tokenize=False)
        given = {"text": [prompt + sample.answer], "return_tensors": "pt"}
        shown = {"images": [list(sample.pictures)]} if sample.pictures else {}
        inputs = processor(**given, **shown, add_special_tokens=False)
        wanted.append(plain_reading(model, dict(inputs), len(sample.answer)))
    reader = AnswerNeurons(saved((model, processor), tmp_path / "model").build(), 1.0, 64)
    found = reader.activations(samples())
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-6)
    np.testing.assert_array_equal(reader.activations(samples()[::-1])[::-1], found)
    np.testing.assert_array_equal(reader.activations(samples()[1:2]), found[1:2])


def test_a_language_model_reads_the_words_alone(tmp_path: Path) -> None:
    loaded = saved_causal(causal(), tmp_path / "model").build()
    reader = AnswerNeurons(loaded, 1.0, 64)
    seen = Illustrated([("user", "<image>what is it?")], "a lung", [picture(0)])
    unseen = Illustrated([("user", "what is it?")], "a lung", [])
    found = reader.activations([seen, unseen])
    prompt = loaded.tokenizer.apply_chat_template(
        [{"role": "user", "content": "what is it?"}], add_generation_prompt=True, tokenize=False
    )
    ids = loaded.tokenizer(prompt + "a lung", add_special_tokens=False, return_tensors="pt")
    wanted = plain_reading(loaded.model, {"input_ids": ids["input_ids"]}, len("a lung"))
    np.testing.assert_allclose(found, [wanted, wanted], rtol=1e-4)


@pytest.mark.parametrize(
    "load",
    [
        lambda folder: saved(seeded(llava), folder).build(),
        lambda folder: saved_causal(causal(), folder).build(),
    ],
)
def test_what_the_model_cannot_read_is_zero_and_moves_no_other(
    load: Callable[[Path], Any], tmp_path: Path
) -> None:
    reader = AnswerNeurons(load(tmp_path / "model"), 0.0, 64)
    fine = Illustrated([("user", "why?")], "no", [])
    odd = [fine._replace(answer="no</s>"), fine._replace(answer="")]
    found = reader.activations([odd[0], fine, odd[1]])
    assert found.any(axis=1).tolist() == [False, True, False]
    np.testing.assert_array_equal(found[1:2], reader.activations([fine]))


def test_a_long_answer_is_read_by_its_beginning(tmp_path: Path) -> None:
    loaded = saved(seeded(llava), tmp_path / "model").build()
    long = samples()[0]._replace(answer="a lung, left and right")
    short = long._replace(answer="a lung")
    reader = AnswerNeurons(loaded, 0.5, 6)
    np.testing.assert_array_equal(reader.activations([long]), reader.activations([short]))
