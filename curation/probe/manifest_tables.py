"""Write what a probe did as the manifest's tables `probe_runs` and `probe_results`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import pyarrow as pa

from curation.probe.results import ALL, result_rows
from curation.probe.run_probe import ProbeRun
from curation.probe.settings import ProbeConfig
from curation.probe.verdict import verdict
from medsift.manifest.schema import arrow_schema


@dataclass(frozen=True, slots=True)
class ProbeTables:
    """A probe as the manifest stores it, and a sentence for each arm."""

    probe_id: str
    runs: pa.Table
    results: pa.Table
    verdicts: Mapping[str, str]

    def made_at(self, moment: datetime | None) -> pa.Table:
        """Return the line of `probe_runs` with another time; None is the run's start."""
        field = self.runs.schema.field("created_at")
        place = self.runs.schema.names.index(field.name)
        return self.runs.set_column(place, field, pa.array([moment], field.type))

    @property
    def overall(self) -> list[dict[str, Any]]:
        """The results over all samples asked about."""
        return [row for row in self.results.to_pylist() if row["facet"] == ALL]


def probe_tables(
    done: ProbeRun,
    config: ProbeConfig,
    probe_id: str,
    seed: int,
    seconds: float,
    created_at: datetime | None,
) -> ProbeTables:
    """Return a probe's two tables and its verdicts.

    Args:
        done: What the probe did.
        config: Its settings.
        probe_id: Digest of its settings and of the pool.
        seed: Seed of folds, draws and resampling.
        seconds: Time that it took.
        created_at: When it was made, in UTC without a zone; None is the run's start.
    """
    rows = list(result_rows(done.answers, config.margin, seed, config.versus))
    # Null where a row has no such figure: `random` has no difference to itself.
    results = pa.Table.from_pylist(
        [{"probe_id": probe_id, **row} for row in rows], schema=arrow_schema("probe_results")
    )
    verdicts = verdicts_of(rows, [arm.name for arm in config.arms], config.margin)
    line = {
        "probe_id": probe_id,
        "created_at": created_at,
        "settings": json.dumps(config.model_dump(mode="json"), sort_keys=True),
        "seed": seed,
        "pool": done.usable,
        "left_out": json.dumps(done.left_out, sort_keys=True),
        "classes": done.classes,
        "asked": done.answers.asked.num_rows,
        "clusters": len(np.unique(done.answers.cluster)),
        "majority": done.majority,
        "verdict": next(iter(verdicts.values())),
        "seconds": seconds,
    }
    runs = pa.Table.from_pylist([line], schema=arrow_schema("probe_runs"))
    return ProbeTables(probe_id, runs, results, verdicts)


def verdicts_of(
    rows: Sequence[Mapping[str, Any]], arms: Sequence[str], margin: float
) -> dict[str, str]:
    """Return a sentence for each arm, from the results of a probe."""
    overall = [row for row in rows if row["facet"] == ALL]
    return {arm: verdict(overall, arm, margin) for arm in arms}
