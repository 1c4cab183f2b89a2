"""Error codes of runs, stages, row filters and the Python API."""

from __future__ import annotations

from medsift.error_codes.code import read_codes

CODES = read_codes("""
column_missing: A table was given without the columns that a sample needs.
  Do: Name the columns of question and answer, or that of messages.
column_mixed: A column has values of several kinds, such as text and numbers, or arrays.
  Do: Make them all text, all bytes, or mappings of the same keys.
column_repeated: A table has several columns of one name.
  Do: Rename all but one of them.
column_unknown: A named column is not in the table.
  Do: Use one of the columns that the message lists.
row_unknown: A run or table has no such row.
  Do: Row ids are source:file:index; rows of a table are numbered from 0.
nothing_failed: Failed rows were to be tried again, and none failed, or none for that reason.
  Do: Use one of the reasons that the message lists, or leave the retry out.
nothing_left: Every row of a run was to be withdrawn.
  Do: Delete the run directory, and its cache where no other run uses it.
source_unknown: A run has no source of that name.
  Do: Use one of the names that the message lists.
run_not_newest: A selection was added to a run that is not the newest of its manifest.
  Do: Open the newest run, or curate again so that this one is the newest.
runs_too_few: A manifest was compared with itself, and has a single run.
  Do: Name a second run directory, or selections with --selection-a and --selection-b.
run_unknown: The manifest has no run of that id.
  Do: Use one of the ids that the message lists; `FROM runs` lists them too.
table_invalid: What was given is not a table.
  Do: Give a pyarrow.Table, pandas.DataFrame, datasets.Dataset or list of mappings.
filter_failed: A row filter does not fit the columns, raised, or returned something it may not.
  Do: Correct the condition or the function; docs/filters.md lists the columns and answers.
filter_function_missing: The Python function of a row filter cannot be imported.
  Do: Name it as package.module:function, importable from the folder where the run starts.
stage_unknown: There is no stage of that name.
  Do: Use one of the names that the message lists.
table_empty: A selection was asked of a table without rows.
  Do: Give a table with rows.
setting_reserved: A setting repeats what another argument of the call sets.
  Do: Use the argument, or write a recipe for `ms.curate`.
tag_unknown: A column was named as a tag that MedSift does not have.
  Do: Use one of the tags that the message lists.
work_unfinished: Some pieces of a stage's work never finished.
  Do: Run the same command again; only what is missing is repeated.
run_waits_for_review: The run stopped because a person must look at its review list.
  Do: Set decontaminate.unresolved to keep or drop and curate again.
ledger_unbalanced: Rows were lost or decided twice.
  Do: Please report this run: it is a defect of MedSift.
failures_above_tolerance: More rows failed than the recipe tolerates.
  Do: Look at the view `why`, correct the rows, or raise failures.tolerance.
review_required: Rows are near a benchmark and a person must decide on them.
  Do: Look at the review list, then set decontaminate.unresolved to keep or drop.
audit_failed: An audit found more than the recipe accepts.
  Do: Read the table of checks; correct the data, or raise the limits under audit.
licences_exclude_each_other: Licences of one selection cannot both be met, which the recipe refuses.
  Do: Select one side by a row filter, or set licences.conflicts to separate.
licence_not_allowed: Samples have licences, or none, that licences.allow does not list.
  Do: Leave their rows out by a row filter, or add the licence to licences.allow.
privacy_key_missing: Patients or studies are to become pseudonyms, and there is no secret for it.
  Do: Set the environment variable that privacy.key_variable names, outside the run.
dicom_not_deidentified: Some DICOM files could not be de-identified; they were not written.
  Do: Read the reasons in the list; convert or leave out those files.
""")
