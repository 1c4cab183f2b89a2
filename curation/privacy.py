"""Find what may identify a patient: identifiers in texts, and names burned into pictures.

A finding becomes a note that a person should look at; no row is dropped for it.
"""

from __future__ import annotations

import importlib
import re
import threading
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from medsift.errors import ModelError

if TYPE_CHECKING:
    from PIL import Image

TEXT_NOTE: Final = "possible identifier in the text"
IDENTITY_NOTE: Final = "possible identity burned in"
BURNED_NOTE: Final = "burned-in text"

# Sides of the pictures that the reader gets: its time grows with the area, and below 512 pixels
# it misreads the small letters of small pictures.
SHORTEST, LONGEST, LEAST = 512, 960, 128
LEAST_SCORE: Final = 0.6
LEAST_LETTERS: Final = 3
MOST_QUOTED: Final = 120

_LABEL: Final = (
    r"(?:MRN|PID|SSN|NHS|(?:patient|pat|pt|hospital|study|accession|acc)[\s._-]*"
    r"(?:id|no|number|nr|num)|medical\s+record\s+(?:no|number)|accession)"
)
_MONTH: Final = r"(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)"
_DAY: Final = (
    r"(?:\d{1,2}\s?[/.-]\s?\d{1,2}\s?[/.-]\s?(?:19|20)?\d{2}|(?:19|20)\d{2}[/.-]\d{1,2}[/.-]\d{1,2}"
    rf"|\d{{1,2}}[\s-]?{_MONTH}[a-z]*[\s.,-]*(?:19|20)\d{{2}}"
    rf"|{_MONTH}[a-z]*\.?\s+\d{{1,2}},?\s+(?:19|20)\d{{2}}"
    r"|(?:19|20)\d{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01]))"
)
# Family^Given with the DICOM separator: two words of two capitals or more, or Capitalised ones.
_PERSON: Final = r"[A-Z][A-Za-z'-]+\^[A-Z][A-Za-z'-]+(?:\^[A-Za-z.'-]*){0,3}"
_IDENTIFIERS: Final = re.compile(
    rf"(?P<person>\b{_PERSON})"
    rf"|(?P<number>\b(?i:{_LABEL})\b\W{{0,3}}(?=[A-Z0-9-]*\d{{3}})[A-Z0-9][A-Z0-9-]{{3,}})"
    rf"|(?P<born>\b(?i:d\.?o\.?b\.?|born(?:\s+on)?|date\s+of\s+birth|birth\s*date)\W{{0,3}}"
    rf"(?i:{_DAY}))"
    r"|(?P<mail>\b[\w.+-]{1,64}@[\w-]+(?:\.[\w-]+)*\.[A-Za-z]{2,}\b)"
    r"|(?P<social>(?<![\w-])\d{3}-\d{2}-\d{4}(?![\w-]))"
    # Lines that anyone may call free of charge (800, 888, 877, …) belong to no person.
    r"|(?P<phone>(?<![\w.-])(?:\+?1[\s.-]?)?(?!\(?8(?:00|88|77|66|55|44|33)\b)"
    r"(?:\([2-9]\d{2}\)\s?|[2-9]\d{2}[.-])[2-9]\d{2}[.-]\d{4}(?![\w-])"
    r"|(?<!\w)\+[1-9]\d{0,2}[\s.-]\d{1,4}(?:[\s.-]\d{2,4}){2,5}(?![\w-]))"
)
# Every identifier has one of these; most texts have none, and need no closer look.
_GATE: Final = re.compile(r"[\^@]|\+\d|\d{3}|\d[/.-]\d{1,2}[/.-]\d{2}")
# A reader mistakes ^ for ~ and O for 0, loses spaces, and may join a name and the date behind it.
# Scanners also write FAMILY,GIVEN and bare record numbers of seven digits or more.
_READ: Final = (
    re.compile(r"[A-Z0-9'-]{2,}\s?[\^~]\s?[A-Z0-9'-]{2,}|\b[A-Z'-]{3,},\s?[A-Z'-]{3,}"),
    re.compile(rf"(?<![\d.]){_DAY}|(?<!\d)(?:19|20)\d{{2}}{_MONTH}\d{{2}}", re.IGNORECASE),
    re.compile(r"[A-Z]{3}[A-Z0-9]*\d{2}/\d{2}|(?<![\w.-])\d{7,}(?![\w-])"),
    re.compile(
        rf"(?:{_LABEL}|\b(?:id|dob|name|patient|born))\W{{1,3}}\s*\S*\w{{3}}", re.IGNORECASE
    ),
    _IDENTIFIERS,
)


