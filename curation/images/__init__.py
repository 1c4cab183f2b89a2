"""Pictures: one decode gives validity, identity, quality facts, a miniature and a vector."""

from __future__ import annotations

from curation.images.damage import ImageError
from curation.images.decoding import Decoded, decode
from curation.images.facts import facts, is_blank
from curation.images.image_pass import ImagePass, inspect
from curation.images.settings import ImagesConfig

__all__ = [
    "Decoded",
    "ImageError",
    "ImagePass",
    "ImagesConfig",
    "decode",
    "facts",
    "inspect",
    "is_blank",
]
