"""Declare the tables of selections: strata, settings, curves, samples and exports."""

from __future__ import annotations

from typing import Final

from medsift.manifest.table import tables

SELECTION_TABLES: Final = tables("""
TABLE strata ORDER BY stratum | candidates of each stratum: valid rows that reached selection
stratum VARCHAR | stratum
pool BIGINT | candidates in it

TABLE selection_settings ORDER BY ordinal REPLACED BY selection | one line per selection: how it was
  made and what it covers
selection* VARCHAR | selection name
ordinal INTEGER | position in the recipe, from 1; 0 is `kept`, every sample; below 0 for those of a
  study, so that they are never the newest
created_at TIMESTAMP | when it was made, UTC; later ones of a run are newer
method VARCHAR | method
budget VARCHAR | budget as asked for
settings VARCHAR | all settings, JSON
seed BIGINT | seed
fingerprint VARCHAR | digest of settings, pool and scores
pool BIGINT | candidates
selected BIGINT | samples selected
tokens BIGINT | their estimated tokens
objective DOUBLE | value of the objective, where the method has one
coverage DOUBLE | share of the pool's neighbour graph that is covered
probe_id VARCHAR | probe that decided the size, where the budget is auto
explanation VARCHAR | why the selection has its size, where a probe decided it

TABLE curves ORDER BY selection, size REPLACED BY selection | coverage against size while a
  selection grows
selection* VARCHAR | selection name
size* BIGINT | samples selected so far
tokens BIGINT | their estimated tokens
objective DOUBLE | value of the objective so far
coverage DOUBLE | share of the pool's neighbour graph that is covered

TABLE selections ORDER BY selection, rank REPLACED BY selection | ordered, weighted subsets
selection* VARCHAR | selection name
created_at TIMESTAMP | when it was made, UTC
rank* BIGINT | position in the order, from 0
sample_id* VARCHAR | sample
row_id* VARCHAR | its row
weight DOUBLE | training weight
gain DOUBLE | marginal gain of the objective
stratum VARCHAR | its stratum, by the recipe's tags
place BIGINT | number of the sample in this file; joins with samples.place

TABLE exports REPLACED BY path | files exported from a selection
selection* VARCHAR | selection exported
format* VARCHAR | export format
path* VARCHAR | where it was written
rows* BIGINT | samples written
created_at TIMESTAMP | when, UTC
""")
