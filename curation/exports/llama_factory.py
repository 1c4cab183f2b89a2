"""Write the format `llama_factory`: a folder that LLaMA-Factory takes as its `dataset_dir`.

It has `data.json` with chats and `<image>` marks, the pictures in `images/`, and
`dataset_info.json`, which declares them as one data set that has the selection's name.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import pyarrow as pa

from curation.exports.export_format import ExportFormat
from curation.exports.lineage import Lineage
from curation.exports.pictures import Pictures
from curation.exports.sharegpt import write_array
from curation.exports.turns import Line, facts, marked_turns
from medsift import records

DATA: Final = "data.json"
IMAGES: Final = "images"


def write(batches: Iterator[pa.Table], target: Path, lineage: Lineage, pictures: Pictures) -> int:
    """Write the folder; return the number of samples.

    Args:
        batches: The selection.
        target: The folder to make.
        lineage: Names the selection.
        pictures: Reader of pictures, whose files go into the folder.
    """
    target.mkdir()
    (target / IMAGES).mkdir()
    own = CopiedPictures(pictures, target)
    rows = write_array(batches, target / DATA, lineage, own, _entry)
    declared = {
        "file_name": DATA,
        "formatting": "sharegpt",
        "columns": {"messages": "messages", "images": "images"},
        "tags": {
            "role_tag": "role",
            "content_tag": "content",
            "user_tag": "user",
            "assistant_tag": "assistant",
            "system_tag": "system",
        },
    }
    described = json.dumps({lineage.selection: declared}, indent=2, ensure_ascii=False)
    (target / "dataset_info.json").write_text(described + "\n", encoding="utf-8")
    return rows


def _entry(line: Line, paths: Sequence[str]) -> dict[str, Any]:
    return {"id": line["row_id"], "messages": marked_turns(line), "images": paths, **facts(line)}


class CopiedPictures:
    """Copies the pictures of samples into a folder, each once, and names them by relative paths."""

    def __init__(self, pictures: Pictures, folder: Path) -> None:
        self.pictures, self.folder = pictures, folder

    def paths(self, lines: Sequence[Line]) -> list[list[str]]:
        """Return the paths of the pictures of each sample. Raises as `Pictures.file` does."""
        return [
            [self._copied(one, line["sample_id"]) for one in line["images"] or []] for line in lines
        ]

    def _copied(self, reference: Line, sample_id: str) -> str:
        picture = self.pictures.file(reference, sample_id)
        # By its bytes: files of equal pixels may differ in what trainers do not look at.
        name = f"{IMAGES}/{records.digest(picture.data)}.{picture.suffix}"
        if not (self.folder / name).is_file():
            (self.folder / name).write_bytes(picture.data)
        return name


FORMAT: Final = ExportFormat(
    "llama_factory",
    folder=True,
    write=write,
    media_type="application/json",
    pattern=DATA,
    pictures=f"{IMAGES}/*",
)
