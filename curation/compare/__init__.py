"""Compare selections of one run: what they share, and what each is made of."""

from __future__ import annotations

from curation.compare.comparison import compare, compare_selections
from curation.compare.table import Comparison, comparison_table

__all__ = ["Comparison", "compare", "compare_selections", "comparison_table"]
