"""Settings of which findings of an audit are too many."""

from __future__ import annotations

from pydantic import Field

from medsift.config import Config


class AuditConfig(Config):
    """Settings of how many findings `medsift audit` accepts; null accepts any number.

    With more, the command ends with exit status 4. Kept rows are counted.
    """

    identifiers_left: int | None = Field(None, ge=0)
    """Identifiers that were found, in texts or pictures, and only flagged."""
    pictures_for_review: int | None = Field(None, ge=0)
    """Pictures of which more was painted than `privacy.review_above`."""
    rows_without_licence: int | None = Field(None, ge=0)
    """Rows without a licence, or with one of unknown terms."""
    licence_conflicts: int | None = Field(None, ge=0)
    """Pairs of licences that exclude each other."""
    laterality_conflicts: int | None = Field(None, ge=0)
    """Rows that say left or right against their picture."""
    patients_across_splits: int | None = Field(0, ge=0)
    """Patients with rows in more than one split."""
    predicted_tags: int | None = Field(None, ge=0)
    """Tags that were predicted and not stated."""
    near_benchmark: int | None = Field(None, ge=0)
    """Rows near a benchmark on which nobody has decided."""
