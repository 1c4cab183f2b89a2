"""Encoders: one a file; an encoder exists by being listed here."""
