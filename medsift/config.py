"""Define the base of every typed setting: frozen, complete, no unknown keys."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from pydantic import BaseModel, ConfigDict


class Config(BaseModel):
    """A group of settings that refuses unknown keys and never changes once made."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)

    renamed_keys: ClassVar[Mapping[str, str]] = {}
    """Keys of earlier versions and their names today: an old key is refused with the new name."""
