"""Deduplicate and select the rows of any table, without a recipe.

The table is written to a temporary folder and read by the same stages as a run's sources: the rows
that stay are those that `medsift curate` would keep of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Final

from curation.table_html import html_table
from curation.table_rows import TableRows
from medsift.errors import UsageError
from medsift.records import DROPPED, FAILED, STRATUM_TAGS, TAGS

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa

    from curation.recipe import Recipe
    from curation.stages.stage import StagesDone

SOURCE: Final = "table"
SELECTION: Final = "selected"
KEPT: Final = "kept"
RESERVED: Final = frozenset({"name", "runs", "cache", "sources", "encoder", "selections"})
"""Keys of a recipe that the arguments of `deduplicate` and `select` set."""


@dataclass(frozen=True, slots=True)
class RowFates:
    """What became of each row of a table; rows are numbered from 0, as the table has them.

    `kept`, `dropped` and `failed` are of the kind of table that was given. Dropped rows have the
    columns `reason`, `witness` (the number of the kept row that they repeat), `value` and
    `threshold`; failed rows have `reason` and `detail`.
    """

    rows: TableRows = field(repr=False)
    fates: tuple[Mapping[str, Any], ...] = field(repr=False)
    groups: pa.Table = field(repr=False)
    """One line a member of a group of duplicates: kind, group, row, kept (its number)."""
    conflicts: pa.Table = field(repr=False)
    """Rows that contradict each other: same pictures and question, answers not both right."""

    @property
    def kept(self) -> Any:
        """The rows that stay."""
        return self.rows.take(self._places(KEPT))

    @property
    def dropped(self) -> Any:
        """The rows that repeat a kept one, or have nothing to learn from, with the reason."""
        return self._with(DROPPED, "reason", "witness", "value", "threshold")

    @property
    def failed(self) -> Any:
        """The rows that are no samples, such as those without an answer, with the reason."""
        return self._with(FAILED, "reason", "detail")

    def why(self, row: int) -> str:
        """Return the fate of a row by its number, in words.

        Raises:
            UsageError: the table has no such row.
        """
        if not 0 <= row < len(self.fates):
            raise UsageError(
                f"the table has no row {row}; it has rows 0 to {len(self.fates) - 1}",
                code="row_unknown",
                row=row,
            )
        fate = self.fates[row]
        if fate["action"] == KEPT:
            return f"row {row} was kept"
        action = "failed" if fate["action"] == FAILED else f"was {fate['action']}"
        witness, value, threshold = fate["witness"], fate["value"], fate["threshold"]
        words = f"row {row} {action} in {fate['stage']}: {fate['reason']}"
        if witness is not None:
            words += f" of row {witness}"
        if value is not None:
            words += f" ({'value' if witness is None else 'similarity'} {value:.4g}"
            if threshold is not None:
                words += f" {'≥' if value >= threshold else '<'} {threshold:.4g}"
            words += ")"
        return f"{words}: {fate['detail']}" if fate["detail"] else words

    def _places(self, action: str) -> list[int]:
        return [place for place, fate in enumerate(self.fates) if fate["action"] == action]

    def _with(self, action: str, *names: str) -> Any:
        places = self._places(action)
        return self.rows.take(
            places, {name: [self.fates[place][name] for place in places] for name in names}
        )

    def __len__(self) -> int:
        """Count the rows of the table."""
        return len(self.fates)

    def __repr__(self) -> str:
        counts = {action: len(self._places(action)) for action in (KEPT, DROPPED, FAILED)}
        return f"{len(self):,} rows: " + ", ".join(f"{n:,} {name}" for name, n in counts.items())

    def _repr_html_(self) -> str:
        return html_table(self._ledger(), repr(self))

    def _ledger(self) -> pa.Table:
        import pyarrow as pa

        lines = [
            {"row": place, **fate}
            for place, fate in enumerate(self.fates)
            if fate["action"] != KEPT
        ]
        names = ["row", "action", "stage", "reason", "witness", "value", "threshold", "detail"]
        return pa.table({name: [line.get(name) for line in lines] for name in names})


@dataclass(frozen=True, slots=True)
class SelectedRows(RowFates):
    """The rows of a table that a budget selects, in rank order, and the fate of every row."""

    order: tuple[int, ...] = ()
    """Numbers of the selected rows, the first selected first."""
    weights: tuple[float, ...] = ()
    """Weight of each selected row: what it represents."""
    coverage: float | None = None
    """Share of the pool's neighbour graph that the selected rows cover."""

    @property
    def selected(self) -> Any:
        """The selected rows in rank order, with their `weight`."""
        return self.rows.take(self.order, {"weight": self.weights})

    def __repr__(self) -> str:
        covers = "" if self.coverage is None else f", covering {self.coverage:.3f} of the kept"
        # super() without arguments does not work in a dataclass with slots.
        return f"{RowFates.__repr__(self)}; {len(self.order):,} selected{covers}"


