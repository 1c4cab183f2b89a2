"""Mix sources: what of a pool may be picked at all, and the share of the budget of each source."""

from __future__ import annotations

import difflib
import logging
import math
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field, model_validator

from curation.pool import Pool
from curation.selection.quotas import QuotasConfig
from medsift.arrays import Doubles, Flags, Indices
from medsift.config import Config
from medsift.errors import UsageError
from medsift.licence_classes import LicenceUse, licence_use
from medsift.records import digest

logger = logging.getLogger(__name__)

MARGIN: Final = 1e-6
"""How far the sum of shares may be from 1."""


class MixConfig(Config):
    """Settings of a mix of sources, of which a budget in samples is made, each sample once.

    What is left out is no candidate: a budget in per cent is of what is left.
    """

    shares: dict[str, float] = Field(default_factory=dict)
    """Share of the budget of each source; they sum to 1, and sources not named are left out. What
    a source lacks goes to the others, with a warning."""
    temperature: float | None = Field(None, gt=0.0)
    """Instead of `shares`: each source by the (1 / temperature)-th power of its candidates."""
    licences: tuple[LicenceUse, ...] = ()
    """Classes of licences that may be picked; all when not given. A sample that states no licence
    is of class `unknown`."""
    per_article: int | None = Field(None, ge=1)
    """Most samples of one article (equal `study_id` in one source), the best by quality; null for
    any number."""

    @model_validator(mode="after")
    def _shares_add_up(self) -> MixConfig:
        for source, share in self.shares.items():
            if not 0.0 < share <= 1.0:
                raise ValueError(f"the share of {source!r} is {share}; give more than 0, at most 1")
        total = math.fsum(self.shares.values())
        if self.shares and abs(total - 1.0) > MARGIN:
            raise ValueError(f"shares sum to {total:g}; make them sum to 1")
        if self.shares and self.temperature is not None:
            raise ValueError("give either shares or a temperature")
        return self

    @property
    def quotas(self) -> QuotasConfig | None:
        """The division of the budget among sources; None where the mix names none."""
        if self.shares:
            shares = {"kind": "weights", "weights": self.shares, "min_per_stratum": 0}
            return QuotasConfig.model_validate({"by": "source", **shares})
        if self.temperature is not None:
            return QuotasConfig(by="source", kind="temperature", temperature=self.temperature)
        return None

    def candidates(self, pool: Pool, quality: Doubles, seed: int, name: str) -> Indices:
        """Return the rows of the pool that may be picked, ascending.

        Args:
            pool: The pool (n).
            quality: Quality (n,) of each sample, which decides within an article.
            seed: Decides among equally good ones.
            name: The selection, for messages.

        Raises:
            UsageError: a source that the pool lacks, or no row at all.
        """
        sources = pool.samples["source"]
        self._check_sources(sorted(pc.unique(sources).to_pylist()), name)
        wanted = np.ones(len(pool), bool)
        if self.shares:
            wanted &= np.asarray(pc.is_in(sources, pa.array(list(self.shares))))
        licensed = wanted & self._licensed(pool, wanted, name)
        kept = licensed & self._within_article(pool, quality, seed, licensed)
        if cut := int(licensed.sum() - kept.sum()):
            logger.warning(
                "selection %s: %s samples are beyond the %s of their article and are left out",
                *(name, f"{cut:,}", self.per_article),
            )
        if not kept.any():
            message = f"the mix of selection {name!r} leaves nothing of {len(pool)} candidates; "
            message += "allow another class under mix.licences, or other sources"
            raise UsageError(message, code="mix_unfit", selection=name)
        return np.flatnonzero(kept).astype(np.int64)

    def _check_sources(self, known: list[str], name: str) -> None:
        for source in self.shares:
            if source not in known:
                near = difflib.get_close_matches(source, known, n=1)
                hint = f"did you mean {near[0]!r}? " if near else ""
                message = f"mix.shares of selection {name!r} names source {source!r}, of which the "
                message += f"pool has nothing; {hint}it has {', '.join(known) or 'none'}"
                raise UsageError(message, code="mix_unfit", selection=name, source=source)

    def _licensed(self, pool: Pool, wanted: Flags, name: str) -> Flags:
        if not self.licences:
            return np.ones(len(pool), bool)
        encoded = pool.samples["license"].fill_null("").combine_chunks().dictionary_encode()
        if isinstance(encoded, pa.ChunkedArray):
            encoded = encoded.unify_dictionaries().combine_chunks()
        classes = [licence_use(licence) for licence in encoded.dictionary.to_pylist()]
        allowed = np.array([one in self.licences for one in classes], bool)
        code = np.asarray(encoded.indices.to_numpy(), np.int64)
        out = wanted & ~allowed[code]
        if out.any():
            found = {classes[number] for number in np.unique(code[out]).tolist()}
            logger.warning(
                "selection %s: %s of %s samples have a licence of class %s and are left out",
                *(name, f"{int(out.sum()):,}", f"{int(wanted.sum()):,}", ", ".join(sorted(found))),
            )
        return np.asarray(allowed[code], bool)

    def _within_article(self, pool: Pool, quality: Doubles, seed: int, allowed: Flags) -> Flags:
        """Mark all but the samples that are beyond the limit of their article."""
        kept = np.ones(len(pool), bool)
        if self.per_article is None:
            return kept
        named = pc.fill_null(pc.not_equal(pool.samples["study_id"], ""), False).to_numpy()
        rows = np.flatnonzero(allowed & named)
        keys = [pool.samples[name].take(pa.array(rows)) for name in ("source", "study_id")]
        article = np.unique(
            np.array([digest(*key) for key in zip(*(k.to_pylist() for k in keys), strict=True)]),
            return_inverse=True,
        )[1]
        # A hash and no generator: another sample moves no one's place.
        ids = pool.ids.take(pa.array(rows)).to_pylist()
        drawn = np.array([digest("article", str(seed), one) for one in ids])
        order = np.lexsort((drawn, -quality[rows], article))
        ordered = article[order]
        place = np.arange(len(order)) - np.searchsorted(ordered, ordered)
        kept[rows[order[place >= self.per_article]]] = False
        return kept
