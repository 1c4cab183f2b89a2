"""Declare the tables of fine-tunings: their settings, curves, drops and checkpoints."""

from __future__ import annotations

from typing import Final

from medsift.manifest.table import tables

TRAINING_TABLES: Final = tables("""
TABLE trainings REPLACED BY training_id | one line per fine-tuning on a selection
training_id* VARCHAR | training
selection VARCHAR | selection trained on
created_at TIMESTAMP | start, UTC
finished_at TIMESTAMP | end, UTC
status VARCHAR | done, stopped early or failed
base_model VARCHAR | model before training
adapter VARCHAR | folder of the trained adapter, or of the whole trained model
settings VARCHAR | training settings, JSON
fingerprint VARCHAR | digest of settings and selection
seed BIGINT | seed
samples BIGINT | samples seen, repeats counted
steps BIGINT | optimiser steps
result_step BIGINT | step whose weights are the result; the best where it stops early
loss DOUBLE | last mean loss
held_out_loss DOUBLE | loss of the result on the held-out split, where measured
seconds DOUBLE | wall time
benchmarks VARCHAR[] | benchmarks that the samples were checked against
contaminated BOOLEAN | whether training was allowed despite known or unchecked leaks; null where no
  benchmark was named
mixture VARCHAR | mixture of sources, strata or tags, JSON: what was asked for, and the samples and
  the share of the total weight that each value had; null without one

TABLE training_steps ORDER BY training_id, step REPLACED BY training_id | the curves of
  fine-tunings, one line per logged step
training_id* VARCHAR | training
step* BIGINT | optimiser step, from 1
epoch DOUBLE | passes over the selection so far
loss DOUBLE | mean loss per supervised token, nats
held_out_loss DOUBLE | the same on the held-out split, where it was measured
learning_rate DOUBLE | learning rate of the step
grad_norm DOUBLE | norm of the gradient before clipping
samples BIGINT | samples seen so far, repeats counted
tokens BIGINT | tokens seen so far, padding left out
supervised_tokens BIGINT | how many of them were learned from
seconds DOUBLE | wall time so far
samples_per_second DOUBLE | rate since the last line
tokens_per_second DOUBLE | rate since the last line
mfu DOUBLE | share of the device's peak arithmetic, null where that is unknown
peak_memory_mb DOUBLE | peak memory so far, of the device, or on a CPU of the process

TABLE training_drops ORDER BY training_id, row_id REPLACED BY training_id | selected samples that
  were neither trained on nor measured
training_id* VARCHAR | training
sample_id* VARCHAR | sample
row_id* VARCHAR | its row
reason* VARCHAR | reason code: too_long, zero_weight, leak, no_answer, …
value DOUBLE | measured value, for example tokens
threshold DOUBLE | limit that the value is compared with
detail VARCHAR | more about the reason, as text

TABLE checkpoints ORDER BY training_id, step REPLACED BY training_id | checkpoints that can be
  resumed or evaluated
training_id* VARCHAR | training
step* BIGINT | optimiser step
path* VARCHAR | folder or URL
loss DOUBLE | mean loss at that step
held_out_loss DOUBLE | loss on the held-out split, where it was measured
""")
