"""List the suffixes of pictures that are decoded, of other pictures, and of other media."""

from __future__ import annotations

from typing import Final

IMAGE_SUFFIXES: Final = (
    *(".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".bmp", ".gif"),
    *(".tif", ".tiff", ".dcm", ".dicom"),
)
"""Formats that are decoded."""
UNDECODED_SUFFIXES: Final = (
    *(".avif", ".heic", ".heif", ".jxl", ".jp2", ".j2k", ".jpx", ".jpf", ".svg", ".ico"),
    *(".ppm", ".pgm", ".pbm", ".pnm", ".tga", ".exr", ".psd"),
)
"""Pictures too, whose rows fail as `not_an_image` rather than lose them."""
PICTURE_SUFFIXES: Final = frozenset((*IMAGE_SUFFIXES, *UNDECODED_SUFFIXES))
MEDIA_SUFFIXES: Final = frozenset(
    {".mp4", ".avi", ".mov", ".mkv", ".webm", ".mpg", ".mpeg"}
    | {".mp3", ".wav", ".flac", ".ogg", ".m4a"}
    | {".nii", ".nii.gz", ".nrrd", ".mha", ".mhd", ".svs", ".edf"}
)
"""Films, sounds and volumes, which a sample cannot show."""
