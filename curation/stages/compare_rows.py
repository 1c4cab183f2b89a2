"""Compare rows with benchmarks, but for those that an earlier run compared by the same rules."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curation.decontaminate import BenchmarkIndex, DecontaminateConfig, read_index
from curation.decontaminate.images import ImageHits
from curation.decontaminate.matches import find_leaks
from curation.stage_outputs import StageOutputs
from curation.stages.settled_rows import digest_sql, settled_rows
from medsift import records
from medsift.execution import Tables
from medsift.manifest.schema import identifier
from medsift.storage.parts import read_part
from medsift.vocabulary import NEAR

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

SEEN: Final = ["row_id", "sample_id", "split", "images", "messages", "question", "answer"]
UNDECIDED: Final = pa.schema(
    [("benchmark", pa.string()), records.SAMPLES.field("row_id"), records.SAMPLES.field("images")]
)
MATCH_VERSION: Final = 1
"""Raised when a row or a picture is compared with a benchmark in another way."""
PAIRED: Final = ("right", "confirmed", "exact", "similarity", "cosine", "correlation")
TAKEN_OVER: Final = dict.fromkeys(
    ("leaks_found", "decisions", "undecided"), "row_id IN (FROM settled)"
)


@dataclass(frozen=True, slots=True)
class Compared:
    """A benchmark, and the pairs of its pictures and the pool's, with the ids of the latter."""

    name: str
    index: Path
    encoder: str
    shown: list[str]
    pictures: ImageHits

    def pairs(self) -> pa.Table:
        """Return the pairs of pictures, by the id of the pool's."""
        columns = [getattr(self.pictures, name) for name in PAIRED]
        name = pa.repeat(pa.scalar(self.name, pa.string()), len(self.shown))
        names = ["image_id", "benchmark", *PAIRED]
        return pa.table([pa.array(self.shown, pa.string()), name, *columns], names)

    def read(self) -> BenchmarkIndex:
        """Read the index, under the name that the recipe gives it."""
        return replace(read_index(self.index, self.encoder), name=self.name)


@dataclass(frozen=True, slots=True)
class CompareRows:
    """Compare a file of samples with every benchmark on a worker."""

    benchmarks: tuple[Compared, ...]
    config: DecontaminateConfig
    jaccard: float

    def __call__(self, item: tuple[Path, str]) -> Iterator[Tables]:
        """Yield `leaks_found`, `decisions`, and the rows that a person must look at.

        An item is the file, and the earlier stage that decided the rows that no file has.
        """
        samples = read_part(item[0], SEEN).cast(
            pa.schema([records.SAMPLES.field(name) for name in SEEN])
        )
        leaks, unsure = {}, [UNDECIDED.empty_table()]
        worst: dict[str, dict[str, str]] = {}
        for one in self.benchmarks:
            leaks[one.name], worst[one.name] = find_leaks(
                samples, one.shown, one.pictures, one.read(), self.config, self.jaccard
            )
            near = [row for row, verdict in worst[one.name].items() if verdict == NEAR]
            rows = samples.filter(pc.is_in(samples["row_id"], pa.array(near, pa.string())))
            name = pa.repeat(pa.scalar(one.name, pa.string()), rows.num_rows)
            unsure.append(pa.table([name, rows["row_id"], rows["images"]], schema=UNDECIDED))
        yield {
            "leaks_found": pa.concat_tables(leaks.values()),
            "decisions": records.decisions(_decisions(samples, leaks, worst, self.config)),
            "undecided": pa.concat_tables(unsure),
        }


def settle_rows(
    db: DuckDBPyConnection,
    training: str,
    benchmarks: Sequence[Compared],
    rules: str,
    earlier: StageOutputs | None,
) -> str:
    """List the rows in `settled` that the run before compared by the same rules.

    Each row is decided by itself, its content and the pairs of its pictures. Returns the
    fingerprint of the stage that decided them, "" where there is none.
    """
    db.execute(
        "CREATE TABLE rows AS SELECT row_number() OVER (ORDER BY row_id) - 1 AS row, row_id "
        f"FROM ({training})"
    )
    pairs = pa.concat_tables([one.pairs() for one in benchmarks])
    db.register("pairs", pairs)
    content = digest_sql(f"{MATCH_VERSION} {rules}", "s")
    db.execute(
        "CREATE TABLE digests AS SELECT row AS group_id, "
        "left(sha256(string_agg(part, ' ' ORDER BY part)), 32) AS digest FROM ("
        f"SELECT row, part FROM (SELECT row_id, {content} AS part FROM ({training}) s) "
        "JOIN rows USING (row_id) UNION ALL "
        f"SELECT row, concat_ws(' ', benchmark, {', '.join(map(identifier, PAIRED))}) FROM "
        f"(SELECT row_id, unnest(images) AS image_id FROM ({training})) JOIN rows USING (row_id) "
        "JOIN pairs USING (image_id)) GROUP BY row"
    )
    db.execute("CREATE VIEW grouped AS SELECT row, row AS group_id FROM rows")
    settled = settled_rows(db, earlier)
    places = pa.table([np.flatnonzero(settled)], ["row"])
    db.register("places", places)
    db.execute("CREATE TABLE settled AS SELECT row_id FROM rows JOIN places USING (row)")
    return earlier.fingerprint if earlier is not None and settled.any() else ""


def _decisions(
    train: pa.Table,
    found: Mapping[str, pa.Table],
    worst: Mapping[str, Mapping[str, str]],
    config: DecontaminateConfig,
) -> list[dict[str, Any]]:
    """Return one entry for each row to drop, for its first benchmark in the recipe."""
    ids = dict(zip(train["row_id"].to_pylist(), train["sample_id"].to_pylist(), strict=True))
    entries: dict[str, dict[str, Any]] = {}
    for name, of_benchmark in found.items():
        leaks = {(leak["row_id"], leak["verdict"]): leak for leak in of_benchmark.to_pylist()}
        for row, verdict in sorted(worst[name].items()):
            fate = config.unresolved if verdict == NEAR else config.confirmed
            if fate == "drop" and row not in entries:
                leak = leaks[row, verdict]
                entries[row] = records.decision(
                    row,
                    "decontaminate",
                    records.DROPPED,
                    leak["kind"],
                    sample=ids[row],
                    value=leak["similarity"],
                    detail=f"{verdict} as {leak['item_id']} of {name}",
                )
    return list(entries.values())
