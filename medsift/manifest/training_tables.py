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
parent VARCHAR | training whose result this one started from; null where it started from a base
  model
memory VARCHAR | memory by phase, JSON, in MiB: as estimated before the start, and as measured; null
  for trainings of earlier versions

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

TABLE policy_steps ORDER BY training_id, step REPLACED BY training_id | what the replies of each
  step of policy optimisation earned; means and shares are over the replies of the step
training_id* VARCHAR | training
step* BIGINT | step, from 1
reward DOUBLE | mean reward
correct DOUBLE | share of right replies
format DOUBLE | share of complete replies that an answer could be read from
overlong DOUBLE | mean of what long replies lost, 0 or below
parsed DOUBLE | share of replies that an answer could be read from
cut DOUBLE | share of replies that were cut at the limit of tokens
reply_tokens DOUBLE | mean tokens of a reply, the end of the turn included
contrast DOUBLE | share of prompts with replies of different rewards
refills BIGINT | other prompts that were tried in place of prompts without contrast
refused BIGINT | prompts that the model did not take
clipped DOUBLE | share of the tokens, by weight, where clipping changed the loss
blank_prompts BIGINT | prompts that were also asked with blank pictures
blank_correct DOUBLE | share of right replies to these with blank pictures; null without any
shown_correct DOUBLE | share of right replies to the same prompts with their pictures
generate_seconds DOUBLE | wall time of drawing replies
learn_seconds DOUBLE | wall time of learning from them
generate_memory_mb DOUBLE | peak memory after drawing
learn_memory_mb DOUBLE | peak memory after learning

TABLE preference_steps ORDER BY training_id, step REPLACED BY training_id | how far each step of
  preference optimisation set right replies apart from wrong ones; means are over its pairs
training_id* VARCHAR | training
step* BIGINT | step, from 1
pairs BIGINT | pairs of replies
margin DOUBLE | chosen minus rejected
accuracy DOUBLE | share of pairs with a margin above 0
chosen DOUBLE | log-probability of the right reply, minus that under the model before training
rejected DOUBLE | the same of the wrong reply

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