def deduplicate(
    table: Any,
    *,
    question: str | None = None,
    answer: str | None = None,
    messages: str | None = None,
    image: str | None = None,
    image_root: str | Path | None = None,
    tags: Mapping[str, str] | None = None,
    encoder: str | Mapping[str, Any] = "embedded",
    settings: Mapping[str, Any] | None = None,
    cache: str | Path | None = None,
) -> RowFates:
    """Find the rows of a table that repeat another row, and say which and why.

    Args:
        table: A `pyarrow.Table`, `pandas.DataFrame`, `datasets.Dataset` or list of mappings.
        question: Column of the question, with `answer`; or give `messages`.
        answer: Column of the answer.
        messages: Column of chat messages (role, content).
        image: Column of pictures: paths, bytes, PIL pictures, ``{"bytes", "path"}``, or lists.
        image_root: Folder or URL of relative paths; the current folder when not given.
        tags: Tag → column, for example ``{"modality": "scan", "patient_id": "subject"}``.
        encoder: `embedded`, or the settings of an encoder as in a recipe.
        settings: Further recipe settings, for example ``{"dedup": {...}, "seed": 3}``.
        cache: Folder that keeps vectors between calls; none are kept when not given.

    Raises:
        UsageError: no table, no such column or tag, a column of mixed values, or neither question
            and answer nor messages.
        RecipeError: settings that are not valid.
        InputError, ModelError, StorageError: as a run meets them.
    """
    columns = {"question": question, "answer": answer, "messages": messages, "images": image}
    rows = TableRows(table)
    with _staged(rows, columns, tags or {}, image_root, encoder, settings, cache, ()) as run:
        # A source without a record is refused; a table without a row has no duplicates.
        return RowFates(rows, *(_fates(run("dedup"), len(rows)) if len(rows) else _no_fates()))


