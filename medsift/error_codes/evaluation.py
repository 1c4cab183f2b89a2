"""Error codes of benchmarks, replies, statistics and studies."""

from __future__ import annotations

from medsift.error_codes.code import read_codes

CODES = read_codes("""
benchmark_incomplete: Items of a benchmark lack their pictures.
  Do: Complete the copy of the benchmark.
benchmark_missing: A benchmark's files cannot be found or fetched.
  Do: Name the folder that was published, or check the connection.
benchmark_unreadable: A benchmark's files are not in the published layout.
  Do: Use the files as they were published; the message names the fault.
metric_unknown: There is no metric of that name.
  Do: Use one of the metrics that the message lists.
models_not_comparable: Two models were not asked the same items, or scored by the same protocol.
  Do: Evaluate both on the same benchmark and protocol.
replies_missing: A model gave no reply to some requests.
  Do: Run the same command again; only those are asked.
protocol_unfit: The protocol has no rules for some items of the benchmark.
  Do: Choose another protocol, or a benchmark of the kinds it covers.
protocol_unknown: There is no scoring protocol of that name.
  Do: Use one of the protocols that the message lists.
baseline_unfit: A baseline was asked about items that it did not count.
  Do: Build it with all items that are asked.
prompt_too_long: A prompt and its new tokens exceed the model's context.
  Do: Ask for fewer tokens or smaller pictures.
endpoint_key_invalid: The variable that holds an endpoint's key is not usable.
  Do: Name an environment variable that holds the key of this endpoint alone.
endpoint_url_invalid: The address of an endpoint is not usable.
  Do: Write it like http://host:8000/v1, without name, password or query.
endpoint_failed: An endpoint cannot be reached or refuses.
  Do: Start it or correct its address, then run the same command again.
replies_unreadable: A file of recorded replies cannot be read.
  Do: Give a .jsonl or .parquet file with the columns that the message names.
predictions_incomplete: Predictions lack columns, items or originals that are needed.
  Do: Pass the predictions of one finished evaluation.
lineage_unreadable: An adapter's lineage cannot be read.
  Do: Put back the folder as the training wrote it.
evaluation_unknown: The manifest has no such evaluation, or several.
  Do: Use one of the names that the message lists.
facet_unknown: A facet is no column of the predictions.
  Do: Correct `facets`.
variant_unknown: There is no variant of that name.
  Do: Use one of the families and levels that the message lists.
study_unknown: The manifest has no such study.
  Do: Make one with `medsift study RECIPE`.
statistic_input_invalid: The input of a statistic has another shape or range than it takes.
  Do: Pass values of the shape and range that the message names.
study_trials_unfit: The trials of a study cannot be summed up.
  Do: Finish the study; every trial must be scored on the same items.
""")
