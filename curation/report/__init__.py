"""The report: one self-contained HTML page about one run, made from its manifest."""

from __future__ import annotations

from curation.report.page import write_report

__all__ = ["write_report"]
