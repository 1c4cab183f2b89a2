"""Declare the tables of evaluations and studies: replies, scores, metrics, trials."""

from __future__ import annotations

from typing import Final

from medsift.manifest.table import tables

EVALUATION_TABLES: Final = tables("""
TABLE evaluations REPLACED BY evaluation_id | one line per model and benchmark: what was asked, how,
  and which files
evaluation_id* VARCHAR | evaluation
model* VARCHAR | name of the model in tables
model_hash VARCHAR | digest of model, adapter and generation settings
training_id VARCHAR | training whose adapter replied; null for the base model
benchmark* VARCHAR | benchmark
files VARCHAR[] | published files with its questions
items BIGINT | items of the benchmark
images BIGINT | different pictures that they show, by bytes
content_hash VARCHAR | digest of items and pictures
variants VARCHAR[] | variants asked, the original included
asked BIGINT | predictions: items times variants, without those left out
left_out VARCHAR | number of variants that items cannot have, by reason, JSON
unanswered BIGINT | predictions without a reply: scored as wrong
protocol VARCHAR | scoring protocol
settings VARCHAR | prompts and generation, JSON
seed BIGINT | seed of the variants
contaminated BOOLEAN | whether training was allowed despite known or unchecked leaks
packages VARCHAR | package versions, JSON object
created_at TIMESTAMP | start, UTC
finished_at TIMESTAMP | end, UTC
seconds DOUBLE | wall time of asking
tokens BIGINT | tokens generated

TABLE predictions ORDER BY benchmark, item_id REPLACED BY evaluation_id | one line per model reply
evaluation_id* VARCHAR | evaluation
training_id VARCHAR | training whose adapter replied; null for the base model
benchmark* VARCHAR | benchmark
item_id* VARCHAR | item of the benchmark
variant VARCHAR | original, or the perturbation
image_id VARCHAR | picture of the question; intervals are clustered by it
patient_id VARCHAR | patient, where the benchmark names one; then the cluster
modality VARCHAR | modality of the item
body_part VARCHAR | organ or region asked about
task_type VARCHAR | task of the item
answer_type VARCHAR | closed, open or choice
language VARCHAR | language of the item
question VARCHAR | the item's question in this variant
options VARCHAR[] | its options, in the order of their letters
gold VARCHAR | right answer: a letter of the options, or words
images VARCHAR[] | references of its pictures
extra VARCHAR | further fields of the item, JSON object
reply VARCHAR | raw text of the model; null where it gave none
error VARCHAR | why there is no reply
probabilities DOUBLE[] | probabilities of the options, or of yes and no, where known
tokens BIGINT | tokens generated
protocol VARCHAR | scoring protocol of the columns that follow
parsed VARCHAR | answer read from the reply
parse_status VARCHAR | parsed or unparsed
score DOUBLE | 1 right, 0 wrong, or a share for open answers
fault VARCHAR | known fault of the published protocol that affected this reply
exact_match DOUBLE | open answers: whether the words are those of the right answer
token_precision DOUBLE | open answers: share of the reply's words that are right
token_recall DOUBLE | open answers: share of the right answer's words in the reply
token_f1 DOUBLE | open answers: harmonic mean of the two
bleu_1 DOUBLE | open answers: BLEU of single words
rouge_l DOUBLE | open answers: ROUGE-L
contains DOUBLE | open answers under llava-med: whether the right answer is in it
explanation VARCHAR | span that was read, how it is marked and by which rule, or why nothing was
  read, JSON object
judge DOUBLE | verdict of a judging model, 0 to 1; never part of score
judge_reply VARCHAR | what the judging model said
prompt_hash VARCHAR | digest of the prompt
model_hash VARCHAR | digest of model, adapter and generation settings
settings VARCHAR | generation settings, JSON

TABLE reliability ORDER BY benchmark, bin REPLACED BY evaluation_id | stated confidence against the
  share of right answers, by bins of equal size
evaluation_id* VARCHAR | evaluation
benchmark* VARCHAR | benchmark
bin* INTEGER | bin, from 0
confidence_low DOUBLE | lowest confidence in the bin
confidence_high DOUBLE | highest confidence in the bin
confidence DOUBLE | mean confidence
accuracy DOUBLE | share of right answers
low DOUBLE | lower end of its 95% interval, clustered by image
high DOUBLE | upper end
n BIGINT | replies in the bin

TABLE metrics ORDER BY benchmark, metric REPLACED BY evaluation_id | scores with their intervals
evaluation_id* VARCHAR | evaluation
benchmark* VARCHAR | benchmark
variant VARCHAR | original, or the perturbation
facet VARCHAR | column that the scores are broken down by, or all
facet_value VARCHAR | value of the facet
metric* VARCHAR | metric name
value DOUBLE | score; null when there is nothing to score
low DOUBLE | lower end of the 95% interval, clustered by image
high DOUBLE | upper end
n BIGINT | replies scored
clusters BIGINT | images that they are about
unparsed_rate DOUBLE | share of replies that could not be read
protocol VARCHAR | scoring protocol

TABLE studies REPLACED BY study_id | one line per study: whether a small set is enough, and how that
  was tested
study_id* VARCHAR | study
name* VARCHAR | name of its recipe
created_at TIMESTAMP | start, UTC
finished_at TIMESTAMP | end, UTC
status VARCHAR | done, or incomplete where trials failed
trials BIGINT | models trained and evaluated, failed ones included
failed BIGINT | trials without a result
seeds BIGINT[] | seeds of training and of random selections
same VARCHAR | what all trainings have in common: steps or epochs
margin DOUBLE | difference that still counts as no worse, fixed before the trials
benchmarks VARCHAR[] | benchmarks of the evaluations
protocol VARCHAR | scoring protocol
contaminated BOOLEAN | whether training was allowed despite known or unchecked leaks; null where no
  benchmark was named
recipe VARCHAR | the recipe, JSON
packages VARCHAR | package versions, JSON object

TABLE study_trials ORDER BY arm, samples, seed REPLACED BY study_id | one line per trial: a model
  trained on one selection with one seed, and evaluated
study_id* VARCHAR | study
arm* VARCHAR | way to select; full is everything, untrained the model before training
budget* VARCHAR | budget of the selection
samples BIGINT | samples of the selection
seed BIGINT | seed of training and of a random selection
status* VARCHAR | done or failed
error VARCHAR | why it failed
selection VARCHAR | selection trained on
training_id VARCHAR | its training
evaluation_id VARCHAR | its evaluation

TABLE study_results ORDER BY benchmark, arm, samples REPLACED BY study_id | scores of a study over
  all seeds, compared with full data and baselines
study_id* VARCHAR | study
arm* VARCHAR | way to select
budget* VARCHAR | its budget
samples BIGINT | samples of the selections
seeds BIGINT | number of trials
benchmark* VARCHAR | benchmark
variant VARCHAR | original, or the perturbation
facet VARCHAR | column that the scores are broken down by, or all
facet_value VARCHAR | value of the facet
metric* VARCHAR | accuracy, or the drop that a variant makes
value DOUBLE | mean over seeds and items
low DOUBLE | lower end of the 95% interval, over images and seeds; not in comparisons
high DOUBLE | upper end
n BIGINT | items scored, in one trial
clusters BIGINT | images that they are about
unparsed_rate DOUBLE | share of replies that could not be read
versus VARCHAR | arm that it is compared with; null where the line is a score only
versus_value DOUBLE | mean of that arm
difference DOUBLE | value minus versus_value, item by item
diff_low DOUBLE | lower end of the 95% interval, over images and seeds of both
diff_high DOUBLE | upper end
test VARCHAR | non-inferiority by the margin, superiority, or null where none is made
margin DOUBLE | margin of the test
verdict VARCHAR | non-inferior, inferior, superior, worse or inconclusive
detectable DOUBLE | smallest difference that the interval detects 8 times in 10
detectable_by_items DOUBLE | the same with enough seeds
""")
