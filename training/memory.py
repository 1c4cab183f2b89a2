"""Out of memory, in one line that says what to change."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from curation.errors import ModelError
from training.measures import peak_memory_mb
from training.recipe import TrainingRecipe

if TYPE_CHECKING:
    from training.collate import Micro

CPU_WORDS: Final = "can't allocate memory"


@contextmanager
def told_what_to_change(
    recipe: TrainingRecipe, device: str, step: int, micro: Micro
) -> Iterator[None]:
    """Turn a batch that does not fit into memory into a ModelError with the measured peak."""
    import torch

    try:
        yield
    except torch.OutOfMemoryError as error:
        raise ModelError(_advice(recipe, device, step, micro)) from error
    except RuntimeError as error:
        if CPU_WORDS not in str(error):
            raise
        raise ModelError(_advice(recipe, device, step, micro)) from error


def _advice(recipe: TrainingRecipe, device: str, step: int, micro: Micro) -> str:
    rows, width = micro.inputs["input_ids"].shape
    changes = [f"lower batches.tokens (now {recipe.batches.tokens})"]
    if "pixel_values" in micro.inputs:
        changes.append(f"lower data.max_pixels (now {recipe.data.max_pixels or 'without limit'})")
    if not recipe.gradient_checkpointing:
        changes.append("set gradient_checkpointing: true")
    return (
        f"out of memory in step {step + 1} on {rows} x {width} tokens: {_held(device)}; "
        f"{', or '.join(changes)}"
    )


def _held(device: str) -> str:
    import torch

    peak = f"the peak was {peak_memory_mb(device):.0f} MiB"
    if device == "cpu":
        return peak
    return f"{peak} of {torch.cuda.get_device_properties(0).total_memory / (1 << 20):.0f}"
