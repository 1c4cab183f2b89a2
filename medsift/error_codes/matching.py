"""Error codes of duplicates, neighbours, splits and benchmark leaks."""

from __future__ import annotations

from typing import Final

from medsift.error_codes.code import ErrorCode

CODES: Final[dict[str, ErrorCode]] = {}
