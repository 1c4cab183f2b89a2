"""Withdraw rows from a run for good: from tables, vectors, caches, selections and the manifest."""
