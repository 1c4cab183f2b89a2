"""Adapters that PEFT saved (LoRA and its kin): their identity, and a model with one in place."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any, Final

from medsift import records
from medsift.errors import ModelError
from medsift.models.language_model import ModelConfig, quietly
from medsift.models.pretrained import DAMAGE, PretrainedConfig, is_hub_name
from medsift.models.weight_files import file_digest

SETTINGS, WEIGHTS = PARTS = ("adapter_config.json", "adapter_model.safetensors")
BASE: Final = "base_model_name_or_path"


def adapter_fingerprint(folder: Path, base: ModelConfig) -> str:
    """Identity of an adapter by its files' digests; loads nothing.

    Raises ModelError when there is none in the folder, or when it names another model than `base`.
    """
    found = _checked(folder, base)
    return records.fingerprint([[part, file_digest(found / part)] for part in PARTS])


def with_adapter(model: Any, folder: Path, base: ModelConfig) -> Any:
    """A loaded model with an adapter in place, in evaluation mode; changes the model itself.

    Raises ModelError when there is no adapter in the folder, it names another model than `base`,
    or its weights are not exactly those that this model has places for.
    """
    from safetensors import SafetensorError

    found = _checked(folder, base)
    try:
        adapted, strange = quietly(lambda: _load(model, found))
    except (SafetensorError, ImportError, *DAMAGE) as error:
        words = " ".join(str(error).split())[:300]
        raise ModelError(
            f"cannot load adapter {folder}: {words}; {_mend(base)}", code="adapter_unusable"
        ) from error
    if strange:
        raise ModelError(
            f"{len(strange)} tensors of adapter {folder} and of the model do not match, the first "
            f"is {strange[0]}; {_mend(base)}",
            code="adapter_unusable",
        )
    return adapted.eval()


def _load(model: Any, folder: Path) -> tuple[Any, list[str]]:
    """The adapted model, and the tensors that it or the adapter lacks."""
    from peft import PeftModel

    mapping = getattr(model, "_checkpoint_conversion_mapping", None)
    with warnings.catch_warnings():
        # What it would warn of is refused below.
        warnings.simplefilter("ignore")
        adapted = PeftModel.from_pretrained(model, str(folder))
    # Only loading once more tells which tensors found no place.
    told = adapted.load_adapter(str(folder), "default", key_mapping=mapping)
    return adapted, sorted([*told.missing_keys, *told.unexpected_keys])


def _checked(folder: Path, base: ModelConfig) -> Path:
    """The adapter's folder. Raises ModelError."""
    found = folder.expanduser()
    absent = [part for part in PARTS if not (found / part).is_file()]
    if absent:
        raise ModelError(
            f"no adapter at {folder}: it lacks {absent[0]}; name a folder that PEFT's "
            "save_pretrained wrote, as `medsift train` does",
            code="adapter_unusable",
        )
    try:
        named = str(json.loads((found / SETTINGS).read_text(encoding="utf-8")).get(BASE) or "")
    except (OSError, ValueError, AttributeError) as error:
        raise ModelError(
            f"cannot read {found / SETTINGS}: {error}; train it again", code="adapter_unusable"
        ) from error
    if named and isinstance(base, PretrainedConfig) and _is_other(named, base):
        raise ModelError(
            f"adapter {folder} was trained on {named!r}, not on {base.model!r}; {_mend(base)}, or "
            f"correct {BASE} in its {SETTINGS} if both are the same",
            code="adapter_unusable",
        )
    return found


def _is_other(named: str, base: PretrainedConfig) -> bool:
    """Whether two models surely differ: folders that are both here, or names on the hub."""
    if Path(named).expanduser().is_dir() and Path(base.model).expanduser().is_dir():
        return base.model_copy(update={"model": named}).fingerprint() != base.fingerprint()
    both_on_hub = is_hub_name(named) and is_hub_name(base.model)
    return both_on_hub and named.lower() != base.model.lower()


def _mend(base: ModelConfig) -> str:
    given = base.model if isinstance(base, PretrainedConfig) else "the embedded one"
    return f"name the model that it was trained on instead of {given}"
