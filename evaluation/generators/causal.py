"""Ask language models that read no pictures."""

from __future__ import annotations

from typing import ClassVar, Literal

import pyarrow as pa

from evaluation.generators.generator import Generator
from evaluation.generators.local import LocalGeneratorConfig
from medsift import records
from medsift.models import AnyLanguageModel
from medsift.models.chat_format import FRAMING_VERSION
from medsift.models.generation.asking import AskInText


class CausalGenerator(LocalGeneratorConfig):
    """Settings of a causal language model: ``{kind: causal, model: {kind: embedded}}``."""

    kind: Literal["causal"] = "causal"
    """A language model that reads no pictures."""
    model: AnyLanguageModel
    """The language model that is asked."""

    looks: ClassVar[bool] = False

    def fingerprint(self) -> str:
        """Return the identity of the replies. Raises ModelError where it cannot be loaded."""
        return records.fingerprint([self.kind, FRAMING_VERSION, *self.identity()])

    def build(self, items: pa.Table) -> Generator:
        """Load model and adapter. Raises ModelError."""
        loaded = self.model.build()
        return self.continuation(loaded.model, AskInText(loaded))
