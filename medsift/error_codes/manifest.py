"""Error codes of manifests and SQL."""

from __future__ import annotations

from medsift.error_codes.code import read_codes

CODES = read_codes("""
run_missing: The manifest holds no run.
  Do: Make one with `medsift curate RECIPE`.
manifest_table_invalid: A table or column does not belong into a manifest.
  Do: Use the tables and columns of docs/manifest.md.
manifest_unreadable: The manifest lacks what is asked for, or a view of it fails.
  Do: Curate again, or ask whoever wrote the manifest.
manifest_version: The manifest's layout is of another version.
  Do: Use the version that `runs.code_version` names, or curate again.
query_invalid: The SQL has a mistake, or its answer cannot be written in this format.
  Do: Correct the statement at the place that the message names.
query_refused: The statement would write, attach, set or read a file, or is more than one.
  Do: Ask one SELECT, DESCRIBE, SHOW, SUMMARIZE or EXPLAIN.
query_too_large: The answer does not fit into memory.
  Do: Ask for fewer rows or columns, aggregate, or raise --memory.
query_too_slow: The statement ran longer than allowed and was stopped.
  Do: Ask for less, or raise --seconds.
format_unknown: There is no output format of that name.
  Do: Use table, csv, json or parquet.
selection_unknown: The run has no selection of that name.
  Do: Use one of the names that the message lists; `FROM selection_settings` lists them too.
recipe_of_other_version: A stored recipe is not one that this version reads.
  Do: Run the command again with a recipe of this version.
""")
