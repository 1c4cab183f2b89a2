"""Read slices of a NIfTI volume in a plane, turned as radiologists look at it."""

from __future__ import annotations

import gzip
import io
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from medsift.images.damage import ImageError, damaged, foreign_bytes
from medsift.images.decoded import check_size

if TYPE_CHECKING:
    from medsift.images.settings import ImagesConfig
    from medsift.images.volumes.settings import Plane

KIND: Final = "NIfTI"
SUFFIXES: Final = (".nii", ".nii.gz")
GZIP: Final = b"\x1f\x8b"
MAGIC: Final = {344: (b"n+1\0", 1), 4: (b"n+2\0", 2)}
PAIRS: Final = {344: b"ni1\0", 4: b"ni2\0"}
HEAD_BYTES: Final = 352
PIECE: Final = 1 << 20
AXES: Final[dict[str, tuple[int, int, int]]] = {
    "axial": (0, 1, 2),
    "coronal": (0, 2, 1),
    "sagittal": (1, 2, 0),
}
"""The axes of right-anterior-superior coordinates along columns, rows and slices of a plane."""
ORIENTATIONS: Final = {
    "axial": "columns toward L, rows toward P, slices toward S",
    "coronal": "columns toward L, rows toward I, slices toward P",
    "sagittal": "columns toward P, rows toward I, slices toward R",
}
MILLIMETRES: Final = {"meter": 1000.0, "mm": 1.0, "micron": 0.001, "unknown": 1.0}


@dataclass(frozen=True, slots=True)
class NiftiVolume:
    """A NIfTI volume cut in a plane; a slice is read when it is asked for.

    `positions` are those of the slices in mm, ascending; `pixel_mm` the distances of rows and
    columns; `window` the display range of the header, where it has one.
    """

    name: str
    plane: Plane
    data: Any
    shape: tuple[int, ...]
    turned: NDArray[np.float64]
    positions: list[float]
    spacing_mm: float
    pixel_mm: tuple[float, float]
    window: tuple[float, float] | None

    @property
    def stored_axes(self) -> str:
        """Return toward where the three axes of the stored array go, such as RAS."""
        from nibabel.orientations import ornt2axcodes

        return "".join(ornt2axcodes(self.turned))

    def slice(self, place: int) -> NDArray[np.float32]:
        """Return the values (rows, columns) of a slice. Raises ImageError image_truncated."""
        columns, rows, through = (self._axis(axis) for axis in AXES[self.plane])
        # Toward the right of the patient, so that slices are in the order of DICOM's normal.
        backward = self.turned[through, 1] < 0
        if self.plane == "coronal":
            backward = not backward
        at = self.shape[through] - 1 - place if backward else place
        index = tuple(at if axis == through else slice(None) for axis in range(3))
        with foreign_bytes(self.name, KIND):
            values = np.asarray(self.data[(*index, *[0] * (len(self.shape) - 3))], np.float32)
        if columns < rows:
            values = values.T
        # Columns and rows go to the left, the back and the feet: against each positive direction.
        if self.turned[rows, 1] > 0:
            values = values[::-1]
        return values[:, ::-1] if self.turned[columns, 1] > 0 else values

    def _axis(self, wanted: int) -> int:
        """Return the axis of the stored array that runs along one of right, anterior, superior."""
        return int(np.flatnonzero(self.turned[:, 0] == wanted)[0])


def read_nifti(data: bytes, name: str, plane: Plane, config: ImagesConfig) -> NiftiVolume:
    """Return the volume of a NIfTI file; its header is checked before its values are unpacked.

    Raises:
        ImageError: image_truncated, image_too_large, image_unsupported for colours and complex
            numbers, not_an_image; volume_orientation_missing without an affine,
            volume_not_three_dimensional.
    """
    import nibabel as nib

    version = _version(data, name)
    header_class, size = {1: (nib.Nifti1Header, 348), 2: (nib.Nifti2Header, 540)}[version]
    head = _unpacked(data, size, name)
    with foreign_bytes(name, KIND):
        header = header_class(head, check=False)
        shape = tuple(int(side) for side in header.get_data_shape())
        kind = header.get_data_dtype()
        begin = int(header.get_data_offset())
    _check(header, shape, kind, name)
    whole = begin + int(np.prod(shape, dtype=np.int64)) * kind.itemsize
    if whole > config.max_bytes:
        words = f"{name} unpacks to {whole} bytes, at most {config.max_bytes} are read"
        raise ImageError("image_too_large", f"{words}; raise volumes.max_bytes if it is trusted")
    unpacked = _unpacked(data, whole, name)
    with foreign_bytes(name, KIND):
        image_class = {1: nib.Nifti1Image, 2: nib.Nifti2Image}[version]
        image = image_class.from_bytes(unpacked)
        affine = np.asarray(image.affine, np.float64)
        unit = MILLIMETRES.get(header.get_xyzt_units()[0], 1.0)
        turned = nib.io_orientation(affine)
        low, high = float(header["cal_min"]), float(header["cal_max"])
    if not np.isfinite(affine).all() or np.isnan(turned).any():
        raise _without_affine(name, "its affine has no three directions")
    window = (low, high) if np.isfinite([low, high]).all() and high > low else None
    return _placed(name, plane, image.dataobj, shape, turned, affine * unit, window, config)


