"""Write the format `webdataset`: tars in which a sample is ``KEY.json``, ``KEY.0.jpg``, ….

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
from typing import Final

import pyarrow as pa

from curation.exports.export_format import ExportFormat
from curation.exports.lineage import Lineage
from curation.exports.pictures import Picture, Pictures
from curation.exports.turns import Line, chat, facts

SAMPLES_A_TAR: Final = 1000


def write(batches: Iterator[pa.Table], target: Path, lineage: Lineage, pictures: Pictures) -> int:
    """Write the folder of tars; return the number of samples.

    Args:
        batches: The selection.
        target: The folder to make.
        lineage: Not used by this format.
        pictures: Reader of pictures, whose files go into the tars.
    """
    target.mkdir()
    with ExitStack() as stack:
        layouts: dict[str, _Layout] = {}
        for batch in batches:
            for line in batch.to_pylist():
                references = line["images"] or []
                files = [pictures.file(reference, line["sample_id"]) for reference in references]
                name = "+".join(file.suffix for file in files) or "text"
                if name not in layouts:
                    layouts[name] = stack.enter_context(_Layout(target, name))
                layouts[name].add(line, files)
        return sum(layout.samples for layout in layouts.values())


class _Layout(ExitStack):
    """The tars of samples with the same files; one is open at a time."""

    def __init__(self, folder: Path, name: str) -> None:
        super().__init__()
        self.folder, self.name, self.samples = folder, name, 0

    def add(self, line: Line, pictures: list[Picture]) -> None:
        """Append one sample."""
        if self.samples % SAMPLES_A_TAR == 0:
            self.close()
            path = self.folder / f"{self.name}-{self.samples // SAMPLES_A_TAR:05d}.tar"
            self.tar = self.enter_context(tarfile.TarFile(path, "w"))
        key = f"{line['rank']:09d}"
        ids = [reference["image_id"] for reference in line["images"] or []]
        entry = {"messages": chat(line), "image_ids": ids, **facts(line)}
        self._put(f"{key}.json", json.dumps(entry, ensure_ascii=False).encode())
        for number, picture in enumerate(pictures):
            self._put(f"{key}.{number}.{picture.suffix}", picture.data)
        self.samples += 1

    def _put(self, name: str, data: bytes) -> None:
        """Add a file without times or owners, so that the same selection gives the same bytes."""
        entry = tarfile.TarInfo(name)
        entry.size = len(data)
        self.tar.addfile(entry, io.BytesIO(data))


# The Croissant file lists the tars without their records: `mlcroissant` caches what it unpacks by
# the name of the tar alone, so it would read the tars of another export.
FORMAT: Final = ExportFormat(
    "webdataset", folder=True, write=write, media_type="application/x-tar", pattern="*.tar"
)
