"""Guard the decoding of foreign bytes: whatever a decoder raises is damage, with its reason."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from PIL import Image

from medsift.errors import InputError


class ImageError(InputError):
    """A picture that cannot be used; `reason` is its code in the ledger.

    Codes: image_missing, image_unreadable, image_empty, not_an_image, image_truncated,
    image_too_large, image_too_small, image_unsupported.
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}", code=reason)
        self.reason = reason
        self.detail = detail


@contextmanager
def foreign_bytes(name: str, kind: str) -> Iterator[None]:
    """Turn every exception of a library that reads the file `name` into an ImageError.

    Only calls into Pillow and pydicom, and the lazy reading of their header values, belong inside:
    no list of their exceptions is complete. Our own work on the result stays outside, so that a
    bug of ours is never reported as a damaged picture.

    Args:
        name: The file, for the message.
        kind: Its format, for the message.

    Raises:
        ImageError: image_truncated, or image_too_large where Pillow refuses the size.
    """
    try:
        yield
    except ImageError:
        raise
    except Image.DecompressionBombError as error:
        raise ImageError("image_too_large", f"{name}: {error}; shrink the picture") from error
    except Exception as error:
        raise damaged(name, kind, error) from error


def damaged(name: str, kind: str, error: BaseException) -> ImageError:
    """Return the error of a file that begins as its format does and then does not decode."""
    detail = f"{name}: {kind} data ends early or is damaged: {words(error)}"
    return ImageError("image_truncated", detail)


def words(error: BaseException) -> str:
    """Return type and message of an exception in one line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}".removesuffix(": ")
