"""Mutate pictures: any bytes, or what the structure of a format says about lengths and sizes."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np

HEAD: Final = 512
PNG_MARK: Final = b"\x89PNG\r\n\x1a\n"
ODD: Final = (0, 1, 6, 127, 128, 254, 255)
EXTREME: Final = (0, 1, 2, 3, 8, 16, 255, 256, 32_767, 65_535, 2**31 - 1, 2**32 - 1)
BOMB: Final = zlib.compress(bytes(8 << 20), 9)
Bytes = bytearray
Random = np.random.Generator


def mutate(kind: str, data: bytes, random: Random) -> bytes:
    """A copy with a change or a few: to the structure of its format, or to any of its bytes."""
    structured = STRUCTURED.get(kind)
    if structured is not None and random.random() < 0.3:
        data = structured(data, random)
        if random.random() < 0.7:
            return data
    return _with_other_bytes(data, random)


def _with_other_bytes(data: bytes, random: Random) -> bytes:
    """A copy with other bytes, half of them near the head, where the structure is."""
    changed = bytearray(data)
    for _ in range(int(random.geometric(0.5))):
        if not changed:
            break
        end = min(HEAD, len(changed)) if random.random() < 0.5 else len(changed)
        CHANGES[int(random.integers(len(CHANGES)))](changed, int(random.integers(end)), random)
    if changed.startswith(PNG_MARK) and random.random() < 0.8:
        _repair(changed)  # else a checksum keeps nearly every change from the decoder
    return bytes(changed)


def _repair(data: Bytes) -> None:
    """Put the right checksum behind every chunk of a PNG, as far as its lengths lead."""
    place = len(PNG_MARK)
    while place + 12 <= len(data):
        end = place + 8 + int.from_bytes(data[place : place + 4], "big")
        if end + 4 > len(data):
            break
        data[end : end + 4] = zlib.crc32(data[place + 4 : end]).to_bytes(4, "big")
        place = end + 4


def _set(data: Bytes, place: int, random: Random) -> None:
    """Flip a bit, or set a byte to an odd or to any value."""
    values = (data[place] ^ 1 << int(random.integers(8)), random.choice(ODD), random.integers(256))
    data[place] = int(values[int(random.integers(3))])


def _extreme(data: Bytes, place: int, random: Random) -> None:
    """A length or a count of two or four bytes becomes nothing or all there is."""
    size = 2 << int(random.integers(2))
    data[place : place + size] = bytes([0xFF if random.random() < 0.5 else 0] * size)


def _cut(data: Bytes, place: int, random: Random) -> None:
    del data[place : place + int(random.integers(1, 17))]


def _insert(data: Bytes, place: int, random: Random) -> None:
    data[place:place] = random.bytes(int(random.integers(1, 17)))


def _copy(data: Bytes, place: int, random: Random) -> None:
    start = int(random.integers(len(data)))
    piece = data[start : start + int(random.integers(1, 65))]
    data[place : place + len(piece)] = piece


def _end(data: Bytes, place: int, random: Random) -> None:
    if random.random() < 0.2:  # rarely, since what is cut short hides every later change
        del data[place:]


CHANGES: tuple[Callable[[Bytes, int, Random], None], ...] = (
    *(_set, _set, _set),  # the most frequent change
    *(_extreme, _cut, _insert, _copy, _end),
)


def _one(values: Any, random: Random) -> Any:
    return values[int(random.integers(len(values)))]


def _png(data: bytes, random: Random) -> bytes:
    """A PNG with a chunk more, less, twice, in another place, or with another head."""
    chunks = []
    place = len(PNG_MARK)
    while place + 12 <= len(data):
        end = place + 8 + int.from_bytes(data[place : place + 4], "big")
        chunks.append((data[place + 4 : place + 8], data[place + 8 : end]))
        place = end + 4
    at = int(random.integers(len(chunks)))
    change = int(random.integers(5))
    if change == 0:
        chunks.insert(at, _one(chunks, random))
    elif change == 1:
        del chunks[at]
    elif change == 2:
        chunks.insert(int(random.integers(len(chunks))), chunks.pop(at))
    elif change == 3:
        chunks.insert(1 + at % max(len(chunks) - 1, 1), _one(PNG_CHUNKS, random)(random))
    else:
        sides = [int(_one((1, 40, *EXTREME), random)) for _ in range(2)]
        head = struct.pack(">II5B", *sides, *(int(_one((0, 1, 2, 3, 4, 6, 8, 16), random))
                                             for _ in range(5)))  # fmt: skip
        chunks[0] = (b"IHDR", head)
    return PNG_MARK + b"".join(
        len(body).to_bytes(4, "big") + name + body + zlib.crc32(name + body).to_bytes(4, "big")
        for name, body in chunks
    )


PNG_CHUNKS: Final[tuple[Callable[[Random], tuple[bytes, bytes]], ...]] = (
    lambda _: (b"zTXt", b"a\0\0" + BOMB),
    lambda _: (b"iTXt", b"a\0\1\0\0\0" + BOMB),
    lambda _: (b"iCCP", b"a\0\0" + BOMB),
    lambda _: (b"IDAT", BOMB),
    lambda random: (b"tEXt", random.bytes(int(random.integers(1 << 16)))),
    lambda random: (b"eXIf", b"MM\0*" + random.bytes(60)),
    lambda random: (b"PLTE", random.bytes(3 * int(random.integers(300)))),
    lambda random: (b"tRNS", random.bytes(int(random.integers(300)))),
    lambda random: (b"acTL", struct.pack(">II", *(int(_one(EXTREME, random)) for _ in "ab"))),
    lambda random: (b"fcTL", random.bytes(26)),
    lambda random: (b"fdAT", random.bytes(40)),
    lambda _: (b"IEND", b""),
)


def _tiff(data: bytes, random: Random) -> bytes:
    """A TIFF with another tag, type, count or value, or a directory that follows itself."""
    order = "<" if data[:2] == b"II" else ">"
    (start,) = struct.unpack_from(order + "I", data, 4)
    (count,) = struct.unpack_from(order + "H", data, start)
    changed = bytearray(data)
    entry = start + 2 + 12 * int(random.integers(count))
    what = int(random.integers(5))
    if what == 0:
        struct.pack_into(order + "H", changed, entry, int(_one(TIFF_TAGS, random)))
    elif what == 1:
        struct.pack_into(order + "H", changed, entry + 2, int(random.integers(20)))
    elif what == 2:
        struct.pack_into(order + "I", changed, entry + 4, int(_one(EXTREME, random)))
    elif what == 3:
        struct.pack_into(order + "I", changed, entry + 8, int(_one(EXTREME, random)))
    else:
        struct.pack_into(order + "I", changed, start + 2 + 12 * count, start)
    return bytes(changed)


TIFF_TAGS: Final = (*range(256, 300), *range(317, 341), 347, 530, 532, 34665, 34675, 700)


def _jpeg(data: bytes, random: Random) -> bytes:
    """A JPEG with another size in its frame, a segment more, or its scans many times."""
    what = int(random.integers(4))
    frame = next((at for mark in (b"\xff\xc0", b"\xff\xc2") if (at := data.find(mark)) > 0), 0)
    scan = data.find(b"\xff\xda")
    if what == 0 and frame:
        sides = (int(_one((1, 40, 56, 4_000, 65_535), random)) for _ in range(2))
        return data[: frame + 5] + struct.pack(">HH", *sides) + data[frame + 9 :]
    if what == 1 and scan > 0:
        return data[:-2] + data[scan:-2] * int(random.integers(1, 60)) + data[-2:]
    if what == 2 and frame:
        return data[:frame] + data[frame : frame + 19] + data[frame:]
    mark = bytes([0xFF, int(random.integers(0xC0, 0xFF))])
    length = int(_one((0, 1, 2, 40, 65_535), random)).to_bytes(2, "big")
    return data[:2] + mark + length + random.bytes(int(random.integers(64))) + data[2:]


def _dicom(data: bytes, random: Random) -> bytes:
    """A DICOM file with another value of an element, without one, or of another syntax."""
    import pydicom
    from pydicom import config

    before = config.settings.reading_validation_mode, config.settings.writing_validation_mode
    config.settings.reading_validation_mode = config.settings.writing_validation_mode = (
        config.IGNORE
    )
    try:
        dataset = pydicom.dcmread(io.BytesIO(data), force=True)
        name = str(_one(list(DICOM_VALUES), random))
        what = int(random.integers(6))
        if what == 0:
            dataset.pop(name, None)
        elif what == 1:
            dataset.file_meta.TransferSyntaxUID = str(_one(DICOM_SYNTAXES, random))
        elif what == 2:
            inner = pydicom.Dataset()
            for _ in range(int(random.integers(1, 40))):
                outer = pydicom.Dataset()
                outer.SharedFunctionalGroupsSequence = [inner]
                inner = outer
            dataset.SharedFunctionalGroupsSequence = [inner]
        else:
            setattr(dataset, name, _one(DICOM_VALUES[name], random))
        out = io.BytesIO()
        pydicom.dcmwrite(out, dataset, enforce_file_format=False)
    except (ValueError, TypeError, AttributeError, KeyError, OverflowError, struct.error, OSError):
        return data  # a value that pydicom cannot write
    finally:
        config.settings.reading_validation_mode, config.settings.writing_validation_mode = before
    return out.getvalue()


SHORTS: Final = (0, 1, 2, 3, 7, 8, 12, 16, 17, 32, 64, 512, 65_535)
NUMBERS: Final = ("0", "-1", "1e308", "-1e308", "nan", "inf", "1e-300", "abc", "", "9" * 16)
DICOM_VALUES: Final[Mapping[str, tuple[Any, ...]]] = {
    **dict.fromkeys(("Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit"), SHORTS),
    **dict.fromkeys(("SamplesPerPixel", "PixelRepresentation", "PlanarConfiguration"), SHORTS),
    **dict.fromkeys(("WindowCenter", "WindowWidth", "RescaleSlope"), NUMBERS),
    "RescaleIntercept": NUMBERS,
    "NumberOfFrames": ("0", "1", "2", "-1", "99999999", "abc", ""),
    "PixelPaddingValue": (0, 1, 65_535),
    "VOILUTFunction": ("SIGMOID", "LINEAR_EXACT", "OTHER"),
    "PhotometricInterpretation": (
        *("MONOCHROME1", "MONOCHROME2", "RGB", "PALETTE COLOR", "YBR_FULL", "YBR_FULL_422"),
        *("YBR_ICT", "YBR_RCT", "", "CMYK"),
    ),
    "PixelData": (b"", b"\0", bytes(1 << 20)),
}
DICOM_SYNTAXES: Final = (
    *("1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.1.99"),
    *("1.2.840.10008.1.2.2", "1.2.840.10008.1.2.5", "1.2.840.10008.1.2.4.50"),
    *("1.2.840.10008.1.2.4.57", "1.2.840.10008.1.2.4.70", "1.2.840.10008.1.2.4.80"),
    *("1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.4.91", "1.2.3"),
)
STRUCTURED: Final[Mapping[str, Callable[[bytes, Random], bytes]]] = {
    "PNG": _png,
    "TIFF": _tiff,
    "JPEG": _jpeg,
    "DICOM": _dicom,
}
