"""Quality of each candidate, from the scores of the run."""

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

from curation.scoring import QUALITY, AnyScorer
from medsift.arrays import Doubles
from medsift.errors import UsageError
from medsift.storage.parts import parts, read_part, undamaged

MIDDLE: Final = 0.5
"""Quality of a sample that its scorer gave no value: the median of the percentiles of a stratum."""


@dataclass(frozen=True, slots=True)
class Scores:
    """The table `scores` of a run: a folder of Parquet parts, or None where nothing was scored."""

    folder: Path | None

    @property
    def parts(self) -> list[Path]:
        """The parts of the folder."""
        return [] if self.folder is None else parts(self.folder)

    def scorers(self) -> list[str]:
        """Names of the scorers, sorted."""
        names = [read_part(part, ["scorer"])["scorer"] for part in self.parts]
        return sorted({name for column in names for name in pc.unique(column).to_pylist()})

    def of(self, scorer: str) -> pa.Table:
        """Columns sample_id and percentile of one scorer."""
        chosen = [("scorer", "==", scorer)]
        columns = ["sample_id", "percentile"]
        with undamaged(self.folder or Path()):
            return pq.read_table(
                self.parts, columns=columns, filters=chosen, page_checksum_verification=True
            )


def quality_of(sample_ids: list[str], scores: Scores, scorer: str | None) -> Doubles:
    """Quality (n,) in [0, 1]: each sample's percentile within its stratum by `scorer`.

    Of a scorer that gives high values to bad samples it is 1 - percentile. When no scorer is named
    and there is no combined one, quality is 1 for all.

    Raises:
        UsageError: a scorer that the run does not have.
    """
    name, known = scorer or QUALITY, scores.scorers()
    if name not in known:
        if scorer is None:
            return np.ones(len(sample_ids))
        raise UsageError(_absent(name, known), code="scorer_unknown")
    lines = scores.of(name)
    place = pc.index_in(pa.array(sample_ids, pa.string()), lines["sample_id"].combine_chunks())
    percentile = lines["percentile"].combine_chunks().take(place).cast(pa.float64())
    given = pc.fill_null(percentile, np.nan).to_numpy(zero_copy_only=False)
    found: Doubles = np.where(np.isnan(given), MIDDLE, given)
    return found if _high_is_good(name) else 1.0 - found


def _high_is_good(name: str) -> bool:
    """What the scorer of that name says; the combined score is good where it is high."""
    union, _ = typing.get_args(AnyScorer)
    for scorer in typing.get_args(union):
        if name in typing.get_args(scorer.model_fields["kind"].annotation):
            return bool(scorer.higher_is_better)
    return True


def _absent(name: str, known: list[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    near = f"; did you mean {close[0]!r}?" if close else ""
    there = f"this run has {', '.join(known)}" if known else "this run has no scores"
    return (
        f"quality is scorer {name!r}, which is not there{near}; {there}: choose another, or add it "
        "to `scores` in the recipe"
    )
