"""Remove what only withdrawn rows left behind: cached rows, stages, graphs and stored pictures."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

import pyarrow.compute as pc
import pyarrow.parquet as pq

from curation.mapped import MAPPED, SCRATCH
from medsift.storage.local_paths import path_of
from medsift.storage.mirror import (
    discard,
    fetch_all,
    files_below,
    here,
    is_mirrored,
    location,
)
from medsift.storage.parts import read_part, undamaged
from medsift.storage.refusals import named_refusals
from medsift.storage.table_cache import TableCache

KEY: Final = "content_id"
BLOBS: Final = "blobs"


def stage_folders(run_dir: Path) -> list[Path]:
    """Return every stage folder of a run directory, whether its stage was finished or not."""
    root = here(run_dir) / "stages"
    return sorted({root / file.relative_to(root).parts[0] for file in files_below(root)})


def content_ids(stages: Iterable[Path]) -> set[str]:
    """Return every content id in the tables of some stages' folders: the keys of all caches."""
    ids: set[str] = set()
    for folder in stages:
        parts = [file for file in files_below(folder) if file.suffix == ".parquet"]
        fetch_all(parts)
        for part in parts:
            with undamaged(part):
                names = pq.read_schema(part).names
            if KEY in names:
                ids.update(pc.unique(read_part(part, [KEY])[KEY]).to_pylist())
    return ids - {None}


def purge_caches(cache: Path, gone: set[str]) -> int:
    """Remove content ids from every cache of a folder, and return the number of rows removed.

    Raises StorageError when the disk refuses.
    """
    if not gone:
        return 0
    root = here(cache)
    inner = (file.relative_to(root).parts for file in files_below(root))
    kinds = sorted({names[:2] for names in inner if len(names) > 2})
    return sum(TableCache(root / kind, name, KEY).remove(gone) for kind, name in kinds)


def remove_stages(run_dir: Path, keep: Sequence[Path], graphs: Sequence[Path]) -> None:
    """Remove every stage folder and neighbour graph of a run directory but those to keep.

    What stages only derive from their tables goes too: it is made again when
    it is needed. Raises StorageError when the disk refuses.
    """
    run_dir = here(run_dir)
    kept_all = [here(item) for item in (*keep, *graphs)]
    for inner in ("stages", "graphs") if is_mirrored(run_dir) else ():
        discard(
            file
            for file in files_below(run_dir / inner)
            if not any(file.is_relative_to(item) for item in kept_all)
        )
    for inner in ("stages", "graphs", MAPPED, SCRATCH):
        folder = run_dir / inner
        with named_refusals(folder, "remove it by hand"):
            for item in sorted(folder.iterdir()) if folder.is_dir() else ():
                if item in kept_all:
                    continue
                if item.is_dir():
                    shutil.rmtree(item)
                else:
                    item.unlink()


def remove_pictures(run_dir: Path, stored: Sequence[str]) -> None:
    """Remove pictures that a run directory stores, where no sample of a stage there names them.

    Raises StorageError when the disk refuses.
    """
    if not stored:
        return
    named: set[str] = set()
    # Masked copies are named by the stage that made them.
    tables = [
        folder / name
        for folder in stage_folders(run_dir)
        for stage, name in (("ingest-", "samples"), ("images-", "updates"))
        if folder.name.startswith(stage)
    ]
    parts = [file for table in tables for file in files_below(table)]
    fetch_all(parts)
    for part in parts:
        with undamaged(part):
            has_refs = "refs" in pq.read_schema(part).names
        if has_refs:
            named.update(pc.unique(pc.list_flatten(read_part(part, ["refs"])["refs"])).to_pylist())
    with named_refusals(run_dir / BLOBS, "remove it by hand"):
        discard(path_of(ref) for ref in sorted(set(stored) - named))


def stored_pictures(run_dir: Path) -> list[str]:
    """Return every picture that a run directory stores because it arrived as bytes."""
    return [location(path) for path in files_below(here(run_dir / BLOBS).absolute())]
