"""Settings of which pictures are read and which are refused."""

from __future__ import annotations

from typing import Any, Final, Literal

from pydantic import Field, field_validator

from medsift.config import Config

DECODE_SECONDS: Final = 120
"""Seconds that the decoding of one picture may take, where a recipe says nothing else."""


class ImagesConfig(Config):
    """Settings of which pictures are refused or dropped; grey and smooth ones never are."""

    max_pixels: int = Field(100_000_000, ge=1)
    """Width times height above which a picture is refused from its header, before decoding."""
    max_bytes: int = Field(512 << 20, ge=1)
    """Bytes of a file, and of what it inflates to, above which a picture is refused unread."""
    min_side: int = Field(1, ge=1)
    """Shortest side in pixels that a picture must have."""
    drop_blank: bool = True
    """Whether pictures of practically one grey level are dropped."""
    blank_share: float = Field(0.995, gt=0.0, le=1.0)
    """Share of pixels of one grey level from which on a picture is blank."""
    burned_in_text: Literal["off", "flag"] = "off"
    """Whether text burned into pictures is noted (needs extra `privacy`); drops nothing."""

    @field_validator("burned_in_text", mode="before")
    @classmethod
    def _off_is_a_word(cls, value: Any) -> Any:
        """YAML 1.1 reads a bare `off` as false."""
        return "off" if value is False else value
