"""Declare the tables of constructions: what a teacher was asked, and the traces that were kept."""

from __future__ import annotations

from typing import Final

from medsift.manifest.table import tables

CONSTRUCT_TABLES: Final = tables("""
TABLE constructions REPLACED BY construct_id | what a teacher was asked about the samples of a
  selection; one line for each construction
construct_id* VARCHAR | construction: its name, and a digest of its settings and samples
created_at TIMESTAMP | when it was made, UTC
selection VARCHAR | selection asked about
settings VARCHAR | all settings, JSON
teacher VARCHAR | model of the teacher
judge VARCHAR | model of the judge; null without one
samples BIGINT | samples asked about
kept BIGINT | samples with a trace, or with a judgement
dropped BIGINT | samples without one, or beyond the share of text-solvable ones
failed BIGINT | samples that the endpoint gave no reply to, or refused
calls BIGINT | replies of the teacher, also those of earlier starts
prompt_tokens BIGINT | tokens of its prompts, as the endpoint counts them
tokens BIGINT | tokens of its replies, as the endpoint counts them
cost DOUBLE | their cost by the recipe's prices; null without prices
path VARCHAR | file of the new samples
seconds DOUBLE | time the last start took

TABLE attempts ORDER BY construct_id, sample_id, kind, attempt REPLACED BY construct_id | replies of
  a teacher, each with what became of it
construct_id* VARCHAR | construction
sample_id* VARCHAR | sample asked about
kind* VARCHAR | plain, reflective, label_told, rewrite, caption_to_qa or quality; caption_read for
  a question put to a caption, and blind for an attempt without the picture
attempt* INTEGER | number of the attempt of its kind, from 0
reply_id* VARCHAR | digest of sample, prompt, model, sampling and attempt: where the reply is kept
prompt_hash VARCHAR | digest of the prompt
model VARCHAR | model
sampling VARCHAR | what decides a reply besides, JSON
text VARCHAR | content of the reply; null without a reply
reasoning VARCHAR | its reasoning
answer VARCHAR | its answer
form VARCHAR | how they were separated: field, tag, inline or none
finish_reason VARCHAR | why it ended, as the endpoint says; length for one that was cut
prompt_tokens BIGINT | tokens of the prompt, as the endpoint counts them
tokens BIGINT | tokens of the reply, as the endpoint counts them
reasoning_tokens BIGINT | estimated tokens of the reasoning
latency_s DOUBLE | seconds until the reply
cost DOUBLE | cost by the recipe's prices
verdict VARCHAR | right, wrong or undecided; the last is never accepted
verdict_by VARCHAR | rung that decided: choice, yes_no, exact, quantity, words, judge, kept (the
  fact of a rewritten answer), caption (a question's answer), scale (five grades) or none
faults VARCHAR[] | why it is refused although its answer may be right
accepted BOOLEAN | whether its answer is right and it has no fault
error VARCHAR | why there is no reply

TABLE traces ORDER BY construct_id, derived_from, number REPLACED BY construct_id | one line for
  each sample that was asked about: its trace, or why it has none; a caption has one for each
  question that was made of it
construct_id* VARCHAR | construction
derived_from* VARCHAR | sample asked about
row_id VARCHAR | its row
sample_id VARCHAR | new sample with the reasoning; null without one
action* VARCHAR | kept, dropped or failed
reason VARCHAR | why there is no trace; null for a kept one
kind VARCHAR | plain, reflective, corrected, label_told, rewrite or caption_to_qa
attempt INTEGER | place of the chosen attempt among all of the sample, from 0
reasoning VARCHAR | the reasoning; null for kinds without one
tokens BIGINT | its estimated tokens; those of the answer where there is none
verdict_by VARCHAR | rung that decided that its answer is right
text_solvable BOOLEAN | whether half of the attempts without the picture are right; null if
  not asked
number INTEGER | number of a question among those of its caption, from 0; null for other kinds
question VARCHAR | question made of a caption, with its options; null where the sample's own stays
answer VARCHAR | new answer; null where the sample's own stays

TABLE judgements ORDER BY construct_id, sample_id REPLACED BY construct_id | grades that a
  judge gave a sample, each the mean of its readings, from 1 (poor) to 5 (good)
construct_id* VARCHAR | construction
sample_id* VARCHAR | sample
row_id VARCHAR | its row
readings INTEGER | replies with all grades
image_quality DOUBLE | whether the picture is sharp, complete and readable; null without one
relevance DOUBLE | whether question and answer are about what the picture shows; null without one
correctness DOUBLE | whether the answer is right
completeness DOUBLE | whether the answer says all that was asked for
clarity DOUBLE | whether question and answer are clear
judged DOUBLE | mean of the grades; selections read it and each grade as scores
safe BOOLEAN | whether every reading finds it free of harmful advice and of patients' names
reason VARCHAR | why there is no grade; null for a judged sample

TABLE judge_agreement ORDER BY construct_id, dimension, rule REPLACED BY construct_id | how far a
  judge's grades agree with MedSift's own scores: Cohen's kappa over samples that both call good
construct_id* VARCHAR | construction
dimension* VARCHAR | what the judge graded
rule* VARCHAR | scorer that it is compared with
samples BIGINT | samples that have both
images BIGINT | distinct pictures of them; the interval draws these again
good DOUBLE | share that the judge calls good (4 or more); the rule calls as many good, the best
agreement DOUBLE | share of samples on which they agree
kappa DOUBLE | Cohen's kappa; null where one of them calls all the same
kappa_low DOUBLE | lower end of its 95% interval
kappa_high DOUBLE | upper end
""")
