"""Readers: one a file; a reader exists by being listed here."""
