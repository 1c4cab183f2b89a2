"""Decode bytes to pixels: JPEG, PNG, TIFF, BMP, WebP, GIF and DICOM.

Formats are recognised by content, never by name. Pillow's own limit on pixels is bypassed by
calling its format plugins directly, so that `ImagesConfig.max_pixels` alone decides, from the
header.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import PurePosixPath
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import (
    BmpImagePlugin,
    ExifTags,
    GifImagePlugin,
    Image,
    ImageFile,
    ImageOps,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

from medsift.images.damage import ImageError, foreign_bytes
from medsift.images.decoded import Decoded, check_size
from medsift.images.dicom_file import DICOM_START, encrypted, is_encrypted
from medsift.images.display import on_white, percentile_window, windowed, without_equal_channels
from medsift.images.settings import ImagesConfig

EXTENSIONS: Final = {
    **dict.fromkeys((".jpg", ".jpeg", ".jpe", ".jfif"), "JPEG"),
    **dict.fromkeys((".tif", ".tiff"), "TIFF"),
    **dict.fromkeys((".dcm", ".dicom"), "DICOM"),
    **{".png": "PNG", ".gif": "GIF", ".bmp": "BMP", ".webp": "WEBP"},
}
PLUGINS: Final[dict[str, Callable[[io.BytesIO], ImageFile.ImageFile]]] = {
    "JPEG": JpegImagePlugin.JpegImageFile,
    "PNG": PngImagePlugin.PngImageFile,
    "GIF": GifImagePlugin.GifImageFile,
    "BMP": BmpImagePlugin.BmpImageFile,
    "TIFF": TiffImagePlugin.TiffImageFile,
    "WEBP": WebPImagePlugin.WebPImageFile,
}
SIGNATURES: Final = {
    "JPEG": (b"\xff\xd8\xff",),
    "PNG": (b"\x89PNG\r\n\x1a\n",),
    "GIF": (b"GIF87a", b"GIF89a"),
    "TIFF": (b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+"),
    "BMP": (b"BM",),
}
UNREAD_FORMATS: Final = (
    (b"\x00\x00\x00\x0cjP  \r\n\x87\n", "JPEG 2000"),
    (b"\xff\x4f\xff\x51", "JPEG 2000"),
    (b"\x00\x00\x00\x0cJXL \r\n\x87\n", "JPEG XL"),
    (b"\xff\x0a", "JPEG XL"),
    (b"II\xbc\x01", "JPEG XR"),
    (b"8BPS", "a Photoshop document"),
    (b"v/1\x01", "OpenEXR"),
    (b"%PDF-", "PDF"),
    (b"qoif", "QOI"),
    (b"DDS ", "DDS"),
    (b"\x00\x00\x01\x00", "an icon"),
)
# "P6" and its like are words as well, so a size or a comment must follow.
NETPBM: Final = re.compile(rb"P[1-6]\s+[\d#]|P7\nWIDTH")
NIFTI: Final = b"n+1\0"
TARGA_END: Final = b"TRUEVISION-XFILE.\x00"
UNREAD_BRANDS: Final = {
    **dict.fromkeys((b"avif", b"avis"), "AVIF"),
    **dict.fromkeys((b"heic", b"heix", b"hevc", b"hevx"), "HEIF"),
    **dict.fromkeys((b"heim", b"heis", b"mif1", b"msf1"), "HEIF"),
}
DEEP_MODES: Final = ("I", "F", "I;16", "I;16B", "I;16L", "I;16N")
WHITE_IS_ZERO: Final = 0
# SampleFormat of TIFF.
UNSIGNED, SIGNED, FLOATING, VOID = 1, 2, 3, 4
READ_FORMS: Final = (UNSIGNED, SIGNED, FLOATING)


def decode(data: bytes, name: str, config: ImagesConfig) -> Decoded:
    """Decode a picture; the first frame of several, the middle one of a DICOM series.

    Pictures of more than 8 bits a channel are shown through a window from their 0.1th to their
    99.9th percentile (`percentile_window`), DICOM through the window it names; 1-bit and palette
    pictures by their colours, transparent ones on white, EXIF orientation applied.

    Args:
        data: The whole file.
        name: Path or URL, of which only the extension is looked at, for a note when it lies.
        config: Limits on size.

    Raises:
        ImageError: With its reason code.
    """
    if not data:
        raise ImageError("image_empty", f"{name} has 0 bytes; replace the file or remove its row")
    kind = sniff(data, name)
    if kind == "DICOM":
        from medsift.images.dicom import decode_dicom

        decoded = decode_dicom(data, name, config)
    else:
        decoded = _decode_pillow(data, name, kind, config)
    extension = _extension(name)
    if EXTENSIONS.get(extension, kind) == kind:
        return decoded
    return replace(decoded, notes=(f"named {extension}, is {kind}", *decoded.notes))


def sniff(data: bytes, name: str) -> str:
    """Return the format of `data` by its first bytes. Raises ImageError not_an_image."""
    # First, because a DICOM file may carry a TIFF header in the 128 bytes before its mark.
    if data[128:132] == b"DICM":
        return "DICOM"
    for kind, signatures in SIGNATURES.items():
        if data.startswith(signatures):
            return kind
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WEBP"
    if is_encrypted(data[:DICOM_START]):
        raise encrypted(name)
    if data[344:348] == NIFTI or name.lower().endswith((".nii", ".nii.gz")):
        words = f"{name} is a NIfTI volume; write volumes: {{}} under its source to cut slices"
        raise ImageError("image_unsupported", words)
    if foreign := _foreign_kind(data):
        raise ImageError("image_unsupported", f"{name} is {foreign}; convert it to PNG")
    # DICOM written without its preamble starts like any binary file, so its name decides.
    if EXTENSIONS.get(_extension(name)) == "DICOM":
        return "DICOM"
    allowed = ", ".join(sorted({*PLUGINS, "DICOM"}))
    words = f"{name} starts with {data[:12]!r}; allowed are {allowed}; convert it"
    raise ImageError("not_an_image", words)


def _foreign_kind(data: bytes) -> str | None:
    """Return the name of a picture format that is known and not read, or None."""
    if data[4:8] == b"ftyp":
        return UNREAD_BRANDS.get(data[8:12])
    if NETPBM.match(data):
        return "a Netpbm picture (PBM, PGM, PPM)"
    if data.endswith(TARGA_END):
        return "TGA"
    return next((kind for mark, kind in UNREAD_FORMATS if data.startswith(mark)), None)


def _extension(name: str) -> str:
    return PurePosixPath(name.rpartition("/")[2]).suffix.lower()


def _decode_pillow(data: bytes, name: str, kind: str, config: ImagesConfig) -> Decoded:
    with foreign_bytes(name, kind):
        if kind == "TIFF":
            _check_samples(data, name)
        picture = PLUGINS[kind](io.BytesIO(data))
        width, height = picture.size
    check_size(width, height, name, config)
    with foreign_bytes(name, kind):
        mode, depth = picture.mode, _bit_depth(picture, data)
        notes = ["first frame of several"] if getattr(picture, "is_animated", False) else []
        picture.seek(0)
        orientation = picture.getexif().get(ExifTags.Base.Orientation, 1)
        inverted = _is_white_zero(picture)
        picture.load()
        upright = ImageOps.exif_transpose(picture) if orientation != 1 else picture
        shown, more = _plain(_with_signs(upright, picture))
    if orientation in range(2, 9):
        notes.append(f"EXIF orientation {orientation} applied")
    if shown.mode in DEEP_MODES:
        image, stored, window_note = _deep_forms(shown, inverted)
        more.append(window_note)
    else:
        image = without_equal_channels(shown) if shown.mode == "RGB" else shown
        stored = np.asarray(image)
    if depth > 8 and stored.dtype == np.uint8:
        more.append(f"{depth} bits a channel read as 8")
    return Decoded(image, stored, mode, depth, kind, (*notes, *more))


def _check_samples(data: bytes, name: str) -> None:
    """Refuse samples that no mode of Pillow can store. Raises ImageError image_unsupported."""
    # A header of version 43, BigTIFF, has sixteen bytes.
    header = TiffImagePlugin.ImageFileDirectory_v2(data[: 16 if 43 in data[2:4] else 8])
    stream = io.BytesIO(data)
    stream.seek(header.next)
    header.load(stream)
    bits, form = _sample_type(header)
    if bits > 32 or (form == UNSIGNED and bits == 32) or form not in (*READ_FORMS, VOID):
        kinds = {UNSIGNED: "unsigned", SIGNED: "signed", FLOATING: "floating point"}
        words = f"{name} is a TIFF of {bits}-bit {kinds.get(form, f'format {form}')} samples"
        fix = "convert it to 8 or 16 bits or to 32-bit floating point"
        raise ImageError("image_unsupported", f"{words}; {fix}")


def _sample_type(tags: Any) -> tuple[int, int]:
    """Return the bits of the first channel of a TIFF and their SampleFormat."""
    bits = tags.get(TiffImagePlugin.BITSPERSAMPLE, (1,))
    form = tags.get(TiffImagePlugin.SAMPLEFORMAT, (UNSIGNED,))
    return int(bits[0]), int(form[0])


def _with_signs(picture: Image.Image, source: ImageFile.ImageFile) -> Image.Image:
    """Return a TIFF of signed bytes as a deeper picture; Pillow drops the sign."""
    tags: Any = getattr(source, "tag_v2", None)
    if tags is None or _sample_type(tags) != (8, SIGNED) or picture.mode != "L":
        return picture
    return Image.fromarray(np.asarray(picture).view(np.int8).astype(np.int32))


def _plain(picture: Image.Image) -> tuple[Image.Image, list[str]]:
    """Return the picture in a deep mode, L or RGB, transparency drawn on white; and notes."""
    if picture.mode in DEEP_MODES:
        return picture, []
    notes: list[str] = []
    if picture.has_transparency_data:
        picture, drawn = on_white(picture)
        notes += ["transparency drawn on white"] if drawn else []
    if picture.mode not in ("L", "RGB"):
        picture = picture.convert("L" if picture.mode == "1" else "RGB")
    return picture, notes


def _deep_forms(
    picture: Image.Image, inverted: bool
) -> tuple[Image.Image, NDArray[np.generic], str]:
    """Return the picture through its window, its values, and a note on the window."""
    values = np.asarray(picture)
    if inverted and values.dtype.kind == "u":
        values = np.iinfo(values.dtype).max - values
    low, high = percentile_window(values)
    note = f"values {values.min():g} to {values.max():g} shown from {low:g} to {high:g}"
    return Image.fromarray(windowed(values, low, high)), values, note


def _is_white_zero(picture: ImageFile.ImageFile) -> bool:
    """Return whether a deep TIFF counts from white; Pillow inverts only shallow ones."""
    tags: Any = getattr(picture, "tag_v2", None)
    if tags is None or picture.mode not in DEEP_MODES:
        return False
    return bool(tags.get(TiffImagePlugin.PHOTOMETRIC_INTERPRETATION, 1) == WHITE_IS_ZERO)


def _bit_depth(picture: ImageFile.ImageFile, data: bytes) -> int:
    """Return the bits a channel in the file, which Pillow's mode does not always show."""
    if picture.format == "PNG":
        return data[24]
    tags: Any = getattr(picture, "tag_v2", None)
    if tags is not None:
        return int(tags.get(TiffImagePlugin.BITSPERSAMPLE, (1,))[0])
    return 1 if picture.mode == "1" else 8
