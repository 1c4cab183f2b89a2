"""Error codes of duplicates, neighbours, splits and benchmark leaks."""

from __future__ import annotations

from medsift.error_codes.code import read_codes

CODES = read_codes("""
vectors_missing: A picture or text has no vector.
  Do: Encode every picture and text first.
benchmark_index_empty: The benchmark's run has no sample to index.
  Do: Look at the funnel of that run.
index_folder_in_the_way: The folder for an index has other content.
  Do: Name a new folder.
benchmark_index_unfit: The index was made with another encoder or of another run.
  Do: Make the index again with `medsift index` from a run with the recipe's encoder.
benchmark_index_unreadable: There is no index, or it is damaged or of another version.
  Do: Make it again with `medsift index`.
samples_inconsistent: Rows repeat an id, or name pictures that are not given.
  Do: Give every row its own id, and the facts of every picture.
priority_invalid: dedup.priority is no SQL expression over one row's columns.
  Do: Correct the expression; it may use only the columns of samples.
vectors_invalid: Vectors are not finite, not of unit norm, or of another shape.
  Do: Divide each vector by its norm; pass float32 of shape (n, d).
search_setting_invalid: A setting of the neighbour search is out of range.
  Do: Use a value in the range that the message gives.
too_many_pairs: More pairs are similar than the limit allows.
  Do: Raise the threshold or the limit.
""")
