"""Files of a run: atomic writes, Parquet parts, seals, locks, caches and remote locations."""
