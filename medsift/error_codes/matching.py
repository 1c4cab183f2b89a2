"""Error codes of duplicates, neighbours, splits and benchmark leaks."""

from __future__ import annotations

from typing import Final

from medsift.error_codes.code import ErrorCode

CODES: Final[dict[str, ErrorCode]] = {
    "vectors_missing": ErrorCode(
        "A picture or text has no vector.",
        "Encode every picture and text first.",
    ),
    "benchmark_index_empty": ErrorCode(
        "The benchmark's run has no sample to index.",
        "Look at the funnel of that run.",
    ),
    "index_folder_in_the_way": ErrorCode(
        "The folder for an index has other content.",
        "Name a new folder.",
    ),
    "benchmark_index_unfit": ErrorCode(
        "The index was made with another encoder or of another run.",
        "Make the index again with `medsift index` from a run with the recipe's encoder.",
    ),
    "benchmark_index_unreadable": ErrorCode(
        "There is no index, or it is damaged or of another version.",
        "Make it again with `medsift index`.",
    ),
    "samples_inconsistent": ErrorCode(
        "Rows repeat an id, or name pictures that are not given.",
        "Give every row its own id, and the facts of every picture.",
    ),
    "priority_invalid": ErrorCode(
        "dedup.priority is no SQL expression over one row's columns.",
        "Correct the expression; it may use only the columns of samples.",
    ),
    "vectors_invalid": ErrorCode(
        "Vectors are not finite, not of unit norm, or of another shape.",
        "Divide each vector by its norm; pass float32 of shape (n, d).",
    ),
    "search_setting_invalid": ErrorCode(
        "A setting of the neighbour search is out of range.",
        "Use a value in the range that the message gives.",
    ),
    "too_many_pairs": ErrorCode(
        "More pairs are similar than the limit allows.",
        "Raise the threshold or the limit.",
    ),
}
