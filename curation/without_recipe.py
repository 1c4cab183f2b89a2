"""Deduplicate and select the rows of any table, without a recipe.

The table is written to a temporary folder and read by the same stages as a run's sources: the rows
that stay are those that `medsift curate` would keep of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Final

from curation.row_fates import RowFates, SelectedRows, read_fates, relations, row_number
from curation.table_rows import TableRows
from medsift.errors import UsageError
from medsift.extras import names_missing_extra
from medsift.records import STRATUM_TAGS, TAGS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from curation.stages.stage import StagesDone

SOURCE: Final = "table"
SELECTION: Final = "selected"
RESERVED: Final = frozenset({"name", "runs", "cache", "sources", "encoder", "selections"})
"""Keys of a recipe that the arguments of `deduplicate` and `select` set."""


@names_missing_extra
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
        InputError, ModelError, StorageError: as for `ms.curate`.
    """
    columns = {"question": question, "answer": answer, "messages": messages, "images": image}
    rows = TableRows(table)
    with _staged(rows, columns, tags or {}, image_root, encoder, settings, cache) as run_until:
        if not len(rows):
            # The stages would refuse a source without a record.
            return RowFates(rows, (), *relations([], []))
        return RowFates(rows, *read_fates(run_until("dedup"), len(rows)))


@names_missing_extra
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
        budget: Rows (500), a share of the kept rows (0.1, "10%"), tokens ("100000tokens"),
            "coverage:0.9" (just enough to cover that share of the pool), or "auto" (just enough to
            teach a probe as much as all rows, within 0.02 of its accuracy, or 0.05 of it with
            "auto:0.05"; it needs answers that repeat, and minutes).
        question: As for `deduplicate`; so are all arguments up to `tags`.
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
        UsageError: as `deduplicate`, a table without rows, a budget that the kept rows cannot
            fill, or `auto` where a probe cannot ask or shows no size to be enough.
        RecipeError, InputError, ModelError, StorageError: as `deduplicate`.
    """
    columns = {"question": question, "answer": answer, "messages": messages, "images": image}
    rows = TableRows(table)
    kind = {"kind": method} if isinstance(method, str) else dict(method)
    selection = {"name": SELECTION, "budget": budget, "method": kind}
    with _staged(
        rows, columns, tags or {}, image_root, encoder, settings, cache, selection
    ) as run_until:
        if not len(rows):
            raise UsageError(
                f"the table has no rows to fill a budget of {budget}; give one with rows",
                code="table_empty",
                budget=budget,
            )
        done = run_until(None)
        selected, selections = (
            [line for line in table.read().to_pylist() if line["selection"] == SELECTION]
            for table in (done.upstream.select.selections, done.upstream.select.selection_settings)
        )
        selected.sort(key=lambda line: line["rank"])
        return SelectedRows(
            rows,
            *read_fates(done, len(rows)),
            order=tuple(row_number(line["row_id"]) for line in selected),
            weights=tuple(line["weight"] for line in selected),
            coverage=selections[0]["coverage"],
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
    *selections: Mapping[str, Any],
) -> Iterator[Callable[[str | None], StagesDone]]:
    """Yield a function that runs the stages over the table, up to the one that is named.

    Args:
        rows: The table.
        columns: Part of a sample → the user's column, or None.
        tags: As for `deduplicate`, like all that follow.
        image_root: Folder or URL of relative paths.
        encoder: Kind or settings of the encoder.
        settings: Further recipe settings.
        cache: Folder that keeps vectors.
        selections: The recipe's selections.
    """
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
            columns=list(rows.names),
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
        _write_rows(values, used, file)
        source = {"name": SOURCE, "reader": "table", "path": str(file)}
        source["image_root"] = str(image_root) if image_root is not None else "/"
        document = {
            # The caller sees every row that fails and decides whether they are too many.
            "failures": {"tolerance": 1.0},
            "strata": [tag for tag in STRATUM_TAGS if tag in tags],
            **(settings or {}),
            "name": SOURCE,
            "runs": folder,
            "cache": str(cache if cache is not None else Path(folder) / "cache"),
            "sources": [source],
            "encoder": {"kind": encoder} if isinstance(encoder, str) else dict(encoder),
            "selections": [dict(selection) for selection in selections],
        }
        recipe = recipe_yaml.validated(Recipe, document)

        def run_until(until: str | None) -> StagesDone:
            done = run_stages(recipe, Path(folder) / "run", LocalExecutor(), until=until)
            if done.problem is not None:
                raise done.problem
            return done

        yield run_until


def _absolute(value: Any) -> Any:
    """Return relative paths as absolute ones, under the current folder."""
    if isinstance(value, list):
        return [_absolute(item) for item in value]
    if isinstance(value, dict) and value.get("bytes") is None and "path" in value:
        return _absolute(value["path"]) if isinstance(value["path"], str) else value
    if isinstance(value, str) and value and "://" not in value and not value.startswith("data:"):
        return str(Path.cwd() / value)
    return value


def _write_rows(values: Mapping[str, list[Any]], columns: Mapping[str, str], file: Path) -> None:
    """Write the values of each field as a Parquet file; `columns` are the user's names of them.

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
                f"column {columns[name]!r} has values of several kinds, or of a kind that no file "
                f"stores: {str(error).splitlines()[0]}; make them all text, bytes, or mappings of "
                "the same keys",
                code="column_mixed",
                column=columns[name],
            ) from error
    write_table(pa.table(arrays), file)
