"""Selections of one run side by side: what they share, and what each is made of."""

from __future__ import annotations

from curation.compare.comparison import Comparison, compare, compare_selections
from curation.compare.table import PrintedComparison, comparison_table

__all__ = ["Comparison", "PrintedComparison", "compare", "compare_selections", "comparison_table"]
