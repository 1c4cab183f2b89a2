"""Error codes of scores and selections."""

from __future__ import annotations

from medsift.error_codes.code import read_codes

CODES = read_codes("""
selection_name_taken: The run has a selection of that name already.
  Do: Choose another name, or replace it.
selection_invalid: The settings of a selection or comparison are not valid.
  Do: Correct the setting that the message names; docs/selection.md lists them.
graph_damaged: The neighbour graph on disk is damaged or of another pool.
  Do: Delete the file and run again.
stratum_tag_empty: A stratum tag is null in every sample.
  Do: Change `strata` in the recipe to tags that have values.
score_invalid: A scorer gave infinite values or another number of values than samples.
  Do: Correct the scorer; NaN represents a missing value.
budget_invalid: The budget is larger than the pool or too small for one sample, or the pool is
    empty.
  Do: Ask for a budget within the pool's size; the view `funnel` says where samples went.
scorer_unknown: The run has no score of that name.
  Do: Use one of the scorers that the message lists.
quota_stratum_unknown: quotas.weights names a stratum that the pool lacks.
  Do: Use one of the pool's strata.
target_invalid: The targets of the method `target` are not samples of the pool, or too many.
  Do: Choose kept samples by `where` or `sample_ids`.
selector_invalid: The file of a trained selector is none, of another version or other vectors, or
    was changed; or a selector cannot be trained on so few samples.
  Do: Name a file that `medsift selector` wrote for vectors of the same encoder.
probe_nothing_to_ask: No answer is given by enough groups of pictures or patients to be asked about.
  Do: Lower min_groups, or judge the pool by fine-tuning with `medsift study`.
probe_folds_invalid: The samples that a probe can ask about are of fewer groups than folds.
  Do: Lower folds to the number of groups at most.
""")