def _placed(
    name: str,
    plane: Plane,
    data: Any,
    shape: tuple[int, ...],
    turned: NDArray[np.float64],
    affine: NDArray[np.float64],
    window: tuple[float, float] | None,
    config: ImagesConfig,
) -> NiftiVolume:
    columns, rows, through = (int(np.flatnonzero(turned[:, 0] == axis)[0]) for axis in AXES[plane])
    check_size(shape[columns], shape[rows], name, config)
    step = np.linalg.norm(affine[:3, :3], axis=0)
    world = AXES[plane][2]
    middle = np.array([(side - 1) / 2 for side in shape[:3]])
    ends = []
    for at in (0, shape[through] - 1):
        voxel = middle.copy()
        voxel[through] = at
        ends.append(float((affine[:3, :3] @ voxel + affine[:3, 3])[world]))
    low, high = min(ends), max(ends)
    # The position along DICOM's normal: coronal slices are counted toward the back.
    first, last = (-high, -low) if plane == "coronal" else (low, high)
    positions = np.linspace(first, last, shape[through]).tolist()
    return NiftiVolume(
        name,
        plane,
        data,
        shape,
        turned,
        positions,
        float(step[through]),
        (float(step[rows]), float(step[columns])),
        window,
    )


def is_nifti(start: bytes) -> bool:
    """Return whether bytes begin as a NIfTI file, plain or packed by gzip."""
    marked = any(start[place : place + 4] == mark for place, (mark, _) in MAGIC.items())
    return marked or start[:2] == GZIP


def _version(data: bytes, name: str) -> int:
    start = _unpacked(data, HEAD_BYTES, name, partly=True)
    for place, (mark, version) in MAGIC.items():
        if start[place : place + 4] == mark:
            return version
    if any(start[place : place + 4] == mark for place, mark in PAIRS.items()):
        words = f"{name} is the header of a NIfTI pair; write one .nii file"
        raise ImageError("image_unsupported", words)
    if len(start) < HEAD_BYTES:
        raise damaged(name, KIND, EOFError(f"{len(start)} bytes of a header of {HEAD_BYTES}"))
    raise ImageError("not_an_image", f"{name} has no mark of NIfTI; write it as .nii or .nii.gz")


def _check(header: Any, shape: tuple[int, ...], kind: np.dtype[Any], name: str) -> None:
    if len(shape) < 3 or min(shape, default=0) < 1 or any(side > 1 for side in shape[3:]):
        words = f"{name} has the shape {' x '.join(map(str, shape))}; a volume has three sides"
        fix = "write one time or one channel of it alone"
        raise ImageError("volume_not_three_dimensional", f"{words}: {fix}")
    if kind.fields is not None or kind.kind not in "iuf":
        what = "colours" if kind.fields is not None else f"values of type {kind}"
        words = f"{name} holds {what}; only whole and floating point numbers are shown"
        raise ImageError("image_unsupported", f"{words}: write one channel as such")
    if not int(header["sform_code"]) and not int(header["qform_code"]):
        raise _without_affine(name, "neither sform nor qform is set")


def _without_affine(name: str, why: str) -> ImageError:
    words = f"{name}: {why}, so that left and right are not known; write its affine"
    return ImageError("volume_orientation_missing", words)


def _unpacked(data: bytes, size: int, name: str, *, partly: bool = False) -> bytes:
    """Return the first `size` bytes of a file that may be packed by gzip.

    Raises:
        ImageError: image_truncated where there are fewer, unless a part is enough.
    """
    if data[:2] != GZIP:
        unpacked = data[:size]
    else:
        with foreign_bytes(name, KIND):
            machine = zlib.decompressobj(wbits=31)
            unpacked = machine.decompress(data, size)
            # A volume may be packed in several members; that is rare and read at once.
            if len(unpacked) < size and machine.unused_data and not partly:
                with gzip.GzipFile(fileobj=io.BytesIO(data)) as file:
                    unpacked = file.read(size)
    if len(unpacked) < size and not partly:
        raise damaged(name, KIND, EOFError(f"{len(unpacked)} of {size} bytes"))
    return unpacked
