"""Define an encoder: it turns pictures and texts into unit vectors, whatever the batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, Protocol

from medsift.arrays import Flags, Pixels, Vectors
from medsift.config import Config

if TYPE_CHECKING:
    from PIL.Image import Image


class Reader(Protocol):
    """A judge of which texts an encoder can read."""

    def reads(self, texts: Sequence[str]) -> Flags:
        """Return whether each text (n,) can be read: its vector then reflects what it says."""
        ...


class Encoder(Reader, Protocol):
    """A loaded model.

    Vectors have unit norm, or are all zero for a text that is empty or that the model cannot read:
    a zero vector means "nothing is known" and is similar to no other.
    """

    name: str
    image_dimension: int
    text_dimension: int
    shared_space: bool
    """Whether image and text vectors may be compared with each other."""

    def prepare(self, image: Image) -> Pixels:
        """Resize and crop a decoded picture to the model's input, uint8 (height, width, 3)."""
        ...

    def encode_images(self, pixels: Pixels) -> Vectors:
        """Return unit vectors (n, image_dimension) of prepared pictures (n, height, width, 3)."""
        ...

    def encode_texts(self, texts: Sequence[str]) -> Vectors:
        """Return unit vectors (n, text_dimension) of full texts, zero where `reads` is false."""
        ...


class EncoderConfig(Config):
    """Settings of an encoder; subclasses add a `kind: Literal[...]` tag and the methods."""

    shared_space: ClassVar[bool]
    """Whether its image and text vectors may be compared, known without loading the model."""

    @property
    def label(self) -> str:
        """Return the encoder's name in messages."""
        raise NotImplementedError

    def fingerprint(self) -> str:
        """Return the identity of the vectors: of settings, weights and preprocessing.

        Does not load the model. Raises ModelError when the weights cannot be found.
        """
        raise NotImplementedError

    def reader(self) -> Reader:
        """Return the judge of texts, without loading the model. Raises ModelError."""
        raise NotImplementedError

    def build(self) -> Encoder:
        """Load the model. Raises ModelError naming the weights and the fix."""
        raise NotImplementedError
