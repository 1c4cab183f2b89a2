"""Load any model that transformers supports, from a folder or the hub; safetensors only."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Final, Literal

from pydantic import Field

from medsift import records
from medsift.errors import ModelError
from medsift.models.language_model import (
    ImageTextModel,
    LanguageModel,
    ModelConfig,
    best_device,
    silence_transformers,
)
from medsift.models.weight_files import file_digest
from medsift.vocabulary import LINEAGE_NAME

WEIGHTS: Final = ".safetensors"
IDENTITY_SUFFIXES: Final = (WEIGHTS, ".json", ".txt", ".model", ".jinja")
# What transformers raises for files that are missing, damaged or of another kind of model.
DAMAGE: Final = (OSError, RuntimeError, ValueError, KeyError, TypeError, AttributeError)


class PretrainedConfig(ModelConfig):
    """Settings of a transformers model. Code that comes with a model is never run."""

    kind: Literal["transformers"] = "transformers"
    model: str = Field(min_length=1)
    """Folder of a saved model, or `owner/name` on the hub."""
    revision: str | None = None
    """Branch, tag or commit on the hub, by default the main branch; only for names."""

    def fingerprint(self) -> str:
        """Return the identity: a folder's digests, or name and commit. Raises ModelError."""
        folder = _folder(self)
        if folder is None:
            identity: Any = [self.model, _commit(self)]
        else:
            # A result's lineage has times in it, which are no part of the model.
            files = sorted(
                path
                for path in folder.glob("*")
                if path.suffix in IDENTITY_SUFFIXES and path.name != LINEAGE_NAME
            )
            identity = [[path.name, file_digest(path)] for path in files]
        return records.fingerprint([self.kind, self.dtype, identity])

    def architecture(self) -> Any:
        """Return the model's own config, read without its weights. Raises ModelError."""
        from transformers import AutoConfig

        place, source = self._source()
        try:
            with silence_transformers():
                return AutoConfig.from_pretrained(place, **source)
        except DAMAGE as error:
            words = " ".join(str(error).split())[:300]
            message = f"cannot read the config of model {self.model!r}: {words}"
            raise ModelError(message, code="model_unloadable", model=self.model) from error

    def sees(self) -> bool:
        """Return whether transformers lists it under image-text models. Raises ModelError."""
        from transformers import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING

        return type(self.architecture()) in MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING

    def _source(self) -> tuple[str, dict[str, Any]]:
        """Register our architecture; return folder or name, and options. Raises ModelError."""
        from medsift.models.image_grid import register

        register()
        folder = _folder(self)
        source = {"revision": None if folder else _commit(self), "trust_remote_code": False}
        return str(folder or self.model), source

    def _load(
        self, model_class: Any, tokenizer_class: Any, **settings: Any
    ) -> tuple[Any, Any, str]:
        """Load model (options `settings`), tokenizer or processor, device. Raises ModelError."""
        from safetensors import SafetensorError

        (place, source), device = self._source(), best_device()
        try:
            with silence_transformers():
                model, report = model_class.from_pretrained(
                    place,
                    dtype=self.dtype,
                    use_safetensors=True,
                    output_loading_info=True,
                    **source,
                    **settings,
                )
                tokenizer = tokenizer_class.from_pretrained(place, **source)
        except (SafetensorError, ImportError, *DAMAGE) as error:
            words = " ".join(str(error).split())[:300]
            message = (
                f"cannot load model {self.model!r} with transformers: {words}; name a folder with "
                "config.json, safetensors weights and tokenizer, or such a model on the hub"
            )
            raise ModelError(message, code="model_unloadable", model=self.model) from error
        # transformers would fill missing weights with random numbers.
        absent = sorted(report["missing_keys"])
        if absent:
            message = (
                f"the weights of model {self.model!r} lack {len(absent)} tensors, the first is "
                f"{absent[0]}; name a model with all of them: one saved for this use, not a part "
                "of another"
            )
            raise ModelError(message, code="model_unloadable", model=self.model, tensor=absent[0])
        return model.eval().to(device), tokenizer, device


class TransformersModelConfig(PretrainedConfig):
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


class AnyPretrainedConfig(PretrainedConfig):
    """A transformers model whose own configuration decides whether it sees pictures."""

    def build(self) -> ImageTextModel | LanguageModel:
        """Load the model. Raises ModelError."""
        kind = ImageTextModelConfig if self.sees() else TransformersModelConfig
        return kind(**self.model_dump()).build()


def _folder(config: PretrainedConfig) -> Path | None:
    """Return the folder of the model, or None for a name on the hub. Raises ModelError."""
    path = Path(config.model).expanduser()
    if is_hub_name(config.model):
        return None
    if not any(path.glob(f"*{WEIGHTS}")) or not (path / "config.json").is_file():
        message = (
            f"no model at {path}; a folder must contain config.json and {WEIGHTS} weights: save "
            "one there with save_pretrained, or correct `model`"
        )
        raise ModelError(message, code="model_unloadable", model=config.model)
    return path


def is_hub_name(name: str) -> bool:
    """Return whether a model is named on the hub: the name is valid there and no local path."""
    is_valid = not name.startswith((".", "~", os.sep)) and name.count("/") <= 1
    return is_valid and not Path(name).exists()


def _commit(config: PretrainedConfig) -> str:
    """Return the commit of a name, from the hub or else its cache. Raises ModelError without it."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError

    try:
        # The smallest file is enough: the folder that is returned is named after the commit.
        known = snapshot_download(
            config.model, revision=config.revision, allow_patterns=["config.json"]
        )
    except (HFValidationError, OSError) as error:
        words = " ".join(str(error).split())[:200]
        at = f" at revision {config.revision!r}" if config.revision else ""
        message = (
            f"cannot find model {config.model!r}{at}: {words}; check the name and the network, or "
            "let `model` name a folder with config.json and safetensors weights"
        )
        raise ModelError(message, code="model_unloadable", model=config.model) from error
    return Path(known).name
