"""Declare the tables of probes: what was compared, and how well each subset taught."""

from __future__ import annotations

from typing import Final

from medsift.manifest.table import tables

PROBE_TABLES: Final = tables("""
TABLE probe_runs REPLACED BY probe_id | probes of a run's pool: how well subsets teach a small
  learner on frozen vectors
probe_id* VARCHAR | probe: digest of its settings and of the pool
created_at TIMESTAMP | when it was made, UTC
settings VARCHAR | arms, budgets, draws and folds, JSON
seed BIGINT | seed of folds and draws
pool BIGINT | samples of the pool that could be asked about
left_out VARCHAR | the pool's other samples by reason, JSON
classes VARCHAR[] | answers that the probe predicts
asked BIGINT | samples asked about, each by probes that never saw its group
clusters BIGINT | groups of pictures or patients among them
majority DOUBLE | right answers of always giving the commonest answer that the question offers
verdict VARCHAR | what the probe shows of the first arm, in words
seconds DOUBLE | time it took

TABLE probe_results ORDER BY probe_id, facet, arm, budget REPLACED BY probe_id | accuracy of a probe
  trained on each arm's subsets, by budget and facet
probe_id* VARCHAR | probe
arm* VARCHAR | way of selecting; random draws from all rows that are valid, dedup_random from the
  pool, full is all rows
budget* DOUBLE | share of the pool's training part; 1 for full
samples DOUBLE | training samples, the mean over folds
facet* VARCHAR | all, or the tag that the samples asked about were grouped by
facet_value VARCHAR | value of the tag
trainings BIGINT | draws; each is one training per fold
accuracy DOUBLE | share of right answers
low DOUBLE | lower end of its 95% interval, by group of pictures or patients
high DOUBLE | upper end
n BIGINT | samples asked about
clusters BIGINT | groups among them
random_difference DOUBLE | accuracy less that of random at the same size
random_low DOUBLE | lower end of its 95% interval, paired by sample
random_high DOUBLE | upper end
full_difference DOUBLE | accuracy less that of all rows
full_low DOUBLE | lower end of its 95% interval, paired by sample
full_high DOUBLE | upper end
non_inferiority VARCHAR | non-inferior, inferior or inconclusive against all rows, at the margin of
  the settings
versus_difference DOUBLE | accuracy less that of the arm `versus` of the settings at the same size
versus_low DOUBLE | lower end of its 95% interval, paired by sample
versus_high DOUBLE | upper end
efficiency DOUBLE | random samples that one selected sample replaces
efficiency_low DOUBLE | lower end of its 95% interval
efficiency_high DOUBLE | upper end
efficiency_beyond VARCHAR | above or below where the accuracy is outside the random curve: the
  efficiency is then at least, or at most, so much

TABLE probe_diagnosis REPLACED BY probe_id | whether a probe's pool is redundant, noisy or
  imbalanced, and what that calls for
probe_id* VARCHAR | probe
figure* VARCHAR | redundancy (rows for each sample left after deduplication), noise (share of
  contradicted answers among those that label_noise judges most surely), or imbalance (equal strata
  that would be as uneven, over strata: 1 is balanced)
value DOUBLE | the figure
low DOUBLE | lower end of its 95% interval, of noise alone
high DOUBLE | upper end
level* VARCHAR | low, medium, high or unknown
sentence* VARCHAR | what it shows and calls for, in words
""")
