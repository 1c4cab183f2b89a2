"""Replace each picture of a run that shows text to take out by its masked copy."""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa

from curation.privacy.mask_picture import REVIEW, TEXT_LEFT, Masking, PictureMasker
from curation.privacy.picture_header import PictureHeader
from curation.privacy.settings import PrivacyConfig
from curation.privacy.text_reader import TextReader
from medsift import records
from medsift.images.blob_store import BlobStore
from medsift.images.decoded import Decoded
from medsift.images.display import without_equal_channels
from medsift.images.facts import facts

if TYPE_CHECKING:
    from PIL import Image

DROPPED: Final = "privacy"
"""How the reasons begin for which a picture drops its rows."""
_FOUND: Final = pa.list_(
    pa.struct(
        [("kind", pa.string()), ("action", pa.string())]
        + [(side, pa.int64()) for side in ("x", "y", "width", "height")]
    )
)
MASKED: Final = pa.schema(
    [
        *records.IMAGES,
        pa.field("source_hash", pa.string()),
        pa.field("original_id", pa.string()),
        pa.field("found", _FOUND),
        pa.field("painted", pa.float64()),
        pa.field("readings", pa.int64()),
        pa.field("verdict", pa.string()),
    ]
)
"""``IMAGES`` of pictures that were looked at, with what was done.

`source_hash` is the SHA-256 of the file as it was found; `original_id` that of its decoded pixels,
null where the picture was left as it was; `byte_hash` and `ref` are those of the masked copy.
"""


@dataclass
class CuratedPictures:
    """Masks pictures by a recipe, and stores what was changed."""

    config: PrivacyConfig
    blobs: BlobStore
    masker: PictureMasker = field(init=False)

    def __post_init__(self) -> None:
        self.masker = PictureMasker(self.config, TextReader())

    def treat(
        self, row: dict[str, Any], image: Image.Image
    ) -> tuple[dict[str, Any], Image.Image | None]:
        """Return a row of ``MASKED`` and the picture that the run uses from here; None for none.

        Args:
            row: ``IMAGES`` and `header` of a picture.
            image: The picture as shown (8 bits, L or RGB).
        """
        header: PictureHeader = row.pop("header")
        row = dict.fromkeys(MASKED.names) | row | {"source_hash": row["byte_hash"]}
        masking = self.masker.mask(image, header)
        row["found"] = masking.found
        if masking.drop is not None or masking.verdict == TEXT_LEFT:
            return self._refused(row, masking), None
        reviewed = masking.verdict == REVIEW
        if reviewed and self.config.review == "drop":
            return self._refused(row, masking), None
        if not masking.painted and not (header.metadata and self.config.pictures == "mask"):
            return row, image
        plain = without_equal_channels(masking.image) if image.mode == "RGB" else masking.image
        written = io.BytesIO()
        plain.save(written, "PNG")
        data = written.getvalue()
        decoded = Decoded(plain, np.asarray(plain), plain.mode, 8, "PNG", ())
        done = {"painted": masking.painted, "readings": masking.readings}
        notes = [f"{masking.painted:.1%} painted over"] if masking.painted else []
        notes += ["for review: much of it is painted over"] if reviewed else []
        row |= (
            facts(decoded)
            | done
            | {
                "original_id": row["image_id"],
                "byte_hash": hashlib.sha256(data).hexdigest(),
                "size_bytes": len(data),
                "ref": self.blobs.put(data),
                "verdict": masking.verdict,
                "notes": [*row["notes"], *notes],
            }
        )
        return row, plain

    def _refused(self, row: dict[str, Any], masking: Masking) -> dict[str, Any]:
        """Return the row of a picture that drops its rows, without any fact of its pixels."""
        kinds = sorted(
            {line["kind"] for line in masking.found if line["action"] in ("drop", "mask")}
        )
        reason, detail = f"{DROPPED}:{masking.drop}", f"the picture shows {', '.join(kinds)}"
        if masking.drop is None and masking.verdict == TEXT_LEFT:
            reason = f"{DROPPED}_text_left"
            detail = f"text was left after {masking.readings} readings; look at the picture"
        elif masking.drop is None:
            reason = f"{DROPPED}_review"
            detail = f"{masking.painted:.1%} of the picture would be painted over"
        kept = ("ref", "byte_hash", "source_hash", "size_bytes", "found")
        error = {"error": reason, "detail": detail, "notes": []}
        return dict.fromkeys(MASKED.names) | {name: row[name] for name in kept} | error
