"""Error codes of runs, stages, row filters and the Python API."""

from __future__ import annotations

from typing import Final

from medsift.error_codes.code import ErrorCode

CODES: Final[dict[str, ErrorCode]] = {}
