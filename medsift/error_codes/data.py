"""Error codes of sources, pictures, exports and phantoms."""

from __future__ import annotations

from typing import Final

from medsift.error_codes.code import ErrorCode

CODES: Final[dict[str, ErrorCode]] = {}
