"""Evaluations in a manifest: whose run they belong to, adding them, and reading them again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import pyarrow as pa

from medsift import records
from medsift.errors import ManifestError
from medsift.manifest import RunRecord, append_tables, read, write_manifest
from medsift.vocabulary import MANIFEST_NAME


@dataclass(frozen=True, slots=True)
class Home:
    """The run that evaluations are added to."""

    run_id: str
    folder: Path
    manifest: Path


def home(folder: Path, name: str) -> Home:
    """The newest run of a run directory; where there is none, a run of its own is begun.

    Raises ManifestError for a manifest that cannot be read, StorageError when the disk refuses.
    """
    manifest = folder / MANIFEST_NAME
    if not manifest.exists():
        run_id = records.digest("evaluation", name)[:12]
        record = RunRecord(
            run_id=run_id,
            name=name,
            created_at=datetime.now(UTC),
            finished_at=datetime.now(UTC),
            code_version=metadata.version("medsift"),
        )
        write_manifest(manifest, {}, record)
        return Home(run_id, folder, manifest)
    runs = read(manifest, "SELECT run_id FROM runs ORDER BY created_at DESC, run_id LIMIT 1")
    if not runs.num_rows:
        raise ManifestError(
            f"{manifest} holds no run; name another run directory", code="run_unknown"
        )
    return Home(runs["run_id"][0].as_py(), folder, manifest)


def store(run: Home, tables: Mapping[str, pa.Table]) -> None:
    """Add an evaluation's tables to its run; the same evaluation again replaces itself.

    Raises ManifestError or StorageError; the manifest is then as it was.
    """
    append_tables(run.manifest, run.run_id, tables)


def known_evaluations(manifest: Path) -> list[dict[str, Any]]:
    """The lines (run_id, evaluation_id, model, made) of all evaluations, the newest first.

    Raises ManifestError.
    """
    found: list[dict[str, Any]] = read(
        manifest,
        "SELECT run_id, evaluation_id, any_value(model) AS model, max(created_at) AS made "
        "FROM evaluations GROUP BY ALL ORDER BY made DESC, evaluation_id",
    ).to_pylist()
    return found


def find_evaluation(manifest: Path, wanted: str | None) -> Mapping[str, Any]:
    """The line (run_id, evaluation_id, model) that a name means; the only one when None.

    A name is an evaluation's id or the beginning of it, or a model's; of several the newest.
    Raises ManifestError where there is none, or None is not enough.
    """
    known = known_evaluations(manifest)
    found = [line for line in known if wanted is None or _means(wanted, line)]
    ids = [str(line["evaluation_id"]) for line in known]
    names = ", ".join(ids) or "none"
    if not found:
        raise ManifestError(
            f"{manifest} has no evaluation {wanted!r}; it has {names}",
            code="evaluation_unknown",
            evaluation=wanted,
            known=ids,
        )
    if wanted is None and len(found) > 1:
        raise ManifestError(
            f"{manifest} has several evaluations: name one of {names}",
            code="evaluation_unknown",
            evaluation=None,
            known=ids,
        )
    return found[0]


def read_evaluation(manifest: Path, run_id: str, evaluation_id: str, table: str) -> pa.Table:
    """The lines of an evaluation in one of the manifest's tables, without `run_id`, in order.

    Raises ManifestError.
    """
    keys = {"predictions": "benchmark, variant, item_id", "evaluations": "benchmark"}
    found = read(
        manifest,
        f"SELECT * EXCLUDE (run_id) FROM {table} WHERE run_id = $1 AND evaluation_id = $2 "
        f"ORDER BY {keys.get(table, 'ALL')}",
        [run_id, evaluation_id],
    )
    return found.cast(pa.schema([(one.name, _narrow(one.type)) for one in found.schema]))


def _narrow(kind: pa.DataType) -> pa.DataType:
    """DuckDB's string views and large lists as plain ones."""
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return pa.list_(_narrow(kind.value_type))
    return pa.string() if kind in (pa.string_view(), pa.large_string()) else kind


def _means(wanted: str, line: Mapping[str, Any]) -> bool:
    return wanted == line["model"] or str(line["evaluation_id"]).startswith(wanted)
