"""Any model that transformers can load: a folder, or a name on the hub. Safetensors only."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Literal

from pydantic import Field

from medsift import records
from medsift.errors import ModelError
from medsift.models.language_model import (
    ImageTextModel,
    LanguageModel,
    LanguageModelConfig,
    ModelConfig,
    best_device,
    quietly,
)
from medsift.models.weight_files import file_digest

WEIGHTS: Final = ".safetensors"
IDENTITY_SUFFIXES: Final = (WEIGHTS, ".json", ".txt", ".model", ".jinja")
# What transformers raises for files that are missing, damaged or of another kind of model.
DAMAGE: Final = (OSError, RuntimeError, ValueError, KeyError, TypeError, AttributeError)


class PretrainedConfig(ModelConfig):
    """Where a transformers model comes from. Code that a model brings along is never run."""

    kind: Literal["transformers"] = "transformers"
    model: str = Field(min_length=1)
    """Folder of a saved model, or `owner/name` on the hub."""
    revision: str | None = None
    """Branch, tag or commit on the hub; only for names."""

    def fingerprint(self) -> str:
        """Identity: digests of a folder's files, or name and commit on the hub.

        Raises ModelError where there is no such folder, or the hub and its cache know no such name.
        """
        folder = _folder(self)
        identity: Any = _digests(folder) if folder else [self.model, _commit(self)]
        return records.fingerprint([self.kind, self.dtype, identity])

    def architecture(self) -> Any:
        """The model's own config, read without its weights. Raises ModelError."""
        from transformers import AutoConfig

        place, source = self._source()
        try:
            return quietly(lambda: AutoConfig.from_pretrained(place, **source))
        except DAMAGE as error:
            words = " ".join(str(error).split())[:300]
            raise ModelError(
                f"cannot read the config of model {self.model!r}: {words}", code="model_unloadable"
            ) from error

    def _source(self) -> tuple[str, dict[str, Any]]:
        """Folder or name, and how it is fetched. Raises ModelError.

        From here on transformers also knows the architecture that is ours.
        """
        from medsift.models.image_grid import register

        register()
        folder = _folder(self)
        source = {"revision": None if folder else _commit(self), "trust_remote_code": False}
        return str(folder or self.model), source

    def _load(
        self, model_class: Any, tokenizer_class: Any, **settings: Any
    ) -> tuple[Any, Any, str]:
        """Model, made with further `settings`, tokenizer or processor, and device.

        Raises ModelError.
        """
        from safetensors import SafetensorError

        (place, source), device = self._source(), best_device()
        try:
            model, told = quietly(
                lambda: model_class.from_pretrained(
                    place,
                    dtype=_dtype(self.dtype),
                    use_safetensors=True,
                    output_loading_info=True,
                    **source,
                    **settings,
                )
            )
            tokenizer = quietly(lambda: tokenizer_class.from_pretrained(place, **source))
        except (SafetensorError, ImportError, *DAMAGE) as error:
            words = " ".join(str(error).split())[:300]
            raise ModelError(
                f"cannot load model {self.model!r} with transformers: {words}; name a folder with "
                "config.json, safetensors weights and tokenizer, or such a model on the hub",
                code="model_unloadable",
            ) from error
        _check_complete(self.model, told)
        return model.eval().to(device), tokenizer, device


class TransformersModelConfig(PretrainedConfig, LanguageModelConfig):
    """A causal language model (transformers' `AutoModelForCausalLM`)."""

    def build(self) -> LanguageModel:
        """Load the model. Raises ModelError."""
        from transformers import AutoModelForCausalLM, AutoTokenizer

        model, tokenizer, device = self._load(AutoModelForCausalLM, AutoTokenizer)
        return LanguageModel(self.model, model, tokenizer, device)


class ImageTextModelConfig(PretrainedConfig):
    """A vision-language model (transformers' `AutoModelForImageTextToText`)."""

    def build(self) -> ImageTextModel:
        """Load the model. Raises ModelError."""
        from transformers import AutoModelForImageTextToText, AutoProcessor

        model, processor, device = self._load(AutoModelForImageTextToText, AutoProcessor)
        return ImageTextModel(self.model, model, processor, device)


def _check_complete(name: str, told: Mapping[str, Any]) -> None:
    """Refuse weights that transformers would make up at random. Raises ModelError."""
    absent = sorted(told["missing_keys"])
    if absent:
        raise ModelError(
            f"the weights of model {name!r} lack {len(absent)} tensors, the first is {absent[0]}; "
            "name a model with all of them: one saved for this use, not a part of another",
            code="model_unloadable",
        )


def _dtype(name: str) -> Any:
    import torch

    return {"auto": "auto", "float32": torch.float32, "bfloat16": torch.bfloat16}[name]


def _folder(config: PretrainedConfig) -> Path | None:
    """The folder that holds the model, None for a name on the hub. Raises ModelError."""
    path = Path(config.model).expanduser()
    if is_hub_name(config.model):
        return None
    held = {file.suffix for file in path.glob("*")} if path.is_dir() else set()
    if WEIGHTS not in held or not (path / "config.json").is_file():
        raise ModelError(
            f"no model at {path}; a folder must hold config.json and {WEIGHTS} weights: save one "
            "there with save_pretrained, or correct `model`",
            code="model_unloadable",
        )
    return path


def is_hub_name(name: str) -> bool:
    """Whether a model is on the hub: it may be a name there, and nothing here is called so."""
    may_be = not name.startswith((".", "~", os.sep)) and name.count("/") <= 1
    return may_be and not Path(name).exists()


def _digests(folder: Path) -> list[list[str]]:
    """Name and SHA-256 of the files that make up a local model."""
    files = sorted(path for path in folder.glob("*") if path.suffix in IDENTITY_SUFFIXES)
    return [[path.name, file_digest(path)] for path in files]


def _commit(config: PretrainedConfig) -> str:
    """The commit that a name means: asked of the hub, or of its cache where it is not reached.

    Raises ModelError where neither knows it.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError

    try:
        # The smallest file there is: what comes back is a folder named after the commit.
        known = snapshot_download(
            config.model, revision=config.revision, allow_patterns=["config.json"]
        )
    except (HFValidationError, OSError) as error:
        words = " ".join(str(error).split())[:200]
        at = f" at revision {config.revision!r}" if config.revision else ""
        raise ModelError(
            f"cannot have model {config.model!r}{at}: {words}; check the name and the network, or "
            "let `model` name a folder that holds config.json and safetensors weights",
            code="model_unloadable",
        ) from error
    return Path(known).name
