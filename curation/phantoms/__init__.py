"""Phantoms: procedural radiology-like data in which every defect is known."""

from __future__ import annotations

from curation.phantoms.noise_metrics import rank_noise
from curation.phantoms.pools import PoolShape
from curation.phantoms.scorecard import SCORECARD, scorecard
from curation.phantoms.write_dataset import PhantomSet, make_phantoms

__all__ = ["SCORECARD", "PhantomSet", "PoolShape", "make_phantoms", "rank_noise", "scorecard"]
