"""Damaged and oversized pictures fail alone, with their reason; a fault of ours stays loud."""

from __future__ import annotations

import io
import struct
import tracemalloc
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks.fuzz_pictures import MOST_SECONDS, fuzz
from medsift.images import ImageError, ImagesConfig, decode, decoding
from medsift.images.inspect_image import inspect

CONFIG = ImagesConfig()


def scene() -> Image.Image:
    """A grey picture without symmetry."""
    y, x = np.mgrid[0:32, 0:48]
    return Image.fromarray((x * 3 + y * 2).astype(np.uint8))


def saved(image: Image.Image, kind: str) -> bytes:
    out = io.BytesIO()
    image.save(out, kind)
    return out.getvalue()


def dicom(name: str) -> bytes:
    from pydicom.data import get_testdata_file

    return Path(str(get_testdata_file(name, download=False))).read_bytes()


def reason(data: bytes, name: str, config: ImagesConfig = CONFIG) -> str:
    with pytest.raises(ImageError) as caught:
        decode(data, name, config)
    return caught.value.reason


class Unheard(Exception):
    """An exception that no list of a decoder's exceptions could name."""


def test_whatever_a_decoder_raises_is_damage_with_its_type(monkeypatch: pytest.MonkeyPatch) -> None:
    def explode(*_: object, **__: object) -> None:
        raise Unheard("odd")

    monkeypatch.setitem(decoding.PLUGINS, "PNG", explode)
    line, image = inspect("a.png", saved(scene(), "PNG"), CONFIG)
    assert (line["error"], image) == ("image_truncated", None)
    assert "Unheard: odd" in line["detail"]
    monkeypatch.setattr("pydicom.dcmread", explode)
    line, _ = inspect("a.dcm", dicom("CT_small.dcm"), CONFIG)
    assert line["error"] == "image_truncated"
    assert "Unheard" in line["detail"]


@pytest.mark.parametrize(
    ("place", "name"),
    [
        ("medsift.images.decoding.without_equal_channels", "a.png"),
        ("medsift.images.dicom.window_shares", "MR.dcm"),
        ("medsift.images.dicom.windowed", "CT.dcm"),
        ("medsift.images.inspect_image.facts", "a.png"),
    ],
)
def test_a_fault_of_ours_stays_loud(place: str, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def explode(*_: object, **__: object) -> None:
        raise KeyError("ours")

    monkeypatch.setattr(place, explode)
    files = {
        "a.png": saved(scene().convert("RGB"), "PNG"),
        "CT.dcm": dicom("CT_small.dcm"),
        "MR.dcm": dicom("MR_small.dcm"),
    }
    with pytest.raises(KeyError, match="ours"):
        inspect(name, files[name], CONFIG)


def test_a_group_length_of_an_odd_size_fails_its_picture_alone() -> None:
    data = bytearray(dicom("CT_small.dcm"))
    data[138] = 6
    line, _ = inspect("bad.dcm", bytes(data), CONFIG)
    assert line["error"] == "image_truncated"
    assert "BytesLengthException" in line["detail"]


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_mutated_pictures_of_every_format_all_have_a_fate(seed: int) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fates, slowest = fuzz(800, seed)
    assert slowest < MOST_SECONDS
    assert sum(counts.total() for counts in fates.values()) == 800
    assert not [name for counts in fates.values() for name in counts if name.startswith("CRASH")]
    assert not fates.pop("JPEG2000")["read"]
    assert all(counts["read"] and counts["image_truncated"] for counts in fates.values())


def deflated(dataset: bytes, syntax: str = "1.2.840.10008.1.2.1.99") -> bytes:
    """A DICOM file whose data set, explicit little endian, is deflated."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    name = syntax.encode() + b"\0" * (len(syntax) % 2)
    head = b"\x02\0\x10\0UI" + struct.pack("<H", len(name)) + name
    length = b"\x02\0\0\0UL\x04\0" + struct.pack("<I", len(head))
    return bytes(128) + b"DICM" + length + head + packer.compress(dataset) + packer.flush()


def explicit(name: str) -> bytes:
    """The data set of a bundled explicit little endian file, without its head."""
    data = dicom(name)
    return data[144 + struct.unpack("<I", data[140:144])[0] :]


def test_a_deflated_dicom_is_the_same_picture() -> None:
    plain = decode(dicom("CT_small.dcm"), "a.dcm", CONFIG)
    assert decode(deflated(explicit("CT_small.dcm")), "a.dcm", CONFIG).image_id == plain.image_id


def test_a_deflated_bomb_is_refused_before_it_is_inflated() -> None:
    junk = b"\x09\0\x01\x10OB\0\0" + struct.pack("<I", 64 << 20) + bytes(64 << 20)
    bomb_file = deflated(explicit("CT_small.dcm")[:8] + junk)
    assert len(bomb_file) < 100_000
    tracemalloc.start()
    assert reason(bomb_file, "a.dcm", ImagesConfig(max_bytes=1 << 20)) == "image_too_large"
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 16 << 20
    cut = deflated(explicit("CT_small.dcm"))[:-2000]
    assert reason(cut, "a.dcm") == "image_truncated"


def test_a_dicom_of_endless_elements_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("medsift.images.dicom_file.MOST_READS", 1_000)
    assert decode(dicom("CT_small.dcm"), "a.dcm", CONFIG).format == "DICOM"
    many = b"".join(struct.pack("<HH2sH", 9, n, b"LO", 0) for n in range(0x1000, 0x2000))
    head = dicom("CT_small.dcm").removesuffix(explicit("CT_small.dcm"))
    assert reason(head + many + explicit("CT_small.dcm"), "a.dcm") == "image_too_large"
    assert reason(deflated(many), "a.dcm") == "image_too_large"


def test_a_compressed_frame_that_claims_too_many_pixels_is_refused_undecoded() -> None:
    data = dicom("SC_rgb_jpeg_dcmtk.dcm")
    start = data.index(b"\xff\xc0")
    claimed = data[: start + 5] + struct.pack(">HH", 60_000, 60_000) + data[start + 9 :]
    assert decode(data, "a.dcm", CONFIG).format == "DICOM"
    assert reason(claimed, "a.dcm") == "image_too_large"
    data = dicom("JPEG2000.dcm")
    start = data.index(b"\xff\x4f\xff\x51")
    claimed = data[: start + 8] + struct.pack(">II", 60_000, 60_000) + data[start + 16 :]
    assert decode(data, "a.dcm", CONFIG).format == "DICOM"
    assert reason(claimed, "a.dcm") == "image_too_large"
