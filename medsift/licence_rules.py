"""Refuse a selection for the licences of its samples, as its run's recipe says."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Literal

from pydantic import Field

from medsift.config import Config
from medsift.errors import UsageError
from medsift.licence_classes import excluding, spdx

Licences = Sequence[str | None]


class LicencesConfig(Config):
    """Settings of what is done where licences of one selection exclude each other."""

    conflicts: Literal["note", "refuse", "separate"] = "note"
    """`note` them in card and audit, `refuse` to export and train, or `separate` the export into
    one part for each class of licences; training refuses too."""
    allow: tuple[str, ...] = Field(default=())
    """Licences that rows may have; with others, or none, export and training refuse. All when
    empty."""


def check_licences(licences: Licences, config: LicencesConfig, *, separable: bool = False) -> None:
    """Raise UsageError where the recipe refuses licences of a selection, or their mixture.

    Args:
        licences: Those of the samples; None for samples without one.
        config: What the recipe says.
        separable: Whether the caller can keep classes of licences apart.
    """
    if config.allow:
        allowed = {spdx(name) or name for name in config.allow}
        others = [name for name in licences if name is None or (spdx(name) or name) not in allowed]
        if others:
            named = ", ".join(name or "none" for name in others)
            raise UsageError(
                f"samples have licences that licences.allow does not list: {named}; leave their "
                "rows out by a filter, or add the licence",
                code="licence_not_allowed",
                licences=others,
            )
    pairs = excluding(licences)
    if pairs and (
        config.conflicts == "refuse" or (config.conflicts == "separate" and not separable)
    ):
        listed = "; ".join(f"{one} and {other}" for one, other in pairs)
        raise UsageError(
            f"licences exclude each other: {listed}; select one side by a filter, "
            "or set licences.conflicts to separate",
            code="licences_exclude_each_other",
            pairs=pairs,
        )


def licences_config(recipe: str | None) -> LicencesConfig:
    """Return the settings of a run from its recipe (JSON); the defaults where it has none."""
    settings: Any = json.loads(recipe or "{}").get("licences")
    return LicencesConfig.model_validate(settings) if settings else LicencesConfig()
