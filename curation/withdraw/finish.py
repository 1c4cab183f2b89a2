"""Take withdrawn rows out of a run: as if it had never had them, but for the record of it.

The steps, each of which may be repeated: run the stages again without the rows, from the caches;
make the added selections again; remove what only those rows had left in caches, stages and
pictures; at last rewrite the manifest with the new run alone, and record what had used the rows. A
withdrawal that is interrupted is finished by the next `remove` of the directory.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import ValidationError

from curation.add_selection import add_selection, ensure_selections
from curation.pipeline import curate
from curation.pool import graph_path
from curation.recipe import Recipe
from curation.run_dir import FinishedRun, open_run
from curation.selection.config import SelectionConfig
from curation.withdraw.constructed import PurgedConstructions, purge_constructed
from curation.withdraw.purge import (
    content_ids,
    purge_caches,
    remove_pictures,
    remove_stages,
    stage_folders,
    stored_pictures,
)
from curation.withdraw.withdrawn import read_withdrawn, row_key, withdrawn_table
from medsift.errors import LedgerError, UsageError
from medsift.execution import Executor
from medsift.manifest import keep_only, read
from medsift.manifest.any_version import ask, opened
from medsift.progress import Listener, silent
from medsift.storage.pointer import remove_older
from medsift.storage.run_lock import claimed

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Removed:
    """What a withdrawal did.

    Attributes:
        run_id: The run without the rows.
        rows: Rows withdrawn.
        images: Pictures that no other row used.
        cached: Rows of caches that were removed.
        uses: Lines (kind, name, path, rows) of the selections, exports, trainings and constructions
            that had some of the rows.
        selections_left_out: Added selections that could not be made again from their settings.
        replies: Stored replies of a teacher about their samples that were removed.
        constructed: Samples made from theirs that were removed from `constructed/`.
    """

    run_id: str
    rows: int
    images: int
    cached: int
    uses: list[dict[str, Any]]
    selections_left_out: list[str]
    replies: int = 0
    constructed: int = 0

    def __str__(self) -> str:
        """Return what was done as a few lines for people."""
        lines = [
            f"{self.rows:,} rows withdrawn, with {self.images:,} pictures that no other row used "
            f"and {self.cached:,} rows of caches"
        ]
        if self.replies or self.constructed:
            lines.append(
                f"{self.replies:,} stored replies of a teacher, and {self.constructed:,} samples "
                "constructed from them"
            )
        for use in self.uses:
            count = "an unknown number" if use["rows"] is None else f"{use['rows']:,}"
            place = f" at {use['path']}" if use["path"] else ""
            lines.append(f"{use['kind']} {use['name']}{place} had {count} of them")
        lines += [
            f"selection {name} could not be made again: make it by hand"
            for name in self.selections_left_out
        ]
        return "\n".join(lines)


def unfinished(run_dir: Path, manifest: Path) -> pa.Table:
    """Return the lines of withdrawals that the manifest does not record yet."""
    with opened(manifest) as con:
        known = {line["withdrawal_id"] for line in ask(con, "SELECT * FROM withdrawals")}
    lines = withdrawn_table(run_dir)
    return lines.filter(pa.array([name not in known for name in _names(lines)], pa.bool_()))


def finish(run_dir: Path, executor: Executor, listener: Listener = silent) -> Removed | None:
    """Take the rows out that are remembered as withdrawn; None where none is left to take out.

    Args:
        run_dir: The run directory.
        executor: How the work is spread.
        listener: Called with every event of the run.

    Raises:
        LedgerError: what is wrong with the run without them, as `curate`; they are out all the
            same.
        InputError, ModelError, StorageError: as `curate`; the same command continues.
    """
    before = open_run(run_dir)
    lines = unfinished(before.run_dir, before.manifest)
    if not lines.num_rows:
        return None
    from_run = str(lines["from_run"][-1].as_py())
    gone = _withdrawn_rows(before, from_run)
    problem: LedgerError | None = None
    try:
        curate(_without_emptied(before, from_run, gone), run_dir, executor, listener)
    except LedgerError as error:
        # The rows leave all the same; what is wrong with the rest is reported at the end.
        problem = error
    run = open_run(run_dir)
    left_out = _select_again(run, from_run, executor)
    with claimed(run.run_dir, wait=True):
        made = purge_constructed(run.run_dir, run.manifest, from_run, gone)
        cached = _purge(run)
        keep_only(run.manifest, run.run_id, _records(lines), sorted(gone))
        remove_older(run.manifest)
    if problem is not None:
        raise problem
    return _removed(run, lines, cached, left_out, made)


def _names(lines: pa.Table) -> list[str]:
    names: list[str] = lines["withdrawal_id"].to_pylist()
    return names


def _withdrawn_rows(run: FinishedRun, run_id: str) -> set[str]:
    """Return the ids of the withdrawn rows, from a run that still has them."""
    withdrawn = read_withdrawn(run.run_dir).rows
    sql = "SELECT row_id FROM rows WHERE run_id = $1"
    rows = read(run.manifest, sql, [run_id])["row_id"].to_pylist()
    return {row for row in rows if row_key(row) in withdrawn}


def _without_emptied(run: FinishedRun, run_id: str, gone: set[str]) -> Recipe:
    """Return the recipe without the sources that lost every row: their files may be gone too."""
    sql = "SELECT source, row_id FROM rows WHERE run_id = $1"
    rows = read(run.manifest, sql, [run_id])
    had = set(rows["source"].to_pylist())
    stays = pc.invert(pc.is_in(rows["row_id"], pa.array(sorted(gone), pa.string())))
    emptied = had - set(rows.filter(stays)["source"].to_pylist())
    sources = [source for source in run.recipe.sources if source.name not in emptied]
    return run.recipe.model_copy(update={"sources": sources})


def _select_again(run: FinishedRun, from_run: str, executor: Executor) -> list[str]:
    """Make the selections that were added to the earlier run; return those that cannot be made."""
    sql = "SELECT * FROM selection_settings WHERE run_id = $1 ORDER BY created_at, ordinal"
    known = {line["selection"] for line in read(run.manifest, sql, [run.run_id]).to_pylist()}
    left_out = []
    for line in read(run.manifest, sql, [from_run]).to_pylist():
        if line["selection"] in known:
            continue
        config = _settings(line)
        # A selection that the rest cannot give must not keep the rows from leaving.
        if config is None or not _made(run, config, line["ordinal"] < 0, executor):
            left_out.append(line["selection"])
    return left_out


def _made(run: FinishedRun, config: SelectionConfig, oldest: bool, executor: Executor) -> bool:
    """Make a selection; return False where the pool that is left cannot give it."""
    try:
        if oldest:
            ensure_selections(run.run_dir, [config], executor)
        else:
            add_selection(run.run_dir, config, executor=executor)
    except UsageError as problem:
        logger.warning("selection %s is not made again: %s", config.name, problem)
        return False
    return True


def _settings(line: Mapping[str, Any]) -> SelectionConfig | None:
    try:
        return SelectionConfig.from_stored(json.loads(line["settings"] or "{}"))
    except ValidationError:
        return None


def _purge(run: FinishedRun) -> int:
    """Remove what no row of the run needs, caches first: they are found by the old stages."""
    keep = [outputs.folder for outputs in run.upstream.values()]
    old = [stage for stage in stage_folders(run.run_dir) if stage not in keep]
    cached = purge_caches(run.recipe.cache_dir.absolute(), content_ids(old) - content_ids(keep))
    pool = run.upstream.last_deciding().fingerprint
    remove_stages(run.run_dir, keep, [graph_path(run.run_dir, pool, run.recipe.graph)])
    remove_pictures(run.run_dir, stored_pictures(run.run_dir))
    return cached


def _records(lines: pa.Table) -> pa.Table:
    """Return the lines of the manifest's table `withdrawals`."""
    names = ["withdrawal_id", "kind", "created_at", "from_run"]
    grouped = lines.group_by(names).aggregate([("row", "list")])
    records = [
        {name: line[name] for name in names}
        | {"rows": len(line["row_list"]), "digests": sorted(line["row_list"])}
        for line in grouped.to_pylist()
    ]
    return pa.Table.from_pylist(records)


def _removed(
    run: FinishedRun,
    lines: pa.Table,
    cached: int,
    left_out: Sequence[str],
    made: PurgedConstructions,
) -> Removed:
    names = list(dict.fromkeys(_names(lines)))
    images = "SELECT max(images) AS n FROM withdrawals WHERE list_contains($1, withdrawal_id)"
    uses = (
        "SELECT kind, name, path, rows FROM withdrawal_uses WHERE list_contains($1, withdrawal_id) "
        "ORDER BY kind, name, path"
    )
    return Removed(
        run_id=run.run_id,
        rows=lines.num_rows,
        images=read(run.manifest, images, [names])["n"][0].as_py() or 0,
        cached=cached,
        uses=list(read(run.manifest, uses, [names]).to_pylist()),
        selections_left_out=list(left_out),
        replies=made.replies,
        constructed=made.samples,
    )