def identifiers(text: str) -> list[str]:
    """Return the parts of a text that may identify a patient, in order.

    These are DICOM names (``DOE^JANE``), labelled record numbers (``MRN 0012345``), dates of
    birth, e-mail addresses, telephone and social security numbers. Bare dates, years and names
    in plain prose are not found.
    """
    if _GATE.search(text) is None:
        return []
    return [match.group() for match in _IDENTIFIERS.finditer(text)]


def is_identifying(read: str) -> bool:
    """Return whether text read from a picture looks like a name, a date or a labelled number.

    The rule is wider than that of `identifiers`, because scanners write little else.
    """
    return any(pattern.search(read) for pattern in _READ)


def burned_in_notes(lines: list[str]) -> list[str]:
    """Return notes on the lines of text in one picture: what identifies first, then the rest."""
    notes = []
    for note, wanted in ((IDENTITY_NOTE, True), (BURNED_NOTE, False)):
        text = " ".join(line for line in lines if is_identifying(line) == wanted)
        if text:
            quoted = text if len(text) <= MOST_QUOTED else text[: MOST_QUOTED - 1] + "…"
            notes.append(f"{note}: {quoted!r}")
    return notes


class TextReader:
    """Read upright text in pictures with PP-OCRv4, whose weights RapidOCR's wheel contains.

    The text depends on the picture alone: each thread has its own single-threaded models, and each
    picture is read by itself. Upside-down and vertical text may be missed.

    Raises ModelError when the package is not installed.
    """

    def __init__(self) -> None:
        try:
            self.package: Any = importlib.import_module("rapidocr_onnxruntime")
        except ImportError as error:
            raise ModelError(
                f"images.burned_in_text=flag needs rapidocr-onnxruntime ({error}): "
                "pip install 'medsift[privacy]', or set it to off",
                code="package_missing",
                package="rapidocr-onnxruntime",
            ) from error
        self.of_thread = threading.local()

    def lines(self, image: Image.Image) -> list[str]:
        """Return the lines of three or more letters in `image` (mode L or RGB), from the top."""
        engine = getattr(self.of_thread, "engine", None)
        if engine is None:
            # `as_read` has scaled the picture; 32 keeps the package from scaling it again.
            engine = self.package.RapidOCR(
                intra_op_num_threads=1,
                inter_op_num_threads=1,
                det_limit_side_len=32,
                det_limit_type="min",
                text_score=LEAST_SCORE,
            )
            self.of_thread.engine = engine
        pixels = np.asarray(as_read(image))[:, :, ::-1]
        boxes, _ = engine(np.ascontiguousarray(pixels), use_cls=False)
        texts = [str(text) for _, text, score in boxes or () if float(score) >= LEAST_SCORE]
        return [text for text in texts if sum(map(str.isalnum, text)) >= LEAST_LETTERS]

    def notes(self, image: Image.Image) -> list[str]:
        """Return the `burned_in_notes` of a picture."""
        return burned_in_notes(self.lines(image))


def as_read(image: Image.Image) -> Image.Image:
    """Return the picture in RGB, scaled to sides of SHORTEST to LONGEST pixels, strips padded.

    Its shorter side has at least SHORTEST unless the longer would then pass LONGEST.
    """
    from PIL import Image

    short, long = min(image.size), max(image.size)
    scale = min(max(1.0, SHORTEST / short), LONGEST / long)
    width, height = (max(1, round(side * scale)) for side in image.size)
    picture = image.convert("RGB")
    if (width, height) != image.size:
        picture = picture.resize((width, height), Image.Resampling.BILINEAR)
    if min(width, height) >= LEAST:
        return picture
    canvas = Image.new("RGB", (max(width, LEAST), max(height, LEAST)))
    canvas.paste(picture)
    return canvas
