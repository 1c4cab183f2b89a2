"""Identify and load adapters that PEFT saved, such as LoRA."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any, Final

from medsift import records
from medsift.errors import ModelError
from medsift.models.language_model import ModelConfig, silence_transformers
from medsift.models.pretrained import DAMAGE, PretrainedConfig, is_hub_name
from medsift.models.weight_files import file_digest
from medsift.storage.mirror import location
from medsift.storage.stored_folder import fetch_folder

SETTINGS, WEIGHTS = PARTS = ("adapter_config.json", "adapter_model.safetensors")
BASE: Final = "base_model_name_or_path"


def adapter_fingerprint(folder: Path, base: ModelConfig) -> str:
    """Return the identity of an adapter by its files' digests. Raises ModelError without one."""
    local = _check_folder(folder, base)
    return records.fingerprint([[part, file_digest(local / part)] for part in PARTS])


def with_adapter(model: Any, folder: Path, base: ModelConfig) -> Any:
    """Put an adapter into a loaded model, which changes, and return it in evaluation mode.

    Raises ModelError when there is no adapter in the folder, it names another model than `base`,
    or its weights are not exactly those that fit into this model.
    """
    from safetensors import SafetensorError

    local = _check_folder(folder, base)
    try:
        from peft import PeftModel

        mapping = getattr(model, "_checkpoint_conversion_mapping", None)
        with silence_transformers(), warnings.catch_warnings():
            # PEFT only warns of tensors that do not fit; they are refused below.
            warnings.simplefilter("ignore")
            adapted = PeftModel.from_pretrained(model, str(local))
        with silence_transformers():
            # Only loading it once more reports which tensors have no counterpart.
            report = adapted.load_adapter(str(local), "default", key_mapping=mapping)
    except (SafetensorError, ImportError, *DAMAGE) as error:
        words = " ".join(str(error).split())[:300]
        raise _error(f"cannot load adapter {folder}: {words}; {_remedy(base)}", folder) from error
    unmatched = sorted([*report.missing_keys, *report.unexpected_keys])
    if unmatched:
        message = (
            f"{len(unmatched)} tensors of adapter {folder} and of the model do not match, the "
            f"first is {unmatched[0]}; {_remedy(base)}"
        )
        raise _error(message, folder, tensor=unmatched[0])
    return adapted.eval()


def _check_folder(folder: Path, base: ModelConfig) -> Path:
    """Return the adapter's folder. Raises ModelError."""
    try:
        local = fetch_folder(folder.expanduser())
    except FileNotFoundError as error:
        raise _error(f"no adapter at {location(folder)}: {error}", folder) from error
    absent = [part for part in PARTS if not (local / part).is_file()]
    if absent:
        message = (
            f"no adapter at {folder}: it lacks {absent[0]}; name a folder that PEFT's "
            "save_pretrained wrote, as `medsift train` does"
        )
        raise _error(message, folder, missing=absent[0])
    try:
        named = str(json.loads((local / SETTINGS).read_text(encoding="utf-8")).get(BASE) or "")
    except (OSError, ValueError, AttributeError) as error:
        message = f"cannot read {local / SETTINGS}: {error}; train it again"
        raise _error(message, folder, file=SETTINGS) from error
    if named and isinstance(base, PretrainedConfig) and _is_other(named, base):
        message = (
            f"adapter {folder} was trained on {named!r}, not on {base.model!r}; {_remedy(base)}, "
            f"or correct {BASE} in its {SETTINGS} if both are the same"
        )
        raise _error(message, folder, base=named)
    return local


def _is_other(named: str, base: PretrainedConfig) -> bool:
    """Return whether two models surely differ: folders that both exist, or names on the hub."""
    if Path(named).expanduser().is_dir() and Path(base.model).expanduser().is_dir():
        return base.model_copy(update={"model": named}).fingerprint() != base.fingerprint()
    both_on_hub = is_hub_name(named) and is_hub_name(base.model)
    return both_on_hub and named.lower() != base.model.lower()


def _remedy(base: ModelConfig) -> str:
    named = base.model if isinstance(base, PretrainedConfig) else "the embedded one"
    return f"name the model that it was trained on instead of {named}"


def _error(message: str, folder: Path, **values: str) -> ModelError:
    return ModelError(message, code="adapter_unusable", adapter=location(folder), **values)
