"""Fill the tables of a new manifest from the output of stages."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeAlias

import pyarrow as pa

from medsift.errors import ManifestError
from medsift.manifest.run_tables import IMAGES_TYPE
from medsift.manifest.schema import BY_NAME, quoted
from medsift.manifest.table import Column
from medsift.vocabulary import STRATUM_TAGS

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection


@dataclass(frozen=True, slots=True)
class Sorted:
    """Parquet files whose rows are in the order of their table already: they are not sorted."""

    files: Sequence[Path]


Source: TypeAlias = pa.Table | Path | Sequence[Path] | Sorted


@dataclass(frozen=True, slots=True)
class Input:
    """A table to load: its view in the building connection and the types of its columns."""

    view: str
    types: Mapping[str, str]
    sorted: bool = False
    """Whether its rows come in the order of the table."""

    def column(self, column: Column) -> str:
        """Return the column cast to its type, or NULL where the input has none."""
        value = f'i."{column.name}"' if column.name in self.types else "NULL"
        return f'CAST({value} AS {column.type}) AS "{column.name}"'


Inputs = Mapping[str, Input]


def register(con: DuckDBPyConnection, tables: Mapping[str, Source]) -> dict[str, Input]:
    """Make each table a view of `con`; columns that the manifest does not have are ignored.

    Raises:
        ManifestError: an unknown table, or one that lacks a required column.
    """
    inputs = {}
    allowed = [table for table in BY_NAME if table != "runs"]
    for name, source in tables.items():
        if name not in allowed:
            message = f"{name!r} is not a table to fill; allowed: {', '.join(allowed)}"
            raise ManifestError(message, code="manifest_table_invalid", table=name)
        view = f"given_{name}"
        if isinstance(source, pa.Table):
            con.register(view, source)
        elif files := source_files(source):
            listed = ", ".join(quoted(file) for file in files)
            con.execute(
                f"CREATE TEMP VIEW {view} AS SELECT * FROM "
                f"read_parquet([{listed}], union_by_name = true, hive_partitioning = false)"
            )
        else:
            continue
        inputs[name] = replace(describe(con, view), sorted=isinstance(source, Sorted))
        types = inputs[name].types
        required = {column.name for column in BY_NAME[name].columns if column.required}
        if missing := sorted(required - types.keys()):
            raise ManifestError(
                f"table {name!r} lacks {', '.join(missing)}; it has {', '.join(types)}",
                code="manifest_table_invalid",
                table=name,
                columns=missing,
            )
    return inputs


def describe(con: DuckDBPyConnection, view: str) -> Input:
    """Return a view with the types of its columns."""
    lines = con.execute(f"DESCRIBE {view}").fetchall()
    return Input(view, {line[0]: line[1] for line in lines})


def source_files(source: Source) -> list[str]:
    """Return the Parquet files of files, folders of parts and glob patterns, in order."""
    if isinstance(source, pa.Table):
        return []
    if isinstance(source, Sorted):
        return [str(path) for path in source.files]
    files: list[str] = []
    for path in [source] if isinstance(source, Path) else source:
        if path.is_dir():
            parts = (part for part in path.glob("*.parquet") if not part.name.startswith("."))
            files += sorted(str(part) for part in parts)
        elif path.exists() or not any(mark in str(path) for mark in "*?["):
            # A plain path is kept even where no file is: DuckDB then names it.
            files.append(str(path))
        else:
            root = Path(path.anchor)
            files += sorted(str(match) for match in root.glob(str(path.relative_to(root))))
    return files


def fill(
    con: DuckDBPyConnection, run_id: str, inputs: Inputs, strata: Sequence[str] = STRATUM_TAGS
) -> None:
    """Insert all inputs of one run into the tables of the current database.

    Args:
        con: The building connection.
        run_id: The run.
        inputs: Tables by name.
        strata: Tags that name a sample's stratum where neither scores nor selections do.
    """
    # The rows' fates are read from the decisions, so these come first.
    for name in ("decisions", *(name for name in BY_NAME if name != "decisions")):
        if name in inputs or name == "strata":
            insert(con, run_id, name, inputs, strata)


def insert(
    con: DuckDBPyConnection,
    run_id: str,
    name: str,
    inputs: Inputs,
    strata: Sequence[str] = STRATUM_TAGS,
) -> None:
    """Insert one input into its table, in the table's order.

    Args:
        con: The building connection.
        run_id: The run.
        name: The table; `strata` without an input is counted from the kept samples.
        inputs: Tables by name.
        strata: As for `fill`.
    """
    table, run = BY_NAME[name], quoted(run_id)
    if name in inputs:
        source = inputs[name]
        compute = _COMPUTED.get(name)
        computed, clauses = compute(source, run, inputs, strata) if compute else ({}, "")
        own = {column.name: source.column(column) for column in table.columns}
        own |= {column: f'{sql} AS "{column}"' for column, sql in computed.items()}
        listed = ", ".join(own.values())
        select = f"SELECT {listed} FROM {source.view} i{clauses}"
    else:
        select = (
            "SELECT s.stratum, count(*) AS pool FROM samples s JOIN rows r "
            f"ON r.run_id = s.run_id AND r.row_id = s.row_id WHERE s.run_id = {run} "
            "AND (r.action = 'kept' OR r.stage = 'select') "
            "AND coalesce(s.split, 'train') = 'train' GROUP BY ALL"
        )
    if table.order and not (name in inputs and inputs[name].sorted):
        select += " ORDER BY " + ", ".join(f'"{column}"' for column in table.order)
    columns = f"{_NUMBERED}, filled.* EXCLUDE (place)" if name == "samples" else "filled.*"
    con.execute(
        f"INSERT INTO {name} BY NAME SELECT {run} AS run_id, {columns} FROM ({select}) AS filled"
    )


# The numbers follow those of the runs carried over. The input is sorted already, so an unordered
# window numbers it in that order without a second sort.
_NUMBERED: Final = "row_number() OVER () + (SELECT coalesce(max(place), -1) FROM samples) AS place"

Computed = tuple[Mapping[str, str], str]
"""SQL of the columns that are not copied from the input `i`, and the clauses that it needs."""


def _rows(source: Input, run: str, inputs: Inputs, tags: Sequence[str]) -> Computed:
    """Add the fate of each row; the ledger has checked that it is decided at most once."""
    names = ("reason", "witness", "value", "threshold", "detail", "sample_id", "stage", "action")
    fate, joins = dict.fromkeys(names, "NULL"), ""
    if "decisions" in inputs:
        fate = {name: f"d.{name}" for name in fate}
        joins += f" LEFT JOIN decisions d ON d.row_id = i.row_id AND d.run_id = {run}"
    if "samples" in inputs:
        fate["sample_id"] = f"coalesce({fate['sample_id']}, s.sample_id)"
        joins += f" LEFT JOIN {inputs['samples'].view} s ON s.row_id = i.row_id"
    last = f"SELECT max_by(stage, ordinal) FROM stages WHERE run_id = {run}"
    fate["stage"] = f"coalesce({fate['stage']}, ({last}))"
    fate["action"] = f"coalesce({fate['action']}, 'kept')"
    return fate, joins


def _images(source: Input, run: str, inputs: Inputs, tags: Sequence[str]) -> Computed:
    """Keep one line per picture: of several files with equal pixels, that of the first name."""
    order = ", ".join(f"i.{name}" for name in ("ref", "byte_hash") if name in source.types)
    window = f"OVER (PARTITION BY i.image_id{' ORDER BY ' + order if order else ''})"
    return (
        {"files": "count(*) OVER (PARTITION BY i.image_id)"},
        f" WHERE i.image_id IS NOT NULL QUALIFY row_number() {window} = 1",
    )


def _samples(source: Input, run: str, inputs: Inputs, tags: Sequence[str]) -> Computed:
    """Add the stratum that scores or selections name, or else that of the tags."""
    strata, joins = ["i.stratum"] if "stratum" in source.types else [], ""
    for name, key in (("scores", "sample_id"), ("selections", "row_id")):
        if name in inputs and "stratum" in inputs[name].types:
            strata.append(f"{name}_by.stratum")
            joins += (
                f" LEFT JOIN (SELECT {key}, min(stratum) AS stratum FROM {inputs[name].view} "
                f"GROUP BY ALL) {name}_by ON {name}_by.{key} = i.{key}"
            )
    named = [f"i.{name}" if name in source.types else "NULL" for name in tags]
    strata.append(" || ' / ' || ".join(f"coalesce({tag}, 'unknown')" for tag in named) or "''")
    computed = {"stratum": f"coalesce({', '.join(strata)})"}
    if source.types.get("images") == "VARCHAR[]":
        refs = "i.refs" if "refs" in source.types else "NULL"
        computed["images"] = f"CAST(list_zip(i.images, {refs}) AS {IMAGES_TYPE})"
    return computed, joins


def _clusters(source: Input, run: str, inputs: Inputs, tags: Sequence[str]) -> Computed:
    if "sample_id" in source.types or "samples" not in inputs:
        return {}, ""
    view = inputs["samples"].view
    joins = f" LEFT JOIN {view} s ON s.row_id = i.member AND i.kind <> 'image_copy'"
    return {"sample_id": "s.sample_id"}, joins


def _selections(source: Input, run: str, inputs: Inputs, tags: Sequence[str]) -> Computed:
    own = "i.stratum, " if "stratum" in source.types else ""
    made = "i.created_at, " if "created_at" in source.types else ""
    computed = {
        "stratum": f"coalesce({own}s.stratum)",
        "place": "s.place",
        "created_at": f"CAST(coalesce({made}t.created_at, {_started(run)}) AS TIMESTAMP)",
    }
    return computed, (
        f" LEFT JOIN samples s ON s.row_id = i.row_id AND s.run_id = {run} "
        f"LEFT JOIN selection_settings t ON t.selection = i.selection AND t.run_id = {run}"
    )


def _selection_settings(source: Input, run: str, inputs: Inputs, tags: Sequence[str]) -> Computed:
    """Date the selections of a recipe to the run's start, a microsecond apart in their order."""
    made = "i.created_at, " if "created_at" in source.types else ""
    ordinal = "coalesce(i.ordinal, 0)" if "ordinal" in source.types else "0"
    moment = f"coalesce({made}{_started(run)} + to_microseconds({ordinal}))"
    return {"created_at": f"CAST({moment} AS TIMESTAMP)"}, ""


def _probe_runs(source: Input, run: str, inputs: Inputs, tags: Sequence[str]) -> Computed:
    """Date the probes of a recipe's selections to the run's start."""
    made = "i.created_at, " if "created_at" in source.types else ""
    return {"created_at": f"CAST(coalesce({made}{_started(run)}) AS TIMESTAMP)"}, ""


def _started(run: str) -> str:
    return f"(SELECT max(created_at) FROM runs WHERE run_id = {run})"


_COMPUTED: Final[Mapping[str, Callable[[Input, str, Inputs, Sequence[str]], Computed]]] = {
    "rows": _rows,
    "images": _images,
    "samples": _samples,
    "clusters": _clusters,
    "probe_runs": _probe_runs,
    "selection_settings": _selection_settings,
    "selections": _selections,
}
