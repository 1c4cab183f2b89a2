"""Pictures: one decode gives validity, identity, quality facts, a miniature and a vector."""

from __future__ import annotations

from medsift.images.damage import ImageError
from medsift.images.decoded import Decoded
from medsift.images.decoding import decode
from medsift.images.facts import facts, is_blank
from medsift.images.settings import ImagesConfig

__all__ = [
    "Decoded",
    "ImageError",
    "ImagesConfig",
    "decode",
    "facts",
    "is_blank",
]
