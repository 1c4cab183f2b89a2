"""Shared parts of every HTML page: chart style, number format, thumbnails, the single file."""
