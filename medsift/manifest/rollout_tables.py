"""Declare the tables of rollouts: sampled replies, and which questions they keep."""

from __future__ import annotations

from typing import Final

from medsift.manifest.table import tables

ROLLOUT_TABLES: Final = tables("""
TABLE rollouts ORDER BY rollouts, sample_id, blank, draw REPLACED BY rollouts | sampled replies of a
  model to the questions of a selection
rollouts* VARCHAR | name of the set of rollouts
sample_id* VARCHAR | sample asked about
row_id* VARCHAR | its row
draw* BIGINT | number of the reply, from 0
blank* BOOLEAN | whether the pictures were replaced by blank ones
model VARCHAR | model that replied
model_hash VARCHAR | identity of model, adapter and settings of generation
prompt VARCHAR | what was asked, with the options in the order of this draw
options VARCHAR[] | the options in the order of this draw
gold VARCHAR | right answer, a letter of these options or words
reply VARCHAR | the reply; null where there was none
error VARCHAR | why there was none
parsed VARCHAR | answer that was read from it
parse_status VARCHAR | parsed or unparsed
correct BOOLEAN | whether the answer is right
tokens BIGINT | tokens of the reply
cut BOOLEAN | whether the reply was cut at the limit; null where that is not known

TABLE rollout_questions ORDER BY rollouts, sample_id REPLACED BY rollouts | questions of a set of
  rollouts: how often they were answered rightly, and whether a policy is trained on them
rollouts* VARCHAR | name of the set of rollouts
sample_id* VARCHAR | sample asked about
row_id* VARCHAR | its row
modality VARCHAR | imaging technique
task_type VARCHAR | what is asked
chance DOUBLE | share of right answers by guessing: 1 / options, 1/2 of yes or no, else 0
drawn BIGINT | replies, those without an answer included; requests without a reply are left out
correct BIGINT | right replies
unparsed BIGINT | replies that no answer could be read from
cut BIGINT | replies that were cut at the limit
unanswered BIGINT | requests without a reply
blank_drawn BIGINT | replies with blank pictures
blank_correct BIGINT | right replies with blank pictures
usefulness DOUBLE | probability that the rewards of a group of replies differ
verdict VARCHAR | kept, too easy, too hard, suspect, quota or unanswered
third VARCHAR | third of difficulty among the kept of its modality and task type
stratum VARCHAR | modality, task type and third
""")
