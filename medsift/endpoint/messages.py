"""Turn turns and pictures into the messages of chat completions."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final, Literal

from medsift.errors import UsageError
from medsift.images.scaling import scaled
from medsift.models.chat_format import Turn
from medsift.vocabulary import IMAGE_MARK

if TYPE_CHECKING:
    from PIL.Image import Image

ImageFormat = Literal["png", "jpeg"]
JPEG_QUALITY: Final = 95


def to_messages(
    turns: Sequence[Turn],
    pictures: Sequence[Image],
    image_format: ImageFormat,
    max_pixels: int | None = None,
) -> list[dict[str, Any]]:
    """Return the turns as messages, with the next picture as a data URL at each mark.

    Args:
        turns: role and words of each turn, with a mark where a picture belongs.
        pictures: the pictures (mode L or RGB), in the order of the marks.
        image_format: how pictures are encoded.
        max_pixels: pixels to which larger pictures are scaled down.

    Raises:
        UsageError: there are not as many marks as pictures.
    """
    marks = sum(content.count(IMAGE_MARK) for _, content in turns)
    if marks != len(pictures):
        raise UsageError(
            f"a request has {marks} marks for {len(pictures)} pictures; put one {IMAGE_MARK} for"
            " each picture into its turns",
            code="samples_inconsistent",
            marks=marks,
            pictures=len(pictures),
        )
    urls = (data_url(picture, image_format, max_pixels) for picture in pictures)
    return [{"role": role, "content": _content(content, urls)} for role, content in turns]


def data_url(picture: Image, image_format: ImageFormat, max_pixels: int | None = None) -> str:
    """Return a picture (mode L or RGB) as a data URL, of at most `max_pixels` pixels."""
    buffer = io.BytesIO()
    how = {"quality": JPEG_QUALITY} if image_format == "jpeg" else {}
    scaled(picture, max_pixels).save(buffer, image_format, **how)
    return f"data:image/{image_format};base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"


def _content(words: str, urls: Iterator[str]) -> str | list[dict[str, Any]]:
    """Return a turn's content: words alone, or words and pictures in order."""
    if IMAGE_MARK not in words:
        return words
    parts: list[dict[str, Any]] = []
    for number, text in enumerate(words.split(IMAGE_MARK)):
        if number:
            parts.append({"type": "image_url", "image_url": {"url": next(urls)}})
        if text.strip():
            parts.append({"type": "text", "text": text.strip()})
    return parts
