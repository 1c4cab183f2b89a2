"""Error codes of runs, stages, row filters and the Python API."""

from __future__ import annotations

from typing import Final

from medsift.error_codes.code import ErrorCode

CODES: Final[dict[str, ErrorCode]] = {
    "column_missing": ErrorCode(
        "A table was given without the columns that a sample needs.",
        "Name the columns of question and answer, or that of messages.",
    ),
    "column_mixed": ErrorCode(
        "A column has values of several kinds, such as text and numbers, or arrays.",
        "Make them all text, all bytes, or mappings of the same keys.",
    ),
    "column_repeated": ErrorCode(
        "A table has several columns of one name.",
        "Rename all but one of them.",
    ),
    "column_unknown": ErrorCode(
        "A named column is not in the table.",
        "Use one of the columns that the message lists.",
    ),
    "row_unknown": ErrorCode(
        "A run or table has no such row.",
        "Row ids are source:file:index; rows of a table are numbered from 0.",
    ),
    "run_not_newest": ErrorCode(
        "A selection was added to a run that is not the newest of its manifest.",
        "Open the newest run, or curate again so that this one is the newest.",
    ),
    "run_unknown": ErrorCode(
        "The manifest has no run of that id.",
        "Use one of the ids that the message lists; `FROM runs` lists them too.",
    ),
    "table_invalid": ErrorCode(
        "What was given is not a table.",
        "Give a pyarrow.Table, pandas.DataFrame, datasets.Dataset or list of mappings.",
    ),
    "filter_failed": ErrorCode(
        "A row filter does not fit the columns, raised, or returned something it may not.",
        "Correct the condition or the function; docs/filters.md lists the columns and answers.",
    ),
    "filter_function_missing": ErrorCode(
        "The Python function of a row filter cannot be imported.",
        "Name it as package.module:function, importable from the folder where the run starts.",
    ),
    "stage_unknown": ErrorCode(
        "There is no stage of that name.",
        "Use one of the names that the message lists.",
    ),
    "table_empty": ErrorCode(
        "A selection was asked of a table without rows.",
        "Give a table with rows.",
    ),
    "setting_reserved": ErrorCode(
        "A setting repeats what another argument of the call sets.",
        "Use the argument, or write a recipe for `ms.curate`.",
    ),
    "tag_unknown": ErrorCode(
        "A column was named as a tag that MedSift does not have.",
        "Use one of the tags that the message lists.",
    ),
    "work_unfinished": ErrorCode(
        "Some pieces of a stage's work never finished.",
        "Run the same command again; only what is missing is repeated.",
    ),
    "run_waits_for_review": ErrorCode(
        "The run stopped because a person must look at its review list.",
        "Set decontaminate.unresolved to keep or drop and curate again.",
    ),
    "ledger_unbalanced": ErrorCode(
        "Rows were lost or decided twice.",
        "Please report this run: it is a defect of MedSift.",
    ),
    "failures_above_tolerance": ErrorCode(
        "More rows failed than the recipe tolerates.",
        "Look at the view `why`, correct the rows, or raise failures.tolerance.",
    ),
    "review_required": ErrorCode(
        "Rows are near a benchmark and a person must decide on them.",
        "Look at the review list, then set decontaminate.unresolved to keep or drop.",
    ),
}