def select(
    table: Any,
    budget: int | float | str,
    *,
    question: str | None = None,
    answer: str | None = None,
    messages: str | None = None,
    image: str | None = None,
    image_root: str | Path | None = None,
    tags: Mapping[str, str] | None = None,
    method: str | Mapping[str, Any] = "facility_location",
    encoder: str | Mapping[str, Any] = "embedded",
    settings: Mapping[str, Any] | None = None,
    cache: str | Path | None = None,
) -> SelectedRows:
    """Select the rows of a table that cover it best within a budget; repeated rows go first.

    Args:
        table: As for `deduplicate`.
        budget: Rows (500), a share of the kept rows (0.1, "10%"), tokens ("100000tokens"), or
            "auto:0.9": just enough to cover that share of the pool.
        question: As for `deduplicate`, and so on to `tags`.
        answer: Column of the answer.
        messages: Column of chat messages.
        image: Column of pictures.
        image_root: Folder or URL of relative paths.
        tags: Tag → column; `modality`, `task_type` and `answer_type` name the strata.
        method: One of the methods of docs/selection.md, or its settings as in a recipe.
        encoder: As for `deduplicate`.
        settings: Further recipe settings, for example `scores`.
        cache: Folder that keeps vectors between calls.

    Raises:
        UsageError: as `deduplicate`, a table without rows, or a budget that the kept rows cannot
            fill.
        RecipeError, InputError, ModelError, StorageError: as `deduplicate`.
    """
    columns = {"question": question, "answer": answer, "messages": messages, "images": image}
    rows = TableRows(table)
    kind = {"kind": method} if isinstance(method, str) else dict(method)
    wanted = {"name": SELECTION, "budget": budget, "method": kind}
    with _staged(rows, columns, tags or {}, image_root, encoder, settings, cache, (wanted,)) as run:
        if not len(rows):
            raise UsageError(
                f"the table has no rows to fill a budget of {budget}; give one with rows",
                code="table_empty",
            )
        done = run(None)
        picked = done.upstream.select.selections.read()
        lines = [line for line in picked.to_pylist() if line["selection"] == SELECTION]
        lines.sort(key=lambda line: line["rank"])
        made = done.upstream.select.selection_settings.read().to_pylist()
        [coverage] = [line["coverage"] for line in made if line["selection"] == SELECTION]
        return SelectedRows(
            rows,
            *_fates(done, len(rows)),
            order=tuple(_place(line["row_id"]) for line in lines),
            weights=tuple(line["weight"] for line in lines),
            coverage=coverage,
        )


@contextmanager
def _staged(
    rows: TableRows,
    columns: Mapping[str, str | None],
    tags: Mapping[str, str],
    image_root: str | Path | None,
    encoder: str | Mapping[str, Any],
    settings: Mapping[str, Any] | None,
    cache: str | Path | None,
    selections: tuple[Mapping[str, Any], ...],
) -> Iterator[Any]:
    """Yield a function that runs the stages over the table until one of them."""
    from curation.pipeline import run_stages
    from curation.recipe import Recipe
    from medsift import recipe_yaml
    from medsift.execution import LocalExecutor

    used = {name: column for name, column in columns.items() if column is not None}
    if not ({"question", "answer"} <= used.keys() or "messages" in used):
        raise UsageError(
            "name the columns of question and answer, or that of messages; the table has "
            f"{', '.join(rows.names) or 'no column'}",
            code="column_missing",
        )
    unknown = sorted(set(tags) - set(TAGS))
    if unknown:
        raise UsageError(
            f"{', '.join(unknown)} is no tag; the tags are {', '.join(TAGS)}",
            code="tag_unknown",
            tags=unknown,
        )
    reserved = sorted(set(settings or {}) & RESERVED)
    if reserved:
        raise UsageError(
            f"settings cannot have {', '.join(reserved)}, which the other arguments set; "
            "for a whole recipe see ms.curate",
            code="setting_reserved",
            settings=reserved,
        )
    used |= tags
    values = {name: rows.column(column) for name, column in used.items()}
    if "images" in values and image_root is None:
        values["images"] = [_absolute(value) for value in values["images"]]
    with TemporaryDirectory(prefix="medsift-table-") as folder:
        file = Path(folder) / "rows.parquet"
        _write(values, used, file)
        recipe: Recipe = recipe_yaml.validated(
            Recipe,
            {
                # A row that fails is listed; how many may is the caller's to decide.
                "failures": {"tolerance": 1.0},
                "strata": [tag for tag in STRATUM_TAGS if tag in tags],
                **(settings or {}),
                "name": SOURCE,
                "runs": folder,
                "cache": str(cache if cache is not None else Path(folder) / "cache"),
                "sources": [
                    {
                        "name": SOURCE,
                        "reader": "table",
                        "path": str(file),
                        "image_root": str(image_root) if image_root is not None else "/",
                    }
                ],
                "encoder": {"kind": encoder} if isinstance(encoder, str) else dict(encoder),
                "selections": [dict(one) for one in selections],
            },
        )

        def run(until: str | None) -> StagesDone:
            done = run_stages(recipe, Path(folder) / "run", LocalExecutor(), until=until)
            if done.problem is not None:
                raise done.problem
            return done

        yield run


