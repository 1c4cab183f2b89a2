"""Read how active the feed-forward neurons of a language model are at some positions.

A neuron is one entry of what a feed-forward layer's second projection, back to the model's width,
reads: the key of a key-value memory (Geva et al. 2021, arXiv 2012.14913).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import numpy as np

from medsift.arrays import Floats
from medsift.errors import ModelError

ATTENTION: Final = ("attn", "attention")
"""Parts of names of modules whose projections are not feed-forward."""


class FeedForwardNeurons:
    """The neurons (w) of one feed-forward layer of a loaded model's text part.

    Args:
        model: A transformers model, with a vision part or without.
        depth: Which layer: 0 is the first and 1 the last.

    Raises:
        ModelError: its text part has no list of layers, or one without a feed-forward projection
            that every token passes, as in a mixture of experts.
    """

    def __init__(self, model: Any, depth: float) -> None:
        layers = decoder_layers(model)
        self.number = round(depth * (len(layers) - 1))
        self.projection = second_projection(layers[self.number], type(model).__name__)

    @contextmanager
    def read(self, start: int, stop: int) -> Iterator[list[Floats]]:
        """Append to a list, in each forward pass of one sequence, the mean |activation| (w,).

        The mean is over positions from `start` to `stop` of the sequence.
        """
        readings: list[Floats] = []

        def append(module: Any, arguments: tuple[Any, ...]) -> None:
            # Some models flatten the batch into one row of positions.
            entries = arguments[0].reshape(-1, arguments[0].shape[-1])[start:stop]
            mean = entries.detach().float().abs().mean(dim=0)
            readings.append(np.asarray(mean.cpu().numpy(), np.float32))

        hook = self.projection.register_forward_pre_hook(append)
        try:
            yield readings
        finally:
            hook.remove()


def decoder_layers(model: Any) -> Any:
    """Return the layers of a model's text part: its longest list of modules. Raises ModelError."""
    import torch

    lists = [
        module
        for module in model.get_decoder().modules()
        if isinstance(module, torch.nn.ModuleList)
    ]
    if not lists:
        raise _unsuitable(type(model).__name__, "no list of layers in its text part")
    return max(lists, key=len)


def second_projection(layer: Any, model: str) -> Any:
    """Return a layer's one projection, outside attention, that narrows its input most.

    Raises:
        ModelError: there is none, or several as in a mixture of experts.
    """
    widths: dict[str, int] = {}
    for name, module in layer.named_modules():
        # Linear layers, and the Conv1D of GPT-2.
        wide = getattr(module, "in_features", getattr(module, "nx", None))
        narrow = getattr(module, "out_features", getattr(module, "nf", None))
        attends = any(part in name for part in ATTENTION)
        if isinstance(wide, int) and isinstance(narrow, int) and wide > narrow and not attends:
            widths[name] = wide
    found = [name for name, width in widths.items() if width == max(widths.values())]
    if len(found) != 1:
        several = (
            f"{len(found)} feed-forward projections in a layer, such as {', '.join(found[:2])}"
        )
        raise _unsuitable(model, several if found else "no feed-forward projection in its layers")
    return layer.get_submodule(found[0])


def _unsuitable(model: str, found: str) -> ModelError:
    message = (
        f"{model} has {found}, so that there are no neurons that every token passes; name a model "
        "whose layers each have one feed-forward part"
    )
    return ModelError(message, code="model_unsuitable", model=model)
