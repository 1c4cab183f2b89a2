"""Evaluation across modalities and task types, with error bars."""
