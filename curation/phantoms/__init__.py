"""Phantoms: procedural radiology-like data in which every defect is known."""

from __future__ import annotations

from curation.phantoms.ranking import rank_noise
from curation.phantoms.scorecard import SCORECARD, scorecard
from curation.phantoms.writing import PhantomSet, make_phantoms

__all__ = ["SCORECARD", "PhantomSet", "make_phantoms", "rank_noise", "scorecard"]
