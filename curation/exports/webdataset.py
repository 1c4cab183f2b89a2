"""`webdataset`: tar shards; a sample is ``KEY.json`` and ``KEY.0.jpg``, ``KEY.1.png``, ….

Loaders want every sample of a tar to have the same files, so samples with the same pictures
(number and file types) share tars: ``jpg-00000.tar``, ``jpg+png-00000.tar``, ``text-00000.tar``.
"""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import pyarrow as pa

from curation.exports.export_format import ExportFormat
from curation.exports.lineage import Lineage
from curation.exports.pictures import Picture, Pictures
from curation.exports.turns import Line, chat, facts

SAMPLES_A_TAR: Final = 1000


def write(batches: Iterator[pa.Table], target: Path, lineage: Lineage, pictures: Pictures) -> int:
    """Write the folder of tars; return the number of samples."""
    target.mkdir()
    with ExitStack() as stack:
        layouts: dict[str, _Layout] = {}
        for batch in batches:
            for line in batch.to_pylist():
                files = [pictures.file(one, line["sample_id"]) for one in line["images"] or []]
                name = "+".join(one.suffix for one in files) or "text"
                if name not in layouts:
                    layouts[name] = stack.enter_context(_Layout(target, name))
                layouts[name].add(line, files)
        return sum(layout.samples for layout in layouts.values())


class _Layout(ExitStack):
    """The tars of samples with the same files; one is open at a time."""

    def __init__(self, folder: Path, name: str) -> None:
        super().__init__()
        self.folder = folder
        self.name = name
        self.samples = 0

    def add(self, line: Line, pictures: list[Picture]) -> None:
        """Append one sample."""
        if self.samples % SAMPLES_A_TAR == 0:
            self.close()
            path = self.folder / f"{self.name}-{self.samples // SAMPLES_A_TAR:05d}.tar"
            self.tar = self.enter_context(tarfile.TarFile(path, "w"))
        key = f"{line['rank']:09d}"
        self._put(f"{key}.json", json.dumps(_entry(line), ensure_ascii=False).encode())
        for place, one in enumerate(pictures):
            self._put(f"{key}.{place}.{one.suffix}", one.data)
        self.samples += 1

    def _put(self, name: str, data: bytes) -> None:
        """Add a file without times or owners: the same selection gives the same bytes."""
        entry = tarfile.TarInfo(name)
        entry.size = len(data)
        self.tar.addfile(entry, io.BytesIO(data))


def _entry(line: Line) -> dict[str, Any]:
    images = [picture["image_id"] for picture in line["images"] or []]
    return {"messages": chat(line), "image_ids": images, **facts(line)}


# Its Croissant file lists the tars without their records: `mlcroissant` keeps what it unpacks by
# the name of the tar alone, so that one export would be read for another.
FORMAT: Final = ExportFormat(
    "webdataset",
    folder=True,
    write=write,
    media_type="application/x-tar",
    pattern="*.tar",
)
