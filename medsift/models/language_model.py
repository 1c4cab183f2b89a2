"""Define a loaded language model: its weights, and the tokenizer or processor that feeds them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Literal

from medsift.config import Config

Precision = Literal["auto", "float32", "bfloat16"]
"""Arithmetic of a model; `auto` is what its weights are stored in, on every device."""

UNBOUNDED: Final = 1 << 30


@dataclass(frozen=True, slots=True)
class LanguageModel:
    """A causal language model in evaluation mode, on its device."""

    name: str
    model: Any
    tokenizer: Any
    device: str

    @property
    def context(self) -> int:
        """Most tokens of a sequence; `UNBOUNDED` where the model names no limit."""
        return int(getattr(self.model.config, "max_position_embeddings", None) or UNBOUNDED)


@dataclass(frozen=True, slots=True)
class ImageTextModel:
    """A model that continues pictures and text, in evaluation mode, on its device."""

    name: str
    model: Any
    processor: Any
    device: str


class ModelConfig(Config):
    """Settings of a model; subclasses add a `kind: Literal[...]` tag, the identity and `build`."""

    dtype: Precision = "auto"
    """Arithmetic; part of the identity, as bfloat16 moves every number a little."""

    def fingerprint(self) -> str:
        """Identity of the model: equal settings and weights, equal digest.

        Does not load it. Raises ModelError when it cannot be loaded.
        """
        raise NotImplementedError


class LanguageModelConfig(ModelConfig):
    """Settings of a causal language model."""

    def build(self) -> LanguageModel:
        """Load the model. Raises ModelError naming what is missing and the fix."""
        raise NotImplementedError


def best_device() -> str:
    """`cuda` where torch sees a GPU, else `cpu`."""
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def quietly(load: Callable[[], Any]) -> Any:
    """What `load` gives, without transformers' bars and advice on the terminal."""
    from transformers.utils import logging

    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        return load()
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()
