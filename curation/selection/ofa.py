"""Pick what a selector trained once on clusters is least sure of, rare clusters first: OFA."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import Field, model_validator

from curation.selection.method import (
    Candidates,
    MethodConfig,
    Picker,
    SelectionContext,
    pick_in_order,
)
from curation.selection.ofa_selector import OfaSelector, train_selector
from medsift.errors import UsageError
from medsift.storage.local_paths import AnyPath, path_of
from medsift.storage.mirror import exists, fetch, is_mirrored, location


class OfaConfig(MethodConfig):
    """Settings of `ofa`: a classifier of clusters, then the greatest (1 − margin) · rarity first.

    After Once-For-All (Dong et al. 2026, arXiv 2605.26761): samples are clustered in a frozen
    space of pictures and texts, a small classifier learns the clusters as pseudo-labels, and the
    samples that it is least sure of are picked, in this pool or, with the file of the trained
    classifier, in any other. The margin is p₁ − p₂ of the two most probable clusters; the rarity is
    −log of the probable cluster's share of the pool that it was trained on.

    What we had of the paper does not say how many clusters there are, what the classifier and its
    loss look like, or how uncertainty and rarity are joined. Chosen here: √n clusters by spherical
    k-means, a linear softmax with class-balanced weights (`train_selector`), and the product above.
    `gain` is that score. Quality plays no part.
    """

    kind: Literal["ofa"] = "ofa"
    clusters: int | None = Field(default=None, ge=1)
    """Clusters that are learned; the square root of the pool's size when not given."""
    selector: AnyPath | None = None
    """File of a trained selector, as `medsift selector` writes it, or its URL; trained on the pool
    itself when not given."""
    selector_sha256: str | None = None
    """SHA-256 of that file, which is filled in: another file under this name is refused."""

    @model_validator(mode="before")
    @classmethod
    def _digest_the_file(cls, settings: Any) -> Any:
        if not isinstance(settings, Mapping) or settings.get("selector") is None:
            return settings
        if settings.get("clusters") is not None:
            raise ValueError("the selector's file says its clusters; give `clusters` without it")
        # Stored settings have the digest, and stay readable when the file is gone.
        if not isinstance(settings["selector"], str | Path):
            return settings
        if settings.get("selector_sha256") is None:
            path = path_of(settings["selector"])
            if not _is_file(path):
                message = f"there is no file {location(path)}; make it by `medsift selector`"
                raise ValueError(message)
            return {**settings, "selector_sha256": _sha256(path)}
        return settings

    @model_validator(mode="after")
    def _digest_of_a_file(self) -> OfaConfig:
        if self.selector is None and self.selector_sha256 is not None:
            raise ValueError("selector_sha256 is of the file `selector`, which is not given")
        return self

    def depends_on_seed(self, samples: int) -> bool:
        """Return whether the selector is trained here, which begins at random centroids."""
        return self.selector is None

    def picker(self, context: SelectionContext) -> Picker:
        """Train or read the selector, and order the pool once."""
        selector = self._selector(context)
        score = selector.score(context.candidates.pool.vectors)
        return pick_in_order(np.argsort(-score, kind="stable"), score, context.groups)

    def _selector(self, context: SelectionContext) -> OfaSelector:
        if self.selector is None:
            return train_on_candidates(context.candidates, self.clusters, context.seed)
        if not _is_file(self.selector) or _sha256(self.selector) != self.selector_sha256:
            message = (
                f"{self.selector} is no longer the selector that these settings were made for; "
                "restore it, or name the file without selector_sha256"
            )
            raise UsageError(message, code="selector_invalid", path=str(self.selector))
        return OfaSelector.load(fetch(self.selector))


def train_on_candidates(candidates: Candidates, clusters: int | None, seed: int) -> OfaSelector:
    """Train a selector on a pool, with the weights of its graph.

    Args:
        candidates: The pool.
        clusters: Clusters to learn; None is about the square root of the pool's size.
        seed: Of the first centroids.

    Raises:
        UsageError: fewer than two samples, or more clusters than samples.
    """
    n = len(candidates)
    count = max(2, round(n**0.5)) if clusters is None else clusters
    device = candidates.neighbors.device
    return train_selector(candidates.pool.vectors, candidates.config, count, seed, device)


def _is_file(path: Path) -> bool:
    return exists(path) if is_mirrored(path) else path.is_file()


def _sha256(path: Path) -> str:
    return hashlib.sha256(fetch(path).read_bytes()).hexdigest()
