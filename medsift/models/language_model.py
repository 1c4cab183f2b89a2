"""Define a loaded language model: its weights, and its tokenizer or processor."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, Literal

from medsift.config import Config

Precision = Literal["auto", "float32", "bfloat16"]
"""Number format of a model's arithmetic; `auto` is the one that its weights are stored in."""

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
        """The most tokens of a sequence; `UNBOUNDED` where the model names no limit."""
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
    """Number format of the arithmetic; `auto` is the one that the weights are stored in. It is part
    of the identity, as bfloat16 changes every number a little."""

    def fingerprint(self) -> str:
        """Return the identity by settings and weights, without loading. Raises ModelError."""
        raise NotImplementedError


def best_device() -> str:
    """Return `cuda` where torch can use a GPU, else `cpu`."""
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


@contextmanager
def silence_transformers() -> Iterator[None]:
    """Keep the progress bars and advice of transformers off the terminal inside the block."""
    from transformers.utils import logging

    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()
