"""The evaluation page: one self-contained HTML file about models on benchmarks."""

from __future__ import annotations

from evaluation.report.page import write_evaluation_page

__all__ = ["write_evaluation_page"]
