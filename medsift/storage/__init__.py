"""Read and write a run's files: atomic writes, Parquet parts, seals, locks, caches, locations."""
