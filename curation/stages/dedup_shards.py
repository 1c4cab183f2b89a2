"""Search duplicates shard by shard: a pool of any size in the memory of one shard."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa

from curation.current_samples import PLACE, current_sql, with_texts
from curation.dedup import DedupConfig
from curation.dedup.deduplicate import decide_shard
from curation.dedup.partition import deal_groups
from curation.dedup.redundancy import count_redundant
from curation.dedup.result_tables import group_table, statistics
from curation.dedup.search_tables import write_search
from curation.dedup.threshold_sweep import sweep_images
from curation.joins import joining, write_by
from curation.mapped import TEXTS, mapped_images, mapped_texts, mapped_vectors
from curation.matching.image_copies import Copies, ImageSet, find_copies
from curation.neighbors import Pairs
from curation.stages.dedup_groups import (
    COLUMNS,
    SHORT,
    group_rows,
    key_texts,
    number_rows,
    settled_groups,
)
from curation.stages.earlier_copies import earlier_search, search_settings
from curation.stages.settled_rows import take_over, write_query
from curation.stages.stage import StageContext
from medsift.arrays import Indices
from medsift.execution import Tables
from medsift.records import SAMPLES
from medsift.storage.mapped_vectors import map_vectors
from medsift.storage.parts import read_part, write_table

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

SETTLED: Final = -1
"""In place of a shard: the run before decided the row."""
TAKEN_OVER: Final = {
    "decisions": "row_id IN (FROM settled)",
    "clusters": "CASE WHEN kind = 'image_copy' THEN member IN (FROM settled_pictures) "
    "ELSE member IN (FROM settled) END",
    "conflicts_found": "row_id IN (FROM settled)",
    "split_leaks": "row_id IN (FROM settled)",
}


@dataclass(frozen=True, slots=True)
class ShardFiles:
    """Where a worker finds its shard: samples, pictures (image id, group) and their copies."""

    samples: Path
    pictures: Path
    pairs: Path
    without: str
    """Fingerprint of the earlier stage that decided the rows that no shard has; "" for none."""


@dataclass(frozen=True, slots=True)
class DecideShard:
    """Decide the fates of a shard's rows on a worker."""

    config: DedupConfig
    seed: int
    texts: Path

    def __call__(self, files: ShardFiles) -> Iterator[Tables]:
        """Yield the tables of the stage that tell of these rows."""
        samples = read_part(files.samples)
        for name in SAMPLES.names:
            if name not in samples.column_names:
                kind = SAMPLES.field(name).type
                samples = samples.append_column(name, pa.nulls(samples.num_rows, kind))
        pictures, pairs = read_part(files.pictures), read_part(files.pairs)
        left, right, similarity = (column.to_numpy() for column in pairs.columns)
        found = Pairs.of(left, right, similarity)
        copies = Copies(found, pictures["group"].to_numpy(), 0, 0, 0, 0, 1.0, "exact")
        result = decide_shard(
            samples.select(SAMPLES.names).cast(SAMPLES),
            pictures["image_id"].to_pylist(),
            copies,
            map_vectors(Path(), self.texts),
            self.config,
            self.seed,
        )
        yield {
            "decisions": result.decisions,
            "clusters": result.clusters,
            "conflicts_found": result.conflicts,
            "split_leaks": result.leaks,
        }


def deduplicate_by_shards(context: StageContext) -> dict[str, object]:
    """Write the tables of the stage but `measures`, and return its statistics.

    Rows that may repeat each other, contradict each other, or leak from one split into another are
    in one shard: they show copies of one picture, or share a key of their words. Shards are then
    decided one by one, each as `deduplicate` decides on all rows. A group that the run before has
    decided, of the same rows and copies, is in no shard: its lines are copied.
    """
    recipe, outputs, run = context.recipe, context.outputs, context.executor.run
    config, search = recipe.dedup, recipe.neighbors
    texts = mapped_vectors(context.upstream.embed)
    images = mapped_images(context.upstream.images)
    with context.timed("copies of pictures", len(images.ids)):
        copies = find_copies(images, config.image, search, run, earlier_search(context))
    earlier = context.earlier()
    with joining(context.scratch) as db:
        shown = number_rows(context, db, images)
        with context.timed("keys of words") as watch:
            watch.rows = key_texts(context, db, earlier)
        with context.timed("group") as watch:
            label = group_rows(context, db, copies)
            watch.rows = len(label)
            settled = settled_groups(context, db, label, images, copies, earlier)
        shards = np.full(len(label), SETTLED, np.int64)
        places = db.execute(f"SELECT {PLACE} FROM rows ORDER BY row").fetchnumpy()[PLACE]
        said = mapped_texts(context.upstream.ingest).row_bytes(places[~settled])
        shards[~settled] = deal_groups(label[~settled], recipe.compute.rows_per_shard, said)
        without = earlier.fingerprint if earlier is not None and settled.any() else ""
        items = _write_shards(context, db, shards, images, copies, without)
        with context.timed("decide", int((~settled).sum())):
            context.nearby.stream(
                items,
                lambda: DecideShard(config, recipe.seed, texts.folder),
                context.folder,
                lambda rows: None,
            )
        if without and earlier is not None:
            take_over(db, earlier, outputs, TAKEN_OVER, len(items))
        write_query(db, "SELECT talk, keys FROM text_keys ORDER BY talk", outputs.text_keys)
        write_query(db, "SELECT digest FROM digests ORDER BY digest", outputs.decided)
        if copies.search is not None:
            write_search(outputs, copies.search, search_settings(recipe))
        outputs.groups.write(group_table(images.ids, copies))
        with context.timed("sweep", len(images.ids)):
            modality = db.sql("SELECT modality FROM rows ORDER BY row").to_arrow_table()
            outputs.sweep.write(
                sweep_images(
                    images, copies, shown, modality["modality"], search,
                    limit=config.sweep_images, seed=recipe.seed, run=run,
                )
            )  # fmt: skip
        semantic: dict[str, object] = {}
        if config.semantic.action == "report":
            with context.timed("redundancy"):
                distinct, drawn = _draw_contents(context, db)
                semantic = count_redundant(
                    drawn, images, copies, texts.vectors, config, search, recipe.seed, run
                ) | {"distinct": distinct}
    decisions = outputs.decisions.read(["reason"])
    return statistics(len(shards), decisions, copies, semantic)


