"""The base of every typed setting: frozen, complete, no unknown keys."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Config(BaseModel):
    """A group of settings that refuses unknown keys and never changes once made."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)
