"""Define an encoder: pictures and texts to unit vectors, the same vector whatever the batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, Protocol

from medsift.arrays import Flags, Pixels, Vectors
from medsift.config import Config

if TYPE_CHECKING:
    from PIL.Image import Image


class Reader(Protocol):
    """What knows which texts an encoder can read."""

    def reads(self, texts: Sequence[str]) -> Flags:
        """Whether each text (n,) can be read: unlike texts that can have unlike vectors."""
        ...


class Encoder(Reader, Protocol):
    """A loaded model.

    Vectors have unit norm, or are all zero for a text that is empty or that the model cannot read:
    who uses them takes zero for "nothing is known", never for a likeness.
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
        """Unit vectors (n, image_dimension) of prepared pictures (n, height, width, 3)."""
        ...

    def encode_texts(self, texts: Sequence[str]) -> Vectors:
        """Unit vectors (n, text_dimension) of texts, zero where `reads` is false.

        A vector represents the whole of its text, however long.
        """
        ...


class EncoderConfig(Config):
    """Settings of an encoder; subclasses add a `kind: Literal[...]` tag and the two methods."""

    shared_space: ClassVar[bool]
    """The encoder's own, known without loading it."""

    @property
    def label(self) -> str:
        """What messages call it."""
        raise NotImplementedError

    def fingerprint(self) -> str:
        """Identity of the vectors: equal settings, weights and preprocessing, equal digest.

        Does not load the model. Raises ModelError when the weights cannot be found.
        """
        raise NotImplementedError

    def reader(self) -> Reader:
        """What tells which texts can be read, without loading the model. Raises ModelError."""
        raise NotImplementedError

    def build(self) -> Encoder:
        """Load the model. Raises ModelError naming the weights and the fix."""
        raise NotImplementedError
