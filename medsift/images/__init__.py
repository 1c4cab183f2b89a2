"""Decode pictures once for their validity, identity, quality facts, miniature and vector."""

from __future__ import annotations

from medsift.images.damage import ImageError
from medsift.images.decoded import Decoded
from medsift.images.decoding import decode
from medsift.images.facts import facts, is_blank
from medsift.images.settings import ImagesConfig

__all__ = ["Decoded", "ImageError", "ImagesConfig", "decode", "facts", "is_blank"]
