"""Settings of what is done about identifiers, by class."""

from __future__ import annotations

from typing import Any, Final, Literal

from pydantic import Field, field_validator

from medsift.config import Config

Action = Literal["off", "flag", "mask", "drop"]

TEXT_KINDS: Final = (
    *("name", "date", "age", "number", "phone", "address", "email", "url", "case_link"),
)
"""Classes of identifiers in texts; `age` is one over 89, `case_link` a link to one patient."""
KEPT_KINDS: Final = ("side", "scale")
"""Classes of text in pictures that are never taken out: side and position markers, and scales."""
PICTURE_KINDS: Final = (*TEXT_KINDS, "device", "watermark", "other", *KEPT_KINDS)
"""Classes in pictures: `device` is where a known device writes, `other` text of no other class."""


class PrivacyConfig(Config):
    """Settings of what is done about identifiers in texts and pictures; docs/privacy.md."""

    text: Action = "off"
    """What is done about identifiers in every text and tag: `off` (only a note on the clearest
    ones), `flag`, `mask` them, or `drop` the row."""
    pictures: Action = "off"
    """The same for text burned into pictures (needs extra `privacy`); side markers and scales
    stay."""
    kinds: dict[str, Action] = Field(default_factory=dict)
    """Another action for single classes, for example `{url: flag, watermark: mask}`."""
    watermarks: tuple[str, ...] = ()
    """More words that make a line of text in a picture a watermark."""
    key_variable: str = "MEDSIFT_PRIVACY_KEY"
    """Environment variable with the secret from which pseudonyms of patients and studies are
    made; it is needed where texts are masked and a row names a patient or a study."""
    review_above: float = Field(0.15, ge=0.0, le=1.0)
    """Share of painted pixels above which a picture is listed for review."""
    review: Literal["keep", "drop"] = "keep"
    """Whether rows with a picture listed for review stay."""

    @field_validator("text", "pictures", mode="before")
    @classmethod
    def _off_is_a_word(cls, value: Any) -> Any:
        """YAML 1.1 reads a bare `off` as false."""
        return "off" if value is False else value

    @field_validator("kinds", mode="before")
    @classmethod
    def _off_is_an_action(cls, kinds: Any) -> Any:
        if not isinstance(kinds, dict):
            return kinds
        return {kind: "off" if action is False else action for kind, action in kinds.items()}

    @field_validator("kinds")
    @classmethod
    def _kinds_are_known(cls, kinds: dict[str, Action]) -> dict[str, Action]:
        for kind, action in kinds.items():
            if kind not in PICTURE_KINDS:
                raise ValueError(f"{kind!r} is no class; allowed: {', '.join(PICTURE_KINDS)}")
            if kind in KEPT_KINDS and action not in ("off", "flag"):
                raise ValueError(f"{kind!r} is never taken out; allowed: off, flag")
        return kinds

    def text_action(self, kind: str) -> Action:
        """Return what is done about a class of identifiers in texts."""
        return "off" if self.text == "off" else self.kinds.get(kind, self.text)

    def picture_action(self, kind: str) -> Action:
        """Return what is done about a class of text in pictures."""
        if self.pictures == "off":
            return "off"
        return self.kinds.get(kind, "flag" if kind in KEPT_KINDS else self.pictures)
