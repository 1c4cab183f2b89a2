"""The study page: one self-contained HTML file about whether a small set is enough."""

from __future__ import annotations

from evaluation.report.study.page import write_study_page

__all__ = ["write_study_page"]
