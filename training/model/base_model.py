"""Load the model that a training starts from, with its tokenizer or processor."""

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
    """Settings of a transformers model; its configuration decides whether it sees pictures."""

    attention: Literal["auto", "eager", "sdpa", "flash_attention_2"] = "auto"
    """Attention kernel; `auto` is the model's own choice. Not part of the identity."""

    def build(self, quantised: bool = False) -> ImageTextModel | LanguageModel:
        """Load the model, its frozen weights in 4 bits if `quantised`. Raises ModelError."""
        import torch
        from transformers import (
            AutoModelForCausalLM,
            AutoModelForImageTextToText,
            AutoProcessor,
            AutoTokenizer,
            BitsAndBytesConfig,
        )

        options: dict[str, Any] = {}
        if self.attention != "auto":
            options["attn_implementation"] = self.attention
        if quantised:
            # The settings of the QLoRA paper.
            options["quantization_config"] = BitsAndBytesConfig(
                load_in_4bit=True,
                bnb_4bit_quant_type="nf4",
                bnb_4bit_use_double_quant=True,
                bnb_4bit_compute_dtype=torch.bfloat16,
            )
            options["device_map"] = {"": torch.cuda.current_device()}
        if self.sees():
            model_class = AutoModelForImageTextToText
            model, processor, device = self._load(model_class, AutoProcessor, **options)
            return ImageTextModel(self.model, model, processor, device)
        model, tokenizer, device = self._load(AutoModelForCausalLM, AutoTokenizer, **options)
        return LanguageModel(self.model, model, tokenizer, device)


AnyBase = Annotated[
    EmbeddedModelConfig | EmbeddedImageTextModelConfig | PretrainedBase,
    Field(discriminator="kind"),
]


@dataclass(frozen=True, slots=True)
class Base:
    """A loaded model with its chat template; `processor` is None where it sees no pictures."""

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

    def ask(self, question: str) -> str:
        """Return a question in the model's template, up to its answer. Raises ModelError."""
        text = self.chat.chat([("user", question)])
        if text is None:
            message = f"the chat template of {self.name} refuses a question; name a chat model"
            raise ModelError(message, code="chat_template_unusable", model=self.name)
        return text

    def inputs(self, texts: list[str], images: Any, **options: Any) -> dict[str, Any]:
        """Return texts, and pictures where the model sees, as the tensors that it takes."""
        options |= {"return_tensors": "pt", "add_special_tokens": False}
        if self.processor is None:
            inputs = self.tokenizer(texts, **options)
        else:
            inputs = self.processor(text=texts, images=images, **options)
        return {name: value for name, value in inputs.items() if hasattr(value, "shape")}


def load_base(config: AnyBase, precision: Precision, full: bool, quantised: bool = False) -> Base:
    """Load a base model for training.

    Args:
        config: which model.
        precision: numbers of the frozen weights; those that learn are float32.
        full: all weights learn.
        quantised: load the frozen weights in 4 bits.

    Raises:
        ModelError: the model cannot be loaded or has no chat template.
        UsageError: 4 bits are wanted without a GPU.
    """
    if quantised and best_device() == "cpu":
        message = f"lora.quantise: {NO_GPU.format(setting='it')}"
        raise UsageError(message, code="gpu_missing", setting="lora.quantise")
    # Frozen weights may be bfloat16; those that learn become float32 when they are chosen.
    config = config.model_copy(update={"dtype": "float32" if full else arithmetic(precision)})
    loaded = config.build(quantised) if isinstance(config, PretrainedBase) else config.build()
    chat: ChatFormat | ImageTextPrompts
    if isinstance(loaded, ImageTextModel):
        chat = ImageTextPrompts(loaded)
        tokenizer, processor = chat.tokenizer, loaded.processor
    else:
        chat, tokenizer, processor = ChatFormat(loaded.tokenizer), loaded.tokenizer, None
    if not chat.chats:
        message = (
            f"model {loaded.name!r} has no chat template, so that the ends of its turns are not "
            "known; name a chat model, or save its template as chat_template.jinja in its folder"
        )
        raise ModelError(message, code="chat_template_unusable", model=loaded.name)
    if tokenizer.pad_token is None:
        # Padding is masked everywhere, so that any token will do.
        tokenizer.pad_token = tokenizer.eos_token
    return Base(loaded.name, loaded.model, tokenizer, processor, chat, loaded.device)


def arithmetic(precision: Precision) -> Literal["float32", "bfloat16"]:
    """Return what `auto` means on this machine: bfloat16 on a GPU that has it, else float32."""
    import torch

    if precision != "auto":
        return precision
    has_bfloat16 = torch.cuda.is_available() and torch.cuda.is_bf16_supported()
    return "bfloat16" if has_bfloat16 else "float32"
