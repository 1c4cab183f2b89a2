"""Read the quality of each candidate from the scores of the run."""

from __future__ import annotations

import difflib
import itertools
import typing
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curation.scoring import AnyScorer
from curation.scoring.config import QUALITY
from medsift.arrays import Doubles
from medsift.errors import UsageError
from medsift.storage.parts import parts, read_batches, read_part

# The median of the percentiles of a stratum: an unknown quality is neither rewarded nor punished.
UNKNOWN_QUALITY: Final = 0.5


@dataclass(frozen=True, slots=True)
class Scores:
    """The tables `scores` and `skills` of a run: folders of Parquet parts, None without any.

    `added` are scores that came after the run, with the columns scorer, sample_id and percentile.
    """

    folder: Path | None
    skills: Path | None = None
    added: pa.Table | None = None

    @property
    def parts(self) -> list[Path]:
        """The parts of the folder."""
        return [] if self.folder is None else parts(self.folder)

    def scorers(self) -> list[str]:
        """Return the names of the scorers, sorted."""
        names = [read_part(part, ["scorer"])["scorer"] for part in self.parts]
        names += [] if self.added is None else [self.added["scorer"]]
        return sorted({name for column in names for name in pc.unique(column).to_pylist()})

    def of(self, scorer: str) -> Iterator[pa.Table]:
        """Yield the columns sample_id and percentile of one scorer, some rows at a time."""
        names = ["scorer", "sample_id", "percentile"]
        stored = iter(()) if self.folder is None else read_batches(self.folder, names)
        for table in itertools.chain(stored, [] if self.added is None else [self.added]):
            of_scorer = table.filter(pc.equal(table["scorer"], scorer))
            if len(of_scorer):
                yield of_scorer.select(["sample_id", "percentile"])


def read_quality(
    sample_ids: Sequence[str] | pa.ChunkedArray, scores: Scores, scorer: str | None
) -> Doubles:
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
    values = _percentiles(id_column(sample_ids), scores, name)
    quality: Doubles = np.where(np.isnan(values), UNKNOWN_QUALITY, values)
    return quality if is_higher_better(name) else 1.0 - quality


def id_column(sample_ids: Sequence[str] | pa.ChunkedArray) -> pa.ChunkedArray:
    """Return sample ids (n) as a column."""
    if isinstance(sample_ids, pa.ChunkedArray):
        return sample_ids
    return pa.chunked_array([pa.array(sample_ids, pa.string())])


def _percentiles(ids: pa.ChunkedArray, scores: Scores, scorer: str) -> Doubles:
    """Return the percentile (n,) of each sample by a scorer, NaN where it has none."""
    values = np.full(len(ids), np.nan)
    row = 0
    for table in scores.of(scorer):
        # The scores of a run are in the order of its pool. Those of another choice of samples, as
        # a probe makes, are looked up.
        if not ids.slice(row, len(table)).equals(table["sample_id"]):
            return _looked_up(ids, pa.concat_tables(scores.of(scorer)))
        values[row : row + len(table)] = _numbers(table["percentile"])
        row += len(table)
    return values


def _looked_up(ids: pa.ChunkedArray, table: pa.Table) -> Doubles:
    row = pc.index_in(ids, table["sample_id"].combine_chunks())
    return _numbers(table["percentile"].combine_chunks().take(row.combine_chunks()))


def _numbers(percentile: pa.Array | pa.ChunkedArray) -> Doubles:
    known = pc.fill_null(percentile.cast(pa.float64()), np.nan)
    return np.asarray(known.to_numpy(zero_copy_only=False), np.float64)


def is_higher_better(scorer: str) -> bool:
    """Return whether high values of a scorer mean good samples, as they do of `quality`."""
    union, _ = typing.get_args(AnyScorer)
    better = {
        kind: scorer_config.higher_is_better
        for scorer_config in typing.get_args(union)
        for kind in typing.get_args(scorer_config.model_fields["kind"].annotation)
    }
    return bool(better.get(scorer, True))
