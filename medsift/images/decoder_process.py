"""Decode pictures in a child process, so that one which crashes the decoder fails alone."""

from __future__ import annotations

from typing import Any

from PIL import Image

from medsift.child_process import STALLED, ChildProcess, Lost, Work
from medsift.images.inspect_image import inspect, unread_row
from medsift.images.settings import ImagesConfig

Shown = tuple[str, tuple[int, int], bytes]
"""Mode, size and pixels of a picture on its way between processes."""


class DecoderProcess(ChildProcess):
    """A child process that inspects one picture after the other, for one thread at a time."""

    def __init__(self, config: ImagesConfig, seconds: float, work: Work | None = None) -> None:
        """Start a child that inspects by `work`, by `inspect_apart` when None."""
        super().__init__(work or inspect_apart, config, seconds)

    def inspect(self, ref: str, data: bytes) -> tuple[dict[str, Any], Image.Image | None]:
        """Return what `medsift.images.inspect_image.inspect` does.

        A picture with which two processes in a row are lost has the error `image_decoder_crashed`
        or `image_decoder_stalled`. Raises what `inspect` raises.
        """
        try:
            row, shown = self.ask(ref, data)
        except Lost as loss:
            return unread_row(ref, data) | {
                "error": loss.error,
                "detail": self._words(ref, loss),
            }, None
        return row, None if shown is None else Image.frombytes(*shown)

    def _words(self, ref: str, loss: Lost) -> str:
        if loss.error == STALLED:
            fix = "raise compute.decode_seconds and curate with --retry failed, or remove its row"
            return f"{ref} was not decoded within {self.seconds:g} s, tried twice; {fix}"
        fix = "convert the picture, or remove its row"
        return f"the decoder {loss} at {ref}, tried twice; {fix}"


def inspect_apart(
    ref: str, data: bytes, config: ImagesConfig
) -> tuple[dict[str, Any], Shown | None]:
    """Inspect a picture in a child process."""
    row, image = inspect(ref, data, config)
    return row, None if image is None else (image.mode, image.size, image.tobytes())
