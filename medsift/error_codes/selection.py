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
quota_stratum_unknown: quotas.weights or importance names a stratum that the pool lacks.
  Do: Use one of the pool's strata.
mix_unfit: A mix names a source that the pool lacks, or leaves nothing to pick.
  Do: Name sources that the message lists, or allow another class of licences.
skills_missing: Quotas are by skill, and the run has no skills.
  Do: Add `scores: {skills: {}}` to the recipe and curate again, or leave out quotas.by.
selection_short: A selection method picked fewer different samples than asked for.
  Do: Ask for fewer samples, or choose another method.
target_invalid: The targets of the method `target` are not samples of the pool, or too many.
  Do: Choose kept samples by `where` or `sample_ids`.
selector_invalid: The file of a trained selector is none, of another version or other vectors, or
    was changed; or a selector cannot be trained on so few samples.
  Do: Name a file that `medsift selector` wrote for vectors of the same encoder.
probe_pool_empty: The run has no sample that may be trained on.
  Do: Give some samples the split `train`, or none; the view `funnel` says where the others went.
probe_nothing_to_ask: No two answers are given by enough groups of pictures or patients to be asked
    about.
  Do: Lower min_groups, or judge the pool by fine-tuning with `medsift study`.
probe_folds_invalid: The samples that a probe can ask about are of fewer groups than folds.
  Do: Lower folds to the number of groups at most.
auto_budget_not_askable: The budget auto asks a probe, which has no answers to ask about, too few
    groups, or most of the pool outside what it can ask about.
  Do: Give the budget as `coverage:0.9` or as a share; a pool of long answers is judged by
    `medsift study`.
auto_budget_not_learned: The budget auto asks a probe, which is not shown to answer better from all
    rows than by always giving the commonest answer, so that it cannot tell what is enough.
  Do: Give the budget as `coverage:0.9` or as a share; `medsift study` judges by fine-tuning.
auto_budget_not_shown: At the largest size that the budget auto tries, a probe does not show that
    the selection loses less than the margin against all rows.
  Do: Allow a larger margin (`auto:0.05`), or give the budget as `coverage:0.9` or as a share.
test_part_missing: An improvement has no test data.
  Do: Name a split that the run has as test.split, or a test.share of the training split.
improve_part_empty: No group of pictures or patients is left to train on or to validate with.
  Do: Change the shares of validation and test, or curate more samples.
improve_nothing_to_learn: No selected sample has an answer that the probe knows.
  Do: Select more, lower min_groups, or train by LoRA.
test_sample_used: Samples of the test data would be selected or validated with.
  Do: Report it: parts are cut by whole groups, so that this cannot happen by settings.
""")
