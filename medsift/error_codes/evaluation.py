"""Error codes of benchmarks, replies, statistics and studies."""

from __future__ import annotations

from typing import Final

from medsift.error_codes.code import ErrorCode

CODES: Final[dict[str, ErrorCode]] = {
    "benchmark_incomplete": ErrorCode(
        "Items of a benchmark lack their pictures.",
        "Complete the copy of the benchmark.",
    ),
    "benchmark_missing": ErrorCode(
        "A benchmark's files cannot be found or fetched.",
        "Name the folder that was published, or check the connection.",
    ),
    "benchmark_unreadable": ErrorCode(
        "A benchmark's files are not in the published layout.",
        "Use the files as they were published; the message names the fault.",
    ),
    "metric_unknown": ErrorCode(
        "There is no metric of that name.",
        "Use one of the metrics that the message lists.",
    ),
    "models_not_comparable": ErrorCode(
        "Two models were not asked the same items, or scored by the same protocol.",
        "Evaluate both on the same benchmark and protocol.",
    ),
    "replies_missing": ErrorCode(
        "A model gave no reply to some requests.",
        "Run the same command again; only those are asked.",
    ),
    "protocol_unfit": ErrorCode(
        "The protocol has no rules for some items of the benchmark.",
        "Choose another protocol, or a benchmark of the kinds it covers.",
    ),
    "protocol_unknown": ErrorCode(
        "There is no scoring protocol of that name.",
        "Use one of the protocols that the message lists.",
    ),
    "baseline_unfit": ErrorCode(
        "A baseline was asked about items that it did not count.",
        "Build it with all items that are asked.",
    ),
    "prompt_too_long": ErrorCode(
        "A prompt and its new tokens exceed the model's context.",
        "Ask for fewer tokens or smaller pictures.",
    ),
    "endpoint_key_invalid": ErrorCode(
        "The variable that holds an endpoint's key is not usable.",
        "Name an environment variable that holds the key of this endpoint alone.",
    ),
    "endpoint_url_invalid": ErrorCode(
        "The address of an endpoint is not usable.",
        "Write it like http://host:8000/v1, without name, password or query.",
    ),
    "endpoint_failed": ErrorCode(
        "An endpoint cannot be reached or refuses.",
        "Start it or correct its address, then run the same command again.",
    ),
    "replies_unreadable": ErrorCode(
        "A file of recorded replies cannot be read.",
        "Give a .jsonl or .parquet file with the columns that the message names.",
    ),
    "predictions_incomplete": ErrorCode(
        "Predictions lack columns, items or originals that are needed.",
        "Pass the predictions of one finished evaluation.",
    ),
    "lineage_unreadable": ErrorCode(
        "An adapter's lineage cannot be read.",
        "Put back the folder as the training wrote it.",
    ),
    "evaluation_unknown": ErrorCode(
        "The manifest has no such evaluation, or several.",
        "Use one of the names that the message lists.",
    ),
    "facet_unknown": ErrorCode(
        "A facet is no column of the predictions.",
        "Correct `facets`.",
    ),
    "variant_unknown": ErrorCode(
        "There is no variant of that name.",
        "Use one of the families and levels that the message lists.",
    ),
    "study_unknown": ErrorCode(
        "The manifest has no such study.",
        "Make one with `medsift study RECIPE`.",
    ),
    "statistic_input_invalid": ErrorCode(
        "The input of a statistic has another shape or range than it takes.",
        "Pass values of the shape and range that the message names.",
    ),
    "study_trials_unfit": ErrorCode(
        "The trials of a study cannot be summed up.",
        "Finish the study; every trial must be scored on the same items.",
    ),
}
