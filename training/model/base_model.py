"""The model that a training starts from: loaded for training, with what feeds it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal

from pydantic import Field

from medsift.errors import ModelError, UsageError
from medsift.models import EmbeddedModelConfig, ImageTextModel, LanguageModel
from medsift.models.chat_format import ChatFormat
from medsift.models.embedded_vlm import EmbeddedImageTextModelConfig
from medsift.models.image_text import ImageTextPrompts
from medsift.models.language_model import UNBOUNDED, Precision, best_device
from medsift.models.pretrained import PretrainedConfig

NO_GPU: Final = (
    "this machine has no GPU that torch sees; train where there is one, or leave out {setting}"
)


class PretrainedBase(PretrainedConfig):
    """A transformers model: one that sees pictures where its kind does, else a causal one."""

    attention: Literal["auto", "eager", "sdpa", "flash_attention_2"] = "auto"
    """Attention kernel; `auto` is the model's own choice. Not part of the identity."""

    def build(self, quantised: bool = False) -> ImageTextModel | LanguageModel:
        """Load the model, its frozen weights in 4 bits if `quantised`. Raises ModelError."""
        from transformers import (
            AutoModelForCausalLM,
            AutoModelForImageTextToText,
            AutoProcessor,
            AutoTokenizer,
        )

        further: dict[str, Any] = {}
        if self.attention != "auto":
            further["attn_implementation"] = self.attention
        if quantised:
            further |= _four_bits()
        if self.sees():
            model_class = AutoModelForImageTextToText
            model, processor, device = self._load(model_class, AutoProcessor, **further)
            return ImageTextModel(self.model, model, processor, device)
        model, tokenizer, device = self._load(AutoModelForCausalLM, AutoTokenizer, **further)
        return LanguageModel(self.model, model, tokenizer, device)

    def sees(self) -> bool:
        """Whether transformers knows it as a model of pictures and text. Raises ModelError."""
        from transformers import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING

        return type(self.architecture()) in MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING


AnyBase = Annotated[
    EmbeddedModelConfig | EmbeddedImageTextModelConfig | PretrainedBase,
    Field(discriminator="kind"),
]


@dataclass(frozen=True, slots=True)
class Base:
    """A loaded model. `processor` is None for one that sees no pictures.

    `chat` puts turns into the model's template (see `ChatFormat.chat`).
    """

    name: str
    model: Any
    tokenizer: Any
    processor: Any
    chat: ChatFormat | ImageTextPrompts
    device: str

    @property
    def context(self) -> int:
        """Most tokens of a sequence; `UNBOUNDED` where the model names no limit."""
        config = self.model.config.get_text_config()
        return int(getattr(config, "max_position_embeddings", None) or UNBOUNDED)


def load_base(config: AnyBase, precision: Precision, full: bool, quantised: bool = False) -> Base:
    """Load a base whose frozen weights are held in `precision`, those that learn in float32.

    Raises ModelError where it cannot be loaded or has no chat template, UsageError for 4 bits
    without a GPU.
    """
    if quantised and best_device() == "cpu":
        raise UsageError(f"lora.quantise: {NO_GPU.format(setting='it')}", code="gpu_missing")
    held: Precision = "float32" if full else arithmetic(precision)
    placed = config.model_copy(update={"dtype": held})
    loaded = placed.build(quantised) if isinstance(placed, PretrainedBase) else placed.build()
    return _base(loaded)


def arithmetic(precision: Precision) -> Literal["float32", "bfloat16"]:
    """What `auto` means here: bfloat16 on a GPU that has it, else float32."""
    import torch

    if precision != "auto":
        return precision
    able = torch.cuda.is_available() and torch.cuda.is_bf16_supported()
    return "bfloat16" if able else "float32"


def _base(loaded: ImageTextModel | LanguageModel) -> Base:
    if isinstance(loaded, ImageTextModel):
        prompts = ImageTextPrompts(loaded)
        chat: ChatFormat | ImageTextPrompts = prompts
        tokenizer, processor = prompts.tokenizer, loaded.processor
    else:
        chat, tokenizer, processor = ChatFormat(loaded.tokenizer), loaded.tokenizer, None
    if not chat.chats:
        raise ModelError(
            f"model {loaded.name!r} has no chat template, so nobody knows where its turns end; "
            "name a chat model, or save its template as chat_template.jinja beside it",
            code="chat_template_unusable",
        )
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return Base(loaded.name, loaded.model, tokenizer, processor, chat, loaded.device)


def _four_bits() -> dict[str, Any]:
    import torch
    from transformers import BitsAndBytesConfig

    settings = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.bfloat16,
    )
    return {"quantization_config": settings, "device_map": {"": torch.cuda.current_device()}}
