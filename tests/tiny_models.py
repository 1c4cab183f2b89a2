"""Build small real models with random weights: language, and three vision-language families."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from tokenizers import Tokenizer
from tokenizers.decoders import ByteLevel as Bytes
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel
from transformers import (
    CLIPImageProcessor,
    CLIPVisionConfig,
    Idefics3Config,
    Idefics3ForConditionalGeneration,
    Idefics3ImageProcessor,
    Idefics3Processor,
    LlamaConfig,
    LlamaForCausalLM,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
    PreTrainedTokenizerFast,
    Qwen2VLConfig,
    Qwen2VLForConditionalGeneration,
    Qwen2VLImageProcessor,
    Qwen2VLProcessor,
    Qwen2VLVideoProcessor,
)

from medsift.models import ImageTextModelConfig, TransformersModelConfig

PICTURE_CHAT = (
    "{% for turn in messages %}<s>{{ turn['role'] }}: {% for part in turn['content'] %}"
    "{{ 'MARK' if part['type'] == 'image' else part['text'] }}{% endfor %}</s>{% endfor %}"
    "{% if add_generation_prompt %}<s>assistant: {% endif %}"
)
TEXT: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "max_position_embeddings": 1024,
    "initializer_range": 0.2,
    "bos_token_id": 0,
    "eos_token_id": 1,
}
VISION: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "image_size": 16,
    "patch_size": 8,
}


def tokenizer(mark: str = "<image>", *further: str) -> PreTrainedTokenizerFast:
    """One token a byte."""
    special = ["<s>", "</s>", "<pad>", mark, *further]
    alphabet = [*special, *sorted(ByteLevel.alphabet())]
    inner = Tokenizer(BPE({letter: place for place, letter in enumerate(alphabet)}, []))
    inner.pre_tokenizer = ByteLevel(add_prefix_space=False)
    inner.decoder = Bytes()
    inner.add_special_tokens(special)
    return PreTrainedTokenizerFast(
        tokenizer_object=inner,
        bos_token="<s>",
        eos_token="</s>",
        pad_token="<pad>",
        extra_special_tokens={"image_token": mark},
    )


def llava(template: str | None = PICTURE_CHAT) -> tuple[Any, Any]:
    """A fixed number of tokens a picture."""
    words = tokenizer()
    size = {"height": 16, "width": 16}
    processor = LlavaProcessor(
        CLIPImageProcessor(size={"shortest_edge": 16}, crop_size=size),
        words,
        patch_size=8,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=template and template.replace("MARK", "<image>"),
    )
    config = LlavaConfig(
        vision_config=CLIPVisionConfig(**VISION),
        text_config=LlamaConfig(vocab_size=len(words), **TEXT),
        image_token_index=words.convert_tokens_to_ids("<image>"),
        vision_feature_layer=-1,
    )
    return LlavaForConditionalGeneration(config), processor


def idefics() -> tuple[Any, Any]:
    """Pictures are cut into tiles, each with its tokens."""
    tiles = [f"<row_{row}_col_{column}>" for row in range(1, 7) for column in range(1, 7)]
    words = tokenizer(
        "<image>", "<fake_token_around_image>", "<end_of_utterance>", "<global-img>", *tiles
    )
    pictures = Idefics3ImageProcessor(
        size={"longest_edge": 32}, max_image_size={"longest_edge": 16}, do_image_splitting=True
    )
    template = PICTURE_CHAT.replace("MARK", "<image>")
    processor = Idefics3Processor(pictures, words, image_seq_len=1, chat_template=template)
    config = Idefics3Config(
        vision_config=VISION,
        text_config={"model_type": "llama", "vocab_size": len(words), **TEXT},
        image_token_id=words.convert_tokens_to_ids("<image>"),
        scale_factor=2,
        pad_token_id=words.pad_token_id,
    )
    return Idefics3ForConditionalGeneration(config), processor


def qwen() -> tuple[Any, Any]:
    """As many tokens as a picture's size asks for, at places in two dimensions."""
    names = ("<|image_pad|>", "<|video_pad|>", "<|vision_start|>", "<|vision_end|>")
    words = tokenizer(*names)
    pad, video, start, end = words.convert_tokens_to_ids(list(names))
    pictures = Qwen2VLImageProcessor(
        min_pixels=28 * 28, max_pixels=56 * 56, patch_size=14, merge_size=2
    )
    template = PICTURE_CHAT.replace("MARK", "<|vision_start|><|image_pad|><|vision_end|>")
    processor = Qwen2VLProcessor(pictures, words, Qwen2VLVideoProcessor(), chat_template=template)
    rotary = {"rope_type": "default", "mrope_section": [2, 3, 3], "rope_theta": 10_000.0}
    config = Qwen2VLConfig(
        text_config={"vocab_size": len(words), "rope_parameters": rotary, **TEXT},
        vision_config={
            "depth": 2,
            "embed_dim": 32,
            "hidden_size": 32,
            "num_heads": 2,
            "mlp_ratio": 2,
            "patch_size": 14,
            "spatial_merge_size": 2,
        },
        image_token_id=pad,
        video_token_id=video,
        vision_start_token_id=start,
        vision_end_token_id=end,
    )
    return Qwen2VLForConditionalGeneration(config), processor


Make = Callable[[], tuple[Any, Any]]


def saved(made: tuple[Any, Any], folder: Path) -> ImageTextModelConfig:
    for part in made:
        part.save_pretrained(folder)
    return ImageTextModelConfig(model=str(folder))


def seeded(make: Make) -> tuple[Any, Any]:
    torch.manual_seed(0)
    return make()


def picture(seed: int, width: int = 40, height: int = 28) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3))
    return Image.fromarray(pixels.astype(np.uint8))


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
