"""Merge an adapter into its base, and prove that the merged model says the same."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from pydantic import ValidationError

from medsift.errors import InputError, ModelError, UsageError
from medsift.models.adapters import with_adapter
from medsift.models.language_model import silence_transformers
from medsift.storage.atomic import atomic_folder
from medsift.storage.mirror import here
from medsift.storage.stored_folder import has_folder
from medsift.vocabulary import IMAGE_MARK, LINEAGE_NAME
from training.model.base_model import AnyBase, PretrainedBase, load_base
from training.recipe import TrainingRecipe
from training.results.lineage import read_lineage
from training.results.output_dir import CARD

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor

TOLERANCE: Final = 0.05
"""How far merged logits may be from unmerged ones, as a share of what the adapter changes."""
PROBES: Final = (
    "Is there a pneumothorax?",
    "Which organ is shown, and in which plane?",
    "Describe the finding in one sentence.",
)
SIDE: Final = 224
"""Pixels along each edge of the picture that is asked about."""


@dataclass(frozen=True, slots=True)
class Merged:
    """A merged model: its folder, its number type, and how far its logits are off."""

    folder: Path
    dtype: str
    difference: float


def merge(result: Path, output: Path, tolerance: float = TOLERANCE) -> Merged:
    """Merge the adapter of a training's result into its base; write the complete model.

    Merging is done in float32; weights are saved in the number type that the base is stored in.
    The folder is loaded again, and its logits on a few prompts, with a picture where the model
    sees, are compared with those of base and adapter.

    Raises:
        UsageError: the training was a full one, or `output` exists.
        InputError: there is no such result.
        ModelError: base or adapter cannot be loaded, the base is another than the one trained
            on, or logits differ by more than `tolerance`; nothing is left behind then.
    """
    import torch

    lineage = read_lineage(result)
    result = here(result)
    config = _trained_base(lineage, result)
    # Before the base is loaded, which takes long.
    if has_folder(output) or output.exists():
        message = f"{output} is there already; name a new folder"
        raise UsageError(message, code="merge_output_in_the_way", path=str(output))
    base = load_base(config, "float32", full=True)
    mark = "" if base.processor is None else IMAGE_MARK
    probes = [base.inputs([base.ask(f"{mark}{text}")], [[_picture()]]) for text in PROBES]
    adapted = with_adapter(base.model, result, config)
    unmerged = _logits(adapted, probes)
    with adapted.disable_adapter():
        without = _logits(adapted, probes)
    stored = config.architecture().dtype if isinstance(config, PretrainedBase) else None
    dtype = stored or torch.float32
    merged = adapted.merge_and_unload().to(dtype)
    with atomic_folder(output, "choose another --output") as partial:
        with silence_transformers():
            merged.save_pretrained(partial)
        (base.processor or base.tokenizer).save_pretrained(partial)
        for name in (LINEAGE_NAME, CARD):
            shutil.copyfile(result / name, partial / name)
        # Two large models do not fit into memory together.
        del base, adapted, merged
        # Compared before the folder gets its name, so that a refusal leaves nothing behind.
        loaded = load_base(PretrainedBase(model=str(partial)), "float32", full=True)
        # The error as a share of the adapter's effect: an absolute one would pass a merge that
        # lost an adapter of small effect.
        error = (_logits(loaded.model, probes) - unmerged).norm()
        difference = float(error / (unmerged - without).norm())
        # A difference of NaN (an adapter of NaN, or one without effect) is no agreement.
        if not difference <= tolerance:
            raise ModelError(
                "the merged model does not say what base and adapter say: its logits are off by "
                f"{difference:.2g} of what the adapter changes, {tolerance:.2g} is tolerated; use "
                "the adapter unmerged, or raise --tolerance",
                code="merge_refused",
                difference=difference,
                tolerance=tolerance,
            )
    return Merged(output, str(dtype).removeprefix("torch."), difference)


def _trained_base(lineage: Mapping[str, Any], result: Path) -> AnyBase:
    """Return the base that was trained. Raises InputError, UsageError or ModelError."""
    try:
        recipe = TrainingRecipe.from_stored(lineage["recipe"])
    except ValidationError as error:
        raise InputError(
            f"{result / LINEAGE_NAME} holds no recipe of this version: {error.errors()[0]['msg']}; "
            "train again",
            code="recipe_of_other_version",
            path=str(result / LINEAGE_NAME),
        ) from error
    if recipe.complete:
        message = f"{result} is a complete model, with no adapter to merge; use it as it is"
        raise UsageError(message, code="merge_refused", full=True)
    if recipe.base.fingerprint() != lineage["base"]["fingerprint"]:
        message = (
            f"the base {lineage['base']['name']!r} is not what it was when {result} was trained; "
            "put that model back"
        )
        raise ModelError(message, code="merge_refused", base=lineage["base"]["name"])
    return recipe.base


def _picture() -> Image:
    """Return a disc in a gradient: something to see, always the same."""
    from PIL import Image

    rows, columns = np.mgrid[:SIDE, :SIDE]
    disc = (rows - SIDE / 2) ** 2 + (columns - SIDE / 3) ** 2 < (SIDE / 5) ** 2
    grey = np.where(disc, 230, columns * 160 / SIDE).astype(np.uint8)
    return Image.fromarray(np.stack([grey] * 3, axis=-1))


def _logits(model: Any, probes: Sequence[Mapping[str, Tensor]]) -> Tensor:
    """Return the logits of all probes' tokens as one vector of float64."""
    import torch

    with torch.inference_mode():
        logits = [
            model(**{name: value.to(model.device) for name, value in probe.items()}).logits
            for probe in probes
        ]
    return torch.cat([values.double().flatten().cpu() for values in logits])