def _absolute(value: Any) -> Any:
    """Return relative paths as absolute ones, under the current folder."""
    if isinstance(value, list):
        return [_absolute(item) for item in value]
    if (
        isinstance(value, dict)
        and value.get("bytes") is None
        and isinstance(value.get("path"), str)
    ):
        return _absolute(value["path"])
    if isinstance(value, str) and value and "://" not in value and not value.startswith("data:"):
        return str(Path.cwd() / value)
    return value


def _write(values: Mapping[str, list[Any]], columns: Mapping[str, str], file: Path) -> None:
    """Write values as a Parquet file; `columns` are the user's names of theirs.

    Raises:
        UsageError: a column of values that Arrow cannot put into one type.
    """
    import pyarrow as pa

    from medsift.storage.parts import write_table

    arrays = {}
    for name, column in values.items():
        try:
            arrays[name] = pa.array(column)
        except pa.ArrowException as error:
            raise UsageError(
                f"column {columns[name]!r} has values of several kinds, or of one that no file "
                f"has: {str(error).splitlines()[0]}; make them all text, bytes, or mappings of "
                "the same keys",
                code="column_mixed",
                column=columns[name],
            ) from error
    write_table(pa.table(arrays), file)


def _no_fates() -> tuple[tuple[Mapping[str, Any], ...], pa.Table, pa.Table]:
    """Return what `_fates` does for a table without rows."""
    return (), _groups([]), _conflicts([])


def _fates(done: StagesDone, rows: int) -> tuple[tuple[Mapping[str, Any], ...], pa.Table, pa.Table]:
    """Return the fate of each row, the groups of duplicates and the contradictions."""
    from curation.publish import all_decisions

    nothing = dict.fromkeys(("stage", "reason", "witness", "value", "threshold", "detail"))
    fates: list[Mapping[str, Any]] = [{"action": KEPT, **nothing}] * rows
    for line in all_decisions(done.stages).to_pylist():
        witness = line["witness"]
        fates[_place(line["row_id"])] = {
            "action": line["action"],
            "stage": line["stage"],
            "reason": line["reason"],
            "witness": None if witness is None else _place(witness),
            "value": line["value"],
            "threshold": line["threshold"],
            "detail": line["detail"],
        }
    dedup = done.upstream.dedup
    members = [line for line in dedup.clusters.read().to_pylist() if line["kind"] != "image_copy"]
    return tuple(fates), _groups(members), _conflicts(dedup.conflicts_found.read().to_pylist())


def _groups(members: Sequence[Mapping[str, Any]]) -> pa.Table:
    import pyarrow as pa

    return pa.table(
        {
            "kind": pa.array([line["kind"] for line in members], pa.string()),
            "group": pa.array([line["group_id"] for line in members], pa.string()),
            "row": pa.array([_place(line["member"]) for line in members], pa.int64()),
            "kept": pa.array([_place(line["survivor"]) for line in members], pa.int64()),
            "similarity": pa.array([line["similarity"] for line in members], pa.float64()),
        }
    )


def _conflicts(lines: Sequence[Mapping[str, Any]]) -> pa.Table:
    import pyarrow as pa

    return pa.table(
        {
            "group": pa.array([line["group_id"] for line in lines], pa.string()),
            "row": pa.array([_place(line["row_id"]) for line in lines], pa.int64()),
            "question": pa.array([line["question"] for line in lines], pa.string()),
            "answer": pa.array([line["answer"] for line in lines], pa.string()),
        }
    )


def _place(row_id: str) -> int:
    return int(row_id.rpartition(":")[2])
