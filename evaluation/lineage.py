"""Read where an adapter comes from, as its training wrote it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from evaluation.generators import GeneratorConfig
from medsift.errors import InputError
from medsift.vocabulary import LINEAGE_NAME


@dataclass(frozen=True, slots=True)
class Lineage:
    """The training behind a model, and whether it was allowed despite leaks; None if unknown."""

    training_id: str | None = None
    contaminated: bool | None = None


def lineage_of(config: GeneratorConfig) -> Lineage:
    """The lineage of a model's adapter, or of a model trained in full; nothing for another.

    Raises InputError where the lineage cannot be read.
    """
    model = getattr(config, "model", None)
    trained = getattr(config, "adapter", None) or getattr(model, "model", None)
    path = Path(trained or ".").expanduser() / LINEAGE_NAME
    if trained is None or not path.is_file():
        return Lineage()
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
        return Lineage(told["training_id"], told["contaminated"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{path} is no lineage: {error}; put back the folder as training wrote it",
            code="lineage_unreadable",
        ) from error
