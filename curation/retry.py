"""Try rows and pictures again that failed, and reuse everything else."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from curation.retried import note_retries, times_retried
from curation.run_dir import FinishedRun, open_run
from curation.stage_outputs import read_marker
from curation.withdraw.purge import purge_caches
from medsift.errors import UsageError
from medsift.manifest import read
from medsift.records import FAILED
from medsift.storage.mirror import fetch_all
from medsift.storage.parts import read_tables
from medsift.storage.run_lock import claimed

INSPECTED_IN: Final = "pass/inspected"
INSPECTED: Final = pa.schema([("content_id", pa.string()), ("error", pa.string())])


def asked_reason(what: str) -> str | None:
    """Return the reason in a request ``failed:REASON``, None in the request ``failed``.

    Raises:
        UsageError: it is neither.
    """
    word, _, reason = what.partition(":")
    if word != "failed":
        message = f"retry is {what!r}; it takes failed, or failed:REASON"
        raise UsageError(message, code="option_invalid", option="retry")
    return reason or None


def retry_failed(run_dir: Path, reason: str | None = None) -> Counter[str]:
    """Let the next `curate` try what failed in the newest run, and count it by reason.

    What the cache knows of pictures that failed is removed; vectors of all others are reused.

    Args:
        run_dir: The run directory.
        reason: Only what failed for this reason; everything that failed when not given.

    Raises:
        UsageError: nothing failed, or not for that reason; or another process works there.
        ManifestError: there is no run.
    """
    run = open_run(run_dir)
    sql = "SELECT stage, reason FROM decisions WHERE run_id = $1 AND action = $2"
    failed = read(run.manifest, sql, [run.run_id, FAILED]).to_pylist()
    wanted = [line for line in failed if reason in (None, line["reason"])]
    if not wanted:
        reasons = sorted({line["reason"] for line in failed})
        message = (
            f"no row of run {run.run_id} failed{'' if reason is None else f' with {reason!r}'}; "
            f"reasons of failures: {', '.join(reasons) or 'none'}"
        )
        raise UsageError(message, code="nothing_failed", reason=reason, reasons=reasons)
    with claimed(run.run_dir):
        # The cache first: a retry that is killed here is simply asked for again.
        purge_caches(run.recipe.cache_dir.absolute(), _failed_pictures(run, reason))
        times = dict(times_retried(run.run_dir))
        for stage in {line["stage"] for line in wanted}:
            times[stage] = times.get(stage, 0) + 1
        note_retries(times, run.run_dir)
    return Counter(line["reason"] for line in wanted)


def _failed_pictures(run: FinishedRun, reason: str | None) -> set[str]:
    """Return the content ids of pictures that could not be decoded."""
    ids: set[str] = set()
    folder = run.upstream.images.folder
    marker = read_marker(folder)
    # What a stage wrote for itself may not be on this machine.
    fetch_all(folder / name for name in (marker.files if marker else ()) if INSPECTED_IN in name)
    for table in read_tables(folder / INSPECTED_IN, INSPECTED):
        error = table["error"]
        failed = pc.is_valid(error) if reason is None else pc.equal(error, reason)
        ids.update(table.filter(failed)["content_id"].to_pylist())
    return ids