def _write_shards(
    context: StageContext,
    db: DuckDBPyConnection,
    shards: Indices,
    images: ImageSet,
    copies: Copies,
    without: str,
) -> list[ShardFiles]:
    """Write the samples, pictures and copies of each shard to files of its own.

    Tables `settled` (row_id) and `settled_pictures` (image_id) list what no shard has.
    """
    folder = context.scratch
    db.register(
        "dealt", pa.table([pa.array(np.arange(len(shards))), pa.array(shards)], ["row", "shard"])
    )
    query = (
        f"SELECT s.*, shard FROM ({current_sql(context.upstream, [*SHORT, PLACE])}) s "
        f"JOIN rows USING (row_id) JOIN dealt USING (row) WHERE shard <> {SETTLED} "
        "ORDER BY shard, row"
    )
    dealt = with_texts(db, context.upstream, query, [*COLUMNS, "shard"])
    samples = write_by(dealt, "shard", folder / "samples")
    seen = db.execute(
        "SELECT picture, any_value(shard) AS shard FROM shown JOIN dealt USING (row) GROUP BY ALL"
    ).fetchnumpy()
    # A group is where its samples are; one that no sample shows is in the first shard.
    of_group = np.zeros(len(copies.group), np.int64)
    of_group[copies.group[seen["picture"]]] = seen["shard"]
    needed = np.bincount(copies.group, minlength=len(copies.group))[copies.group] > 1
    needed[seen["picture"]] = True
    numbers = np.flatnonzero(needed)
    shard_of = of_group[copies.group]
    names = pa.array(images.ids, pa.string())
    db.execute(
        "CREATE TABLE settled AS SELECT row_id FROM rows JOIN dealt USING (row) "
        f"WHERE shard = {SETTLED}"
    )
    pictures = names.take(pa.array(np.flatnonzero(shard_of == SETTLED)))
    db.register("settled_pictures", pa.table([pictures], ["image_id"]))
    items = []
    for shard in sorted(samples):
        own = numbers[shard_of[numbers] == shard]
        pairs = copies.pairs.where(shard_of[copies.pairs.left] == shard)
        group, left, right = (
            pa.array(np.searchsorted(own, places))
            for places in (copies.group[own], pairs.left, pairs.right)
        )
        files = ShardFiles(
            samples[shard],
            folder / "pictures" / f"{shard}.parquet",
            folder / "pairs" / f"{shard}.parquet",
            without,
        )
        write_table(
            pa.table([names.take(pa.array(own)), group], ["image_id", "group"]), files.pictures
        )
        similarity = pa.array(pairs.similarity)
        write_table(
            pa.table([left, right, similarity], ["left", "right", "similarity"]), files.pairs
        )
        items.append(files)
    return items


def _draw_contents(context: StageContext, db: DuckDBPyConnection) -> tuple[int, pa.Table]:
    """Return the number of contents, and all rows of those that the seed draws."""
    limit, seed = context.recipe.dedup.semantic.report_rows, str(context.recipe.seed)
    distinct = int(db.execute("SELECT count(DISTINCT sample_id) FROM rows").fetchall()[0][0])
    # The lot of `draw`: the digest of seed and id, each behind its length.
    prefix = (len(seed).to_bytes(8, "little") + seed.encode()).hex()
    length = "from_hex(lpad(to_hex(strlen(sample_id)), 2, '0') || '00000000000000')"
    lot = f"sha256(from_hex('{prefix}') || {length} || encode(sample_id))"
    db.execute(
        f"CREATE TABLE drawn AS SELECT sample_id FROM (SELECT DISTINCT sample_id FROM rows) "
        f"ORDER BY {lot} LIMIT {limit}"
    )
    short = [name for name in SAMPLES.names if name not in TEXTS.names]
    samples = current_sql(context.upstream, [*short, PLACE])
    query = f"SELECT s.* FROM ({samples}) s JOIN drawn USING (sample_id) ORDER BY {PLACE}"
    rows = [table.cast(SAMPLES) for table in with_texts(db, context.upstream, query, SAMPLES.names)]
    return distinct, pa.concat_tables([SAMPLES.empty_table(), *rows])
