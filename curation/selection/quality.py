"""Read the quality of each candidate from the scores of the run."""

from __future__ import annotations

import difflib
import typing
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from curation.scoring import AnyScorer
from curation.scoring.config import QUALITY
from medsift.arrays import Doubles
from medsift.errors import UsageError
from medsift.storage.parts import parts, read_part, undamaged

# The median of the percentiles of a stratum: an unknown quality is neither rewarded nor punished.
UNKNOWN_QUALITY: Final = 0.5


@dataclass(frozen=True, slots=True)
class Scores:
    """The tables `scores` and `skills` of a run: folders of Parquet parts, None without any."""

    folder: Path | None
    skills: Path | None = None

    @property
    def parts(self) -> list[Path]:
        """The parts of the folder."""
        return [] if self.folder is None else parts(self.folder)

    def scorers(self) -> list[str]:
        """Return the names of the scorers, sorted."""
        names = [read_part(part, ["scorer"])["scorer"] for part in self.parts]
        return sorted({name for column in names for name in pc.unique(column).to_pylist()})

    def of(self, scorer: str) -> pa.Table:
        """Return the columns sample_id and percentile of one scorer."""
        with undamaged(self.folder or Path()):
            return pq.read_table(
                self.parts,
                columns=["sample_id", "percentile"],
                filters=[("scorer", "==", scorer)],
                page_checksum_verification=True,
            )


def read_quality(sample_ids: list[str], scores: Scores, scorer: str | None) -> Doubles:
    """Return the quality (n,) in [0, 1]: each sample's percentile within its stratum by `scorer`.

    Of a scorer that gives high values to bad samples it is 1 - percentile. When no scorer is named
    and there is no combined one, quality is 1 for all.

    Raises:
        UsageError: a scorer that the run does not have.
    """
    name, known = scorer or QUALITY, scores.scorers()
    if name not in known:
        if scorer is None:
            return np.ones(len(sample_ids))
        close = difflib.get_close_matches(name, known, n=1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        available = f"this run has {', '.join(known)}" if known else "this run has no scores"
        message = (
            f"quality is scorer {name!r}, which is not there{hint}; {available}: choose another, "
            "or add it to `scores` in the recipe"
        )
        raise UsageError(message, code="scorer_unknown", scorer=name, known=known)
    table = scores.of(name)
    row = pc.index_in(pa.array(sample_ids, pa.string()), table["sample_id"].combine_chunks())
    percentile = table["percentile"].combine_chunks().take(row).cast(pa.float64())
    values = pc.fill_null(percentile, np.nan).to_numpy(zero_copy_only=False)
    quality: Doubles = np.where(np.isnan(values), UNKNOWN_QUALITY, values)
    return quality if is_higher_better(name) else 1.0 - quality


def is_higher_better(scorer: str) -> bool:
    """Return whether high values of a scorer mean good samples, as they do of `quality`."""
    union, _ = typing.get_args(AnyScorer)
    better = {
        kind: scorer_config.higher_is_better
        for scorer_config in typing.get_args(union)
        for kind in typing.get_args(scorer_config.model_fields["kind"].annotation)
    }
    return bool(better.get(scorer, True))
