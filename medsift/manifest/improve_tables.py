"""Declare the tables of improvements: rounds, cells, learning curves, and why a row came in."""

from __future__ import annotations

from typing import Final

from medsift.manifest.table import tables

IMPROVE_TABLES: Final = tables("""
TABLE improvements REPLACED BY improve_id | rounds that move quotas by what a learner gets wrong,
  and select again; one line for each improvement
improve_id* VARCHAR | improvement: its name, and a digest of its settings and of the pool
created_at TIMESTAMP | when it was made, UTC
settings VARCHAR | all settings, JSON
seed BIGINT | seed of parts, selections and resamples
trainer VARCHAR | what was trained on each selection: probe or lora
budget BIGINT | samples of each selection
pool BIGINT | samples of the training part
validation BIGINT | validation samples asked about after every round
test BIGINT | samples of the test data asked about after the last round
left_out BIGINT | samples of the training split that share a picture, case or patient with test data
cells VARCHAR[] | cells that quotas are for
gain DOUBLE | fall of the error that the learning curves predict for the best quotas against
  proportional ones, weighed by importance
gain_low DOUBLE | lower end of its 95% interval, by group of pictures or patients
gain_high DOUBLE | upper end
curves_used BOOLEAN | whether the interval is above zero; else the one-shot arm has proportional
  quotas
verdict VARCHAR | what it shows, in words
seconds DOUBLE | time it took

TABLE improve_rounds ORDER BY improve_id, arm, round REPLACED BY improve_id | selections of an
  improvement: what each taught
improve_id* VARCHAR | improvement
arm* VARCHAR | proportional, stratified, one_shot or loop
round* INTEGER | round of the loop, from 1; 0 for the other arms
selection* VARCHAR | selection trained on
parent VARCHAR | selection whose errors and failures led to it
samples BIGINT | samples selected
by_failure BIGINT | how many of them are nearest to a failure of the parent
accuracy DOUBLE | share of right answers on the validation data
low DOUBLE | lower end of its 95% interval, by group of pictures or patients
high DOUBLE | upper end
failures BIGINT | validation samples answered wrongly
test_accuracy DOUBLE | share of right answers on the test data; null but for the last of each arm
test_low DOUBLE | lower end of its 95% interval
test_high DOUBLE | upper end
test_difference DOUBLE | test accuracy less that of proportional quotas; null for the same samples
test_difference_low DOUBLE | lower end of its 95% interval, paired by sample
test_difference_high DOUBLE | upper end

TABLE improve_cells ORDER BY improve_id, arm, round, cell REPLACED BY improve_id | cells of each
  selection of an improvement
improve_id* VARCHAR | improvement
arm* VARCHAR | arm
round* INTEGER | round
cell* VARCHAR | cell, named by the values of its tags
pool BIGINT | samples of the training part in it
samples BIGINT | samples selected
asked BIGINT | validation samples asked about
error DOUBLE | share of wrong answers; null without any asked
shrunk DOUBLE | the same after empirical Bayes, in which small cells borrow from all
excess DOUBLE | standard deviations above the mean, cut at 1.5: what moves the next quota
change DOUBLE | fall of the error against proportional quotas
p DOUBLE | two-sided p of the change, by group of pictures or patients
p_holm DOUBLE | the same adjusted over all rounds and cells (Holm 1979)

TABLE improve_curves ORDER BY improve_id, cell REPLACED BY improve_id | learning curves of cells on
  random subsets, and the quotas that follow
improve_id* VARCHAR | improvement
cell* VARCHAR | cell
importance DOUBLE | weight of its error
form VARCHAR | power for epsilon + beta n^-alpha, isotonic for a falling line; null without any
  sample asked
epsilon DOUBLE | error that more samples do not remove
beta DOUBLE | error above it at one sample
alpha DOUBLE | exponent of its fall
pool BIGINT | samples of the training part in it
proportional BIGINT | samples by proportional quotas
best BIGINT | samples that make the predicted error least
advised BIGINT | samples used: the best where their gain is above zero, else proportional

TABLE improve_rows ORDER BY improve_id, selection, sample_id REPLACED BY improve_id | why a sample
  is in a round of the loop
improve_id* VARCHAR | improvement
selection* VARCHAR | selection of the round
sample_id* VARCHAR | sample
reason* VARCHAR | quota for a pick of the method within its cell's quota, failure for one of the
  nearest to a validation sample that the parent got wrong
target VARCHAR | that validation sample
similarity DOUBLE | cosine with it, of picture and question
parent VARCHAR | selection whose failures were the targets
""")
