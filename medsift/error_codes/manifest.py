"""Error codes of manifests and SQL."""

from __future__ import annotations

from typing import Final

from medsift.error_codes.code import ErrorCode

CODES: Final[dict[str, ErrorCode]] = {
    "run_missing": ErrorCode(
        "The manifest holds no run.",
        "Make one with `medsift curate RECIPE`.",
    ),
    "manifest_table_invalid": ErrorCode(
        "A table or column does not belong into a manifest.",
        "Use the tables and columns of docs/manifest.md.",
    ),
    "manifest_unreadable": ErrorCode(
        "The manifest lacks what is asked for, or a view of it fails.",
        "Curate again, or ask whoever wrote the manifest.",
    ),
    "manifest_version": ErrorCode(
        "The manifest's layout is of another version.",
        "Use the version that `runs.code_version` names, or curate again.",
    ),
    "query_invalid": ErrorCode(
        "The SQL has a mistake, or its answer cannot be written in this format.",
        "Correct the statement at the place that the message names.",
    ),
    "query_refused": ErrorCode(
        "The statement would write, attach, set or read a file, or is more than one.",
        "Ask one SELECT, DESCRIBE, SHOW, SUMMARIZE or EXPLAIN.",
    ),
    "query_too_large": ErrorCode(
        "The answer does not fit into memory.",
        "Ask for fewer rows or columns, aggregate, or raise --memory.",
    ),
    "query_too_slow": ErrorCode(
        "The statement ran longer than allowed and was stopped.",
        "Ask for less, or raise --seconds.",
    ),
    "format_unknown": ErrorCode(
        "There is no output format of that name.",
        "Use table, csv, json or parquet.",
    ),
    "selection_unknown": ErrorCode(
        "The run has no selection of that name.",
        "Use one of the names that the message lists; `FROM selection_settings` lists them too.",
    ),
    "recipe_of_other_version": ErrorCode(
        "A stored recipe is not one that this version reads.",
        "Run the command again with a recipe of this version.",
    ),
}
