"""Curation: from messy sources to a manifest in which every row has a fate."""
