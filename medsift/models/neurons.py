"""Read how active the feed-forward neurons of a language model are at some positions.

A neuron is one entry of what a feed-forward layer's second projection, back to the model's width,
reads: the coefficient of a key-value memory (Geva et al. 2021, arXiv 2012.14913).
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from medsift.arrays import Floats
from medsift.errors import ModelError

ATTENTION: Final = ("attn", "attention")
"""Parts of names of modules whose projections are not feed-forward."""


class FeedForwardNeurons:
    """The `width` neurons of one feed-forward layer of a loaded model's text part.

    Args:
        model: A transformers model, with a vision part or without.
        depth: Which layer: 0 is the first and 1 the last.

    Raises:
        ModelError: its text part has no list of layers, or one without a feed-forward projection
            that every token passes, as in a mixture of experts.
    """

    def __init__(self, model: Any, depth: float) -> None:
        layers = decoder_layers(model)
        self.model = model
        layer = layers[round(depth * (len(layers) - 1))]
        self.projection, self.width = second_projection(layer, type(model).__name__)

    def read(self, inputs: dict[str, Any], start: int, stop: int) -> Floats:
        """Return the mean |activation| (w,) over positions start to stop of one sequence.

        Layers after the one that is read are not computed.
        """
        import torch

        readings: list[Floats] = []

        def note(module: Any, arguments: tuple[Any, ...]) -> None:
            # Some models flatten the batch into one row of positions.
            entries = arguments[0].reshape(-1, self.width)[start:stop]
            mean = entries.float().abs().mean(dim=0)
            readings.append(np.asarray(mean.cpu().numpy(), np.float32))
            raise _EnoughError

        hook = self.projection.register_forward_pre_hook(note)
        try:
            with torch.inference_mode():
                self.model(**inputs, use_cache=False)
        except _EnoughError:
            pass
        finally:
            hook.remove()
        [reading] = readings
        return reading


class _EnoughError(Exception):
    """Ends a forward pass: what was to be read has been read."""


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


def second_projection(layer: Any, model: str) -> tuple[Any, int]:
    """Return a layer's one projection, outside attention, of the widest input, and that width.

    It narrows its input: the first projection of a feed-forward part widens.

    Args:
        layer: One of `decoder_layers`.
        model: Name of the model in an error.

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
    widest = max(widths.values(), default=0)
    found = [name for name, width in widths.items() if width == widest]
    if len(found) != 1:
        several = (
            f"{len(found)} feed-forward projections in a layer, such as {', '.join(found[:2])}"
        )
        raise _unsuitable(model, several if found else "no feed-forward projection in its layers")
    return layer.get_submodule(found[0]), widest


def _unsuitable(model: str, found: str) -> ModelError:
    message = (
        f"{model} has {found}, so that there are no neurons that every token passes; name a model "
        "whose layers each have one feed-forward part"
    )
    return ModelError(message, code="model_unsuitable", model=model)
