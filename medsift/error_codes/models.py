"""Error codes of models and encoders."""

from __future__ import annotations

from typing import Final

from medsift.error_codes.code import ErrorCode

CODES: Final[dict[str, ErrorCode]] = {}
