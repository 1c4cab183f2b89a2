"""Declare the tables of findings: scores, duplicates, contradictions, leaks and measures."""

from __future__ import annotations

from typing import Final

from medsift.manifest.table import tables

FINDING_TABLES: Final = tables("""
TABLE scores ORDER BY scorer, sample_id REPLACED BY scorer | one line per sample and scorer
sample_id* VARCHAR | sample scored
scorer* VARCHAR | scorer name
value DOUBLE | score
percentile DOUBLE | rank within its stratum, 0 to 1
stratum VARCHAR | stratum it was ranked in

TABLE combinations ORDER BY scorer, part REPLACED BY scorer | the parts of a combined score
scorer* VARCHAR | combined scorer
part* VARCHAR | scorer that is part of it
weight* DOUBLE | its weight; negative where a high score is bad

TABLE correlations ORDER BY scorer, other REPLACED BY scorer | rank correlation of each score with
  the others and with answer length
scorer* VARCHAR | scorer
other* VARCHAR | another scorer, or answer_length (characters)
rho DOUBLE | Spearman's correlation, null where one of them is constant
n BIGINT | samples that have both

TABLE skills ORDER BY sample_id | the neurons of a model that each sample's answer uses, and the
  bucket of samples whose answers use the same ones
sample_id* VARCHAR | sample
skill VARCHAR | bucket, numbered from the largest; null where the model could not read the sample
neurons BIGINT[] | neurons most active against the pool's mean, the most active first

TABLE clusters ORDER BY kind, group_id, member | duplicate groups, one line per member
kind* VARCHAR | exact, image_copy, sample, text or semantic
group_id* VARCHAR | group
member* VARCHAR | row_id; image_id for image_copy
survivor VARCHAR | member that represents the group
similarity DOUBLE | similarity to the survivor
sample_id VARCHAR | the member's sample; null for image_copy

TABLE conflicts_found ORDER BY group_id, sample_id | same image group and question, answers that
  contradict each other
group_id* VARCHAR | conflict
sample_id* VARCHAR | a sample of the conflict
row_id VARCHAR | its row
question VARCHAR | the question
answer VARCHAR | its answer

TABLE leaks_found ORDER BY benchmark, sample_id | samples that share content with held-out data
row_id VARCHAR | row of the pool
sample_id* VARCHAR | sample of the pool
benchmark* VARCHAR | benchmark, or split:NAME for a split of the pool
item_id VARCHAR | held-out item
kind VARCHAR | same_image, image_copy, near_image, same_text, near_text or long_run
similarity DOUBLE | similarity to the item
verdict VARCHAR | leak (between splits); same image and question, same image, same text, or near,
  unresolved

TABLE reviews ORDER BY benchmark, kind | pairs of pool and benchmark that are near and unresolved,
  for a person to judge: one line per pair of pictures, or per text
benchmark* VARCHAR | benchmark
kind* VARCHAR | near_image, or long_run for a text
row_id* VARCHAR | row of the pool; the first of several that show the picture
image_id VARCHAR | its picture; null for a text
samples BIGINT | undecided samples of the pool that show it
item_id* VARCHAR | item of the benchmark; the first of several that show its picture
item_image_id VARCHAR | its picture; null for a text
items BIGINT | items that show it
item_question VARCHAR | its question, where the recipe names the benchmark's run
item_ref VARCHAR | file of its picture, where the recipe names the benchmark's run
item_miniature BLOB | its picture, 64 × 64 grey bytes; null where the index has none
similarity* DOUBLE | similarity to the item, as in leaks
cosine DOUBLE | cosine similarity of the two pictures' vectors
correlation DOUBLE | correlation of their aligned miniatures; null without any
verdict* VARCHAR | near, unresolved

TABLE sweep ORDER BY modality, threshold | how much each similarity threshold would drop
modality VARCHAR | modality, or all
threshold* DOUBLE | cosine similarity
images BIGINT | images with an earlier neighbour at least this similar
samples BIGINT | samples that show them
confirmed BIGINT | how many of the images are copies confirmed by pixels

TABLE measures ORDER BY stage, name, threshold | what a stage measured about itself: counts, and the
  recall of its searches
stage* VARCHAR | stage
name* VARCHAR | what was measured, for example image_recall or unread texts
threshold DOUBLE | cosine it was measured at, where there is one
value DOUBLE | the figure
note VARCHAR | how the search was made, for a recall: exact, or ivf (by cells)
""")
