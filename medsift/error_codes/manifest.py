"""Error codes of manifests and SQL."""

from __future__ import annotations

from typing import Final

from medsift.error_codes.code import ErrorCode

CODES: Final[dict[str, ErrorCode]] = {
    "run_missing": ErrorCode(
        "The manifest holds no run.",
        "Make one with `medsift curate RECIPE`.",
    ),
}
