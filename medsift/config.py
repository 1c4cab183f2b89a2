"""Define the base class of all settings: frozen, complete, without unknown keys."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Final, Self

from pydantic import BaseModel, ConfigDict, ValidationInfo, model_validator

_STORED: Final = "stored"


class Config(BaseModel):
    """A group of settings that refuses unknown keys and never changes once made."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)

    renamed_keys: ClassVar[Mapping[str, str]] = {}
    """Keys of earlier versions and their names today: an old key is refused with the new name.

    A name that means something else today is the old key in stored settings without the new name:
    what is stored is complete.
    """

    @classmethod
    def from_stored(cls, settings: Mapping[str, Any]) -> Self:
        """Return settings that an earlier version may have stored under other names.

        A recipe that a person writes is refused instead, because it will be read again later.
        Raises pydantic's ValidationError.
        """
        return cls.model_validate(settings, context=_STORED)

    def resolved(self) -> dict[str, Any]:
        """Return the settings with every default written out, as JSON-able values."""
        return self.model_dump(mode="json")

    def with_first_names(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        """Return a dump of these settings in which each key has the first name it ever had.

        Fingerprints are taken of such a dump, so that renaming a key does not change the identity
        of a run, training or study.
        """
        first = {today: earlier for earlier, today in reversed(list(self.renamed_keys.items()))}
        return {
            first.get(key, key): _with_first_names(getattr(self, key, None), dumped)
            for key, dumped in settings.items()
        }

    @model_validator(mode="before")
    @classmethod
    def _read_as_stored(cls, settings: Any, info: ValidationInfo) -> Any:
        if info.context != _STORED or not isinstance(settings, Mapping):
            return settings
        names = {
            key: today
            for key, today in cls.renamed_keys.items()
            if key not in cls.model_fields or today not in settings
        }
        return {names.get(key, key): value for key, value in settings.items()}


def _with_first_names(value: Any, dumped: Any) -> Any:
    if isinstance(value, Config) and isinstance(dumped, dict):
        return value.with_first_names(dumped)
    if isinstance(value, (list, tuple)) and isinstance(dumped, list):
        return [_with_first_names(*pair) for pair in zip(value, dumped, strict=True)]
    if isinstance(value, Mapping) and isinstance(dumped, dict):
        return {key: _with_first_names(value.get(key), item) for key, item in dumped.items()}
    return dumped
