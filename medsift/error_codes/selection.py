"""Error codes of scores and selections."""

from __future__ import annotations

from typing import Final

from medsift.error_codes.code import ErrorCode

CODES: Final[dict[str, ErrorCode]] = {
    "selection_name_taken": ErrorCode(
        "The run has a selection of that name already.",
        "Choose another name, or replace it.",
    ),
    "selection_invalid": ErrorCode(
        "The settings of a selection or comparison are not valid.",
        "Correct the setting that the message names; docs/selection.md lists them.",
    ),
    "graph_damaged": ErrorCode(
        "The neighbour graph on disk is damaged or of another pool.",
        "Delete the file and run again.",
    ),
    "stratum_tag_empty": ErrorCode(
        "A stratum tag is null in every sample.",
        "Change `strata` in the recipe to tags that have values.",
    ),
    "score_invalid": ErrorCode(
        "A scorer gave infinite values or another number of values than samples.",
        "Correct the scorer; NaN represents a missing value.",
    ),
    "budget_invalid": ErrorCode(
        "The budget is larger than the pool or too small for one sample, or the pool is empty.",
        "Ask for a budget within the pool's size; the view `funnel` says where samples went.",
    ),
    "scorer_unknown": ErrorCode(
        "The run has no score of that name.",
        "Use one of the scorers that the message lists.",
    ),
    "quota_stratum_unknown": ErrorCode(
        "quotas.weights names a stratum that the pool lacks.",
        "Use one of the pool's strata.",
    ),
    "target_invalid": ErrorCode(
        "The targets of the method `target` are not samples of the pool, or too many.",
        "Choose kept samples by `where` or `sample_ids`.",
    ),
}
