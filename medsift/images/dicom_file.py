"""Read DICOM files within bounds: inflated bytes, number of elements, size of a frame."""

from __future__ import annotations

import io
import struct
import zlib
from typing import TYPE_CHECKING, BinaryIO, Final

from medsift.images.damage import ImageError, foreign_bytes
from medsift.images.decoded import check_size
from medsift.images.settings import ImagesConfig

if TYPE_CHECKING:
    from pydicom import Dataset

KIND: Final = "DICOM"
# A series of 1,000 frames with forty attributes each takes some 100,000 reads. Five times as many
# are parsed in seconds, and what they give takes some hundred MiB.
MOST_READS: Final = 500_000
MOST_TABLE_BYTES: Final = 4 << 20
"""Most bytes of a sequence with look-up tables; one of 65,536 entries takes 128 KiB."""
TABLES: Final = ("VOILUTSequence", "ModalityLUTSequence")
INFLATE_STEP: Final = 1 << 20
NEEDED: Final = ("Rows", "Columns", "PhotometricInterpretation", "PixelData")
RLE_SLACK: Final = 65_536
DICOM_START: Final = 132
BARE_SUFFIXES: Final = (".dcm", ".dicom")
"""Names of files that may be DICOM without its mark."""
ENVELOPED: Final = bytes.fromhex("06092a864886f70d010703")
"""The ASN.1 name of enveloped data of the cryptographic message syntax, 1.2.840.113549.1.7.3."""


class _Deflated(Exception):
    """Signal that the data set after the file's head is deflated; carries its bytes."""

    def __init__(self, packed: bytes) -> None:
        super().__init__()
        self.packed = packed


class BoundedReads:
    """A file with a limited number of reads: every element of a data set takes one or two.

    pydicom asks for all the rest only where it is about to inflate it, which is prevented.
    """

    def __init__(self, file: BinaryIO, name: str) -> None:
        self.file = file
        self.label = name
        self.left = MOST_READS
        self.seek, self.tell, self.close = file.seek, file.tell, file.close

    def read(self, size: int | None = -1, /) -> bytes:
        """Read like any file; raises ImageError image_too_large past the bound."""
        self.left -= 1
        if self.left < 0:
            words = f"{self.label}: the DICOM data set has more elements than {MOST_READS} reads"
            raise ImageError("image_too_large", f"{words} reach; export the picture alone")
        data = self.file.read(-1 if size is None else size)
        if size is None or size < 0:
            raise _Deflated(data)
        return data


def read_dataset(data: bytes, name: str, config: ImagesConfig) -> Dataset:
    """Return the data set of a file that has the tags of a picture.

    Raises:
        ImageError: image_truncated, image_too_large (see `BoundedReads` and `inflate`) or
            not_an_image, where there are no pixels inside.
    """
    import pydicom

    with foreign_bytes(name, KIND):
        try:
            bare = data[128:132] != b"DICM"
            dataset: Dataset = pydicom.dcmread(BoundedReads(io.BytesIO(data), name), force=bare)
        except _Deflated as signal:
            dataset = _read_deflated(inflate(signal.packed, name, config), name)
        missing = [tag for tag in NEEDED if tag not in dataset]
        float_pixels = "FloatPixelData" in dataset or "DoubleFloatPixelData" in dataset
    if missing and not (missing == ["PixelData"] and float_pixels):
        words = f"{name} is a DICOM file without {', '.join(missing)}"
        raise ImageError("not_an_image", f"{words}; name a file that holds pixels")
    with foreign_bytes(name, KIND):
        sizes = {tag: _raw_length(dataset, tag) for tag in TABLES}
    for tag, size in sizes.items():
        if size > MOST_TABLE_BYTES:
            words = f"{name}: {tag} has {size} bytes, at most {MOST_TABLE_BYTES} are read"
            raise ImageError("image_too_large", f"{words}; export the picture without it")
    return dataset


def read_head(file: BinaryIO, name: str, config: ImagesConfig) -> Dataset | None:
    """Return what a DICOM file says before its pixels, which are not read; None for other files.

    Raises:
        ImageError: image_truncated, image_too_large or, for an encrypted file, image_unsupported.
    """
    import pydicom

    start = file.read(DICOM_START)
    if is_encrypted(start):
        raise encrypted(name)
    bare = start[128:132] != b"DICM"
    if bare and not name.lower().endswith(BARE_SUFFIXES):
        return None
    file.seek(0)
    with foreign_bytes(name, KIND):
        try:
            head: Dataset = pydicom.dcmread(
                BoundedReads(file, name), force=bare, stop_before_pixels=True
            )
        except _Deflated as signal:
            head = _read_deflated(inflate(signal.packed, name, config), name)
            head.pop("PixelData", None)
    return head


def is_encrypted(start: bytes) -> bool:
    """Return whether bytes begin as a DICOM file in an encrypted envelope (PS3.15 annex D)."""
    return start[:1] == b"\x30" and ENVELOPED in start[:32]


