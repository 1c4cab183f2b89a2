"""Small real language models with random weights, and what makes their replies fit for tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from medsift.models import TransformersModelConfig
from tests.vision_models import TEXT, tokenizer

END = "<|end|>"
CHAT = (
    "{% for turn in messages %}<s>{{ turn['role'] }}: {{ turn['content'] }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<s>assistant: {% endif %}"
)
PRINTED = range(33, 127)


def causal(template: str | None = CHAT, seed: int = 0, **shape: Any) -> tuple[Any, Any]:
    """A model and a tokenizer of one token a byte, whose turns end with a token of their own."""
    torch.manual_seed(seed)
    words = tokenizer("<image>", END)
    words.chat_template = template
    config = LlamaConfig(vocab_size=len(words), **{**TEXT, **shape})
    model = LlamaForCausalLM(config).eval()
    end = words.convert_tokens_to_ids(END if template else "</s>")
    write_letters(model, words, end)
    with torch.no_grad():
        model.get_output_embeddings().weight[end] *= 1.5
    return model, words


def write_letters(model: Any, words: Any, *ends: int) -> None:
    """Nothing is written but printed letters and ends: texts tell tokens apart."""
    letters = {words.convert_tokens_to_ids(chr(code)) for code in PRINTED}
    others = sorted(set(range(len(words))) - letters - {*ends})
    model.generation_config.suppress_tokens = others


def saved_causal(made: tuple[Any, Any], folder: Path) -> TransformersModelConfig:
    for part in made:
        part.save_pretrained(folder)
    return TransformersModelConfig(model=str(folder))


def saved_adapter(
    model: Any, folder: Path, base: str | None, seed: int = 0, **settings: Any
) -> Path:
    """A LoRA adapter with random weights, saved; the model itself is spoiled by it."""
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(seed)
    layers = {"target_modules": ["q_proj", "v_proj"], "init_lora_weights": False}
    adapted = get_peft_model(model, LoraConfig(r=2, **layers, **settings))
    with torch.no_grad():
        for name, weights in adapted.named_parameters():
            if "modules_to_save" in name:
                weights.normal_(std=0.2)
    adapted.peft_config["default"].base_model_name_or_path = base
    adapted.save_pretrained(folder, save_embedding_layers=False)
    return folder
