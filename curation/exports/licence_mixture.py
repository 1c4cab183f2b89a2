"""Separate a selection by the licences of its samples, where the recipe says so."""

from __future__ import annotations

from medsift.licence_classes import excluding, licence_class
from medsift.licence_rules import Licences, LicencesConfig, check_licences


def licence_parts(licences: Licences, config: LicencesConfig) -> dict[str, list[str | None]] | None:
    """Return the licences of each part of an export by the part's name; None for an export in one.

    Raises:
        UsageError: the recipe refuses the mixture, or a licence that it does not allow.
    """
    check_licences(licences, config, separable=True)
    if config.conflicts != "separate" or not excluding(licences):
        return None
    parts: dict[str, list[str | None]] = {}
    for name in licences:
        parts.setdefault(licence_class(name).group, []).append(name)
    return dict(sorted(parts.items()))
