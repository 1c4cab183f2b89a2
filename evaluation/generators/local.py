"""Define what generators that load a model share: adapter, generation, batches."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from pydantic import Field

from evaluation.generators.generator import GeneratorConfig
from medsift.models.adapters import adapter_fingerprint, with_adapter
from medsift.models.generation.continuation import Asking, Continuation
from medsift.models.generation.request import GenerationConfig
from medsift.models.language_model import ModelConfig
from medsift.storage.local_paths import AnyPath

CONTINUATION_VERSION: Final = 1
"""Raised when equal requests and settings give other replies."""


class LocalGeneratorConfig(GeneratorConfig):
    """Settings of a model that is loaded here; subclasses add `kind`, `model` and `build`."""

    model: ModelConfig
    """The model that is loaded."""
    adapter: AnyPath | None = None
    """Folder or URL of an adapter that PEFT saved, trained on this model; none by default."""
    generation: GenerationConfig = GenerationConfig()
    """How replies are generated."""
    batch_size: int | None = Field(None, ge=1)
    """Number of requests at once; 1 on a CPU and 8 on a GPU by default."""

    def own_name(self) -> str:
        """Return the model's last name, or its kind where it has none, and the adapter's folder."""
        named = getattr(self.model, "model", None) or getattr(self.model, "kind", "")
        adapter = f"+{self.adapter.absolute().name}" if self.adapter else ""
        return Path(str(named)).expanduser().absolute().name + adapter

    def identity(self) -> list[Any]:
        """Return what decides replies whatever the kind of model. Raises ModelError.

        The size of batches is no part of it, nor is a seed that nothing draws from.
        """
        how = self.generation
        sampled = [how.temperature, how.seed] if how.temperature else None
        adapter = adapter_fingerprint(self.adapter, self.model) if self.adapter else None
        settings = [how.max_new_tokens, sampled]
        return [CONTINUATION_VERSION, self.model.fingerprint(), adapter, settings]

    def continuation(self, model: Any, asking: Asking) -> Continuation:
        """Return a generator over a loaded model. Raises ModelError for an adapter of another."""
        if self.adapter is not None:
            model = with_adapter(model, self.adapter, self.model)
        return Continuation(model, asking, self.generation, self.batch_size)
