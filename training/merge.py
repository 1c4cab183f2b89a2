"""An adapter merged into its base, and the proof that the merged model says the same."""

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
from medsift.models.language_model import quietly
from medsift.storage.atomic import atomic_folder
from medsift.vocabulary import IMAGE_MARK, LINEAGE_NAME
from training.model.base_model import AnyBase, Base, PretrainedBase, load_base
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
    """A merged model: where it is, in which numbers, and how far its logits are off."""

    folder: Path
    dtype: str
    difference: float


def merge(result: Path, output: Path, tolerance: float = TOLERANCE) -> Merged:
    """Merge the adapter of a training's result into its base; write the whole model.

    Merging is done in float32; weights are saved in the numbers that the base is stored in. The
    folder is loaded again, and its logits on a few prompts, one with a picture where the model
    sees, are compared with those of base and adapter.

    Raises:
        UsageError: the training was a full one, or `output` is taken.
        InputError: there is no such result.
        ModelError: base or adapter cannot be loaded, the base is another than the one trained
            on, or logits differ by more than `tolerance`; nothing is left behind then.
    """
    told = read_lineage(result)
    config = _base_of(told, result)
    if output.exists():
        raise UsageError(
            f"{output} is there already; name a new folder", code="merge_output_in_the_way"
        )
    base = load_base(config, "float32", full=True)
    probes = [_probe(base, question) for question in PROBES]
    adapted = with_adapter(base.model, result, config)
    with_it = _logits(adapted, probes)
    with adapted.disable_adapter():
        without = _logits(adapted, probes)
    dtype = _stored_dtype(config)
    merged = adapted.merge_and_unload().to(dtype)
    with atomic_folder(output, "choose another --output") as partial:
        _save(merged, partial)
        (base.processor or base.tokenizer).save_pretrained(partial)
        for name in (LINEAGE_NAME, CARD):
            shutil.copyfile(result / name, partial / name)
        del base, adapted, merged
        loaded = load_base(PretrainedBase(model=str(partial)), "float32", full=True)
        difference = _difference(with_it, without, _logits(loaded.model, probes))
        _check(difference, tolerance)
    return Merged(output, str(dtype).removeprefix("torch."), difference)


def _save(model: Any, folder: Path) -> None:
    quietly(lambda: model.save_pretrained(folder))


def _base_of(told: Mapping[str, Any], result: Path) -> AnyBase:
    """The base that the adapter was trained on. Raises InputError, UsageError or ModelError."""
    try:
        recipe = TrainingRecipe.from_stored(told["recipe"])
    except ValidationError as error:
        raise InputError(
            f"{result / LINEAGE_NAME} holds no recipe of this version: {error.errors()[0]['msg']}; "
            "train again",
            code="recipe_of_other_version",
        ) from error
    if recipe.lora.full:
        raise UsageError(
            f"{result} holds a whole model, no adapter to merge; use it as it is",
            code="merge_refused",
        )
    if recipe.base.fingerprint() != told["base"]["fingerprint"]:
        raise ModelError(
            f"the base {told['base']['name']!r} is not what it was when {result} was trained; put "
            "that model back",
            code="merge_refused",
        )
    return recipe.base


def _stored_dtype(config: AnyBase) -> Any:
    """The numbers that a base is stored in; float32 where it does not say."""
    import torch

    stored = config.architecture().dtype if isinstance(config, PretrainedBase) else None
    return stored or torch.float32


def _probe(base: Base, question: str) -> dict[str, Tensor]:
    """Inputs of a question, with a picture where the model sees."""
    how: dict[str, Any] = {"return_tensors": "pt", "add_special_tokens": False}
    mark = "" if base.processor is None else IMAGE_MARK
    text = base.chat.chat([("user", f"{mark}{question}")])
    if text is None:
        raise ModelError(
            f"the chat template of {base.name} refuses a question", code="chat_template_unusable"
        )
    if base.processor is None:
        made = base.tokenizer([text], **how)
    else:
        made = base.processor(text=[text], images=[[_picture()]], **how)
    return {name: value for name, value in made.items() if hasattr(value, "shape")}


def _picture() -> Image:
    """A disc in a gradient: something to see, always the same."""
    from PIL import Image

    rows, columns = np.mgrid[:SIDE, :SIDE]
    disc = (rows - SIDE / 2) ** 2 + (columns - SIDE / 3) ** 2 < (SIDE / 5) ** 2
    grey = np.where(disc, 230, columns * 160 / SIDE).astype(np.uint8)
    return Image.fromarray(np.stack([grey] * 3, axis=-1))


def _logits(model: Any, probes: Sequence[Mapping[str, Tensor]]) -> Tensor:
    """Logits of all probes' tokens, one after the other, as one vector of float64."""
    import torch

    with torch.inference_mode():
        found = [
            model(**{name: value.to(model.device) for name, value in one.items()}).logits
            for one in probes
        ]
    return torch.cat([one.double().flatten().cpu() for one in found])


def _difference(with_it: Tensor, without: Tensor, merged: Tensor) -> float:
    """||merged - with|| / ||with - without||: the error as a share of the adapter's effect."""
    return float((merged - with_it).norm() / (with_it - without).norm())


def _check(difference: float, tolerance: float) -> None:
    # A share that is no number (an adapter of NaN, or one that changes nothing) is no agreement.
    if not difference <= tolerance:
        raise ModelError(
            "the merged model does not say what base and adapter say: its logits are off by "
            f"{difference:.2g} of what the adapter changes, {tolerance:.2g} is tolerated; use the "
            "adapter unmerged, or raise --tolerance",
            code="merge_refused",
        )