def encrypted(name: str) -> ImageError:
    """Return the error of a file in an encrypted envelope."""
    return ImageError("image_unsupported", f"{name} is an encrypted DICOM file; decrypt it first")


def inflate(packed: bytes, name: str, config: ImagesConfig) -> bytes:
    """Unpack a deflated data set (DICOM PS3.5 A.5), up to the bytes that a file may have.

    Raises:
        ImageError: image_too_large past `config.max_bytes`, image_truncated for damage.
    """
    machine, pieces, total = zlib.decompressobj(-zlib.MAX_WBITS), [], 0
    with foreign_bytes(name, KIND):
        while not machine.eof:
            piece = machine.decompress(packed, INFLATE_STEP)
            packed = machine.unconsumed_tail
            total += len(piece)
            if total > config.max_bytes:
                words = f"{name} inflates to more than {config.max_bytes} bytes"
                fix = "raise images.max_bytes if the file is trusted"
                raise ImageError("image_too_large", f"{words}; {fix}")
            pieces.append(piece)
            if not piece and not packed:
                raise EOFError("the deflated data set has no end")
    return b"".join(pieces)


def check_frame(dataset: Dataset, index: int, name: str, config: ImagesConfig) -> None:
    """Refuse, before decoding, a compressed frame that would unpack to more than the header says.

    Args:
        dataset: the file, with its pixel data.
        index: the frame, from 0.
        name: what errors call the file.
        config: has the limits of `check_size`, which the frame's own header must keep too.

    Raises:
        ImageError: image_too_large, or image_truncated where the frame cannot be found.
    """
    from pydicom.encaps import get_frame
    from pydicom.uid import RLELossless

    with foreign_bytes(name, KIND):
        syntax = dataset.file_meta.TransferSyntaxUID
        if not syntax.is_encapsulated:
            return
        offsets = dataset.get("ExtendedOffsetTable"), dataset.get("ExtendedOffsetTableLengths")
        known = offsets if all(offsets) else None
        count, pixels = int(dataset.get("NumberOfFrames") or 1), dataset.PixelData
        frame = get_frame(pixels, index, extended_offsets=known, number_of_frames=count)
        samples, bits = int(dataset.SamplesPerPixel), int(dataset.BitsAllocated)
        expected = int(dataset.Rows) * int(dataset.Columns) * samples * bits // 8
        run_lengths = syntax == RLELossless
    if run_lengths and len(frame) > 2 * expected + RLE_SLACK:
        words = f"{name}: a run-length frame of {len(frame)} bytes for {expected} bytes of pixels"
        fix = "convert it to an uncompressed DICOM or PNG"
        raise ImageError("image_too_large", f"{words}; {fix}")
    claimed = None if run_lengths else frame_size(frame)
    if claimed is not None:
        check_size(*claimed, name, config)


def frame_size(frame: bytes) -> tuple[int, int] | None:
    """Return width and height in the header of a JPEG, JPEG-LS or JPEG 2000 frame, or None."""
    siz = frame.find(b"\xff\x4f\xff\x51")
    if siz >= 0 and len(frame) >= siz + 24:
        right, bottom, left, top = struct.unpack(">4I", frame[siz + 8 : siz + 24])
        return max(right - left, 0), max(bottom - top, 0)
    return _jpeg_size(frame) if frame.startswith(b"\xff\xd8") else None


def _jpeg_size(frame: bytes) -> tuple[int, int] | None:
    """Return the size in the first start-of-frame segment (ITU T.81 B.2.2, T.87 C.2.2)."""
    place = 2
    while place + 9 <= len(frame) and frame[place] == 0xFF:
        mark = frame[place + 1]
        if (0xC0 <= mark <= 0xCF and mark not in (0xC4, 0xC8, 0xCC)) or mark == 0xF7:
            height, width = struct.unpack(">2H", frame[place + 5 : place + 9])
            return width, height
        # A fill byte stands alone; every other segment says how long it is.
        place += 1 if mark == 0xFF else 2 + int.from_bytes(frame[place + 2 : place + 4], "big")
    return None


def _read_deflated(data: bytes, name: str) -> Dataset:
    """Return the inflated data set, with the transfer syntax by which its pixels are read."""
    from pydicom import filereader, uid
    from pydicom.dataset import FileDataset, FileMetaDataset

    stream = BoundedReads(io.BytesIO(data), name)
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = uid.DeflatedExplicitVRLittleEndian
    content = filereader.read_dataset(stream, is_implicit_VR=False, is_little_endian=True)
    dataset = FileDataset(stream, content, file_meta=meta, is_implicit_VR=False)
    dataset.set_original_encoding(False, True)
    return dataset


def _raw_length(dataset: Dataset, tag: str) -> int:
    """Return the bytes of an element; 0 where it is missing or already parsed."""
    from pydicom.dataelem import RawDataElement

    if tag not in dataset:
        return 0
    element = dataset.get_item(tag)
    return len(element.value or b"") if isinstance(element, RawDataElement) else 0
