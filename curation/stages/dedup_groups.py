"""Group the rows that may decide each other's fate, and find groups that an earlier run decided."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from curation.current_samples import PLACE, current_sql, register_said, said_sql, with_texts
from curation.dedup.samples import Pictures
from curation.dedup.text_keys import TextKeys
from curation.joins import files_sql, write_rows
from curation.mapped import SAID, TEXTS
from curation.matching.image_copies import Copies, ImageSet
from curation.stage_outputs import StageOutputs
from curation.stages.earlier_copies import decision_settings, key_settings
from curation.stages.settled_rows import digest_sql, settled_rows
from curation.stages.stage import StageContext
from medsift.arrays import Flags, Indices
from medsift.connected import connected_components
from medsift.records import SAMPLES
from medsift.storage.parts import parts

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

COLUMNS: Final = [name for name in SAMPLES.names if name not in ("refs", "extra", "notes")]
"""What the search reads of a sample, priorities included."""
SHORT: Final = [name for name in COLUMNS if name not in TEXTS.names]
KEYED_ROWS: Final = 20_000


def number_rows(context: StageContext, db: DuckDBPyConnection, images: ImageSet) -> Pictures:
    """Number the rows by their ids and the pictures by theirs; return which row shows which."""
    columns = ["row_id", "sample_id", "modality", "images", PLACE]
    db.execute(
        "CREATE TABLE rows AS SELECT row_number() OVER (ORDER BY row_id) - 1 AS row, * FROM "
        f"({current_sql(context.upstream, columns)})"
    )
    known = pa.table(
        [pa.array(images.ids, pa.string()), pa.array(np.arange(len(images.ids)))],
        ["image_id", "picture"],
    )
    db.register("known", known)
    db.execute(
        "CREATE TABLE shown AS SELECT row, place, picture FROM (SELECT row, "
        "unnest(images) AS image_id, generate_subscripts(images, 1) AS place FROM rows) "
        "JOIN known USING (image_id)"
    )
    listed = db.execute("SELECT row, picture FROM shown ORDER BY row, place").fetchnumpy()
    count = db.execute("SELECT count(*) FROM rows").fetchall()[0][0]
    sizes = np.bincount(listed["row"].astype(np.int64), minlength=count)
    return Pictures(np.concatenate([[0], np.cumsum(sizes)]), listed["picture"].astype(np.int64))


def key_texts(context: StageContext, db: DuckDBPyConnection, earlier: StageOutputs | None) -> int:
    """Write the keys of the conversations without a picture; return how many were computed.

    Those of conversations that the run before had too are taken over.
    """
    recipe, folder = context.recipe, context.scratch
    register_said(db, context.upstream)
    db.execute(
        f"CREATE TABLE talks AS SELECT row, {digest_sql(key_settings(recipe), SAID)} AS talk, "
        f"{PLACE} FROM rows JOIN said USING ({PLACE}) WHERE len(coalesce(images, [])) = 0"
    )
    db.execute("CREATE TABLE text_keys (talk VARCHAR, keys UBIGINT[])")
    if earlier is not None and (files := earlier.text_keys.parts()):
        db.execute(
            f"INSERT INTO text_keys SELECT talk, keys FROM {files_sql(files)} "
            "WHERE talk IN (SELECT talk FROM talks)"
        )
    new = (
        f"SELECT talk, arg_min({PLACE}, row) AS {PLACE} FROM talks "
        "WHERE talk NOT IN (SELECT talk FROM text_keys) GROUP BY talk ORDER BY talk"
    )
    said = with_texts(db, context.upstream, new, ["talk", "messages"])
    items = write_rows(said, folder / "bare", KEYED_ROWS)
    worker = partial(TextKeys, recipe.dedup.text, recipe.seed)
    context.nearby.stream(items, worker, folder / "keys", lambda rows: None)
    if files := parts(folder / "keys" / "text_keys"):
        db.execute(f"INSERT INTO text_keys SELECT talk, keys FROM {files_sql(files)}")
    return sum(pq.read_metadata(file).num_rows for file in files)


def group_rows(context: StageContext, db: DuckDBPyConnection, copies: Copies) -> Indices:
    """Return the first row of the group (n,) of every row: rows that share a key are in one."""
    groups = pa.table(
        [pa.array(np.arange(len(copies.group))), pa.array(copies.group)], ["picture", "group"]
    )
    db.register("groups", groups)
    db.execute(
        'CREATE TABLE keyed AS SELECT row, 0 AS kind, CAST("group" AS UBIGINT) AS key FROM shown '
        "JOIN groups USING (picture) UNION ALL SELECT row, 1, hash(sample_id) FROM rows "
        "UNION ALL SELECT row, 2, unnest(keys) FROM talks JOIN text_keys USING (talk)"
    )
    links = db.execute(
        "SELECT k.row, f.first FROM keyed k JOIN (SELECT kind, key, min(row) AS first FROM keyed "
        "GROUP BY ALL HAVING count(*) > 1) f USING (kind, key) WHERE k.row <> f.first"
    ).fetchnumpy()
    db.execute("DROP TABLE keyed")
    count = db.execute("SELECT count(*) FROM rows").fetchall()[0][0]
    left, right = (links[name].astype(np.int64) for name in ("row", "first"))
    return connected_components(count, left, right)


def settled_groups(
    context: StageContext,
    db: DuckDBPyConnection,
    label: Indices,
    images: ImageSet,
    copies: Copies,
    earlier: StageOutputs | None,
) -> Flags:
    """Return which rows (n,) the run before decided among equal rows and copies."""
    pairs, names = copies.pairs, pa.array(images.ids, pa.string())
    ends = [names.take(pa.array(side)) for side in (pairs.left, pairs.right)]
    of_pairs = [copies.group[pairs.left], *ends, pairs.similarity]
    db.register("copied", pa.table(of_pairs, ["group", "one", "other", "similarity"]))
    db.register("grouped", pa.table([np.arange(len(label)), label], ["row", "group_id"]))
    samples = said_sql(current_sql(context.upstream, [*SHORT, PLACE]))
    content = digest_sql(decision_settings(context.recipe), "s")
    db.execute(
        "CREATE TABLE digests AS SELECT group_id, "
        "left(sha256(string_agg(part, ' ' ORDER BY part)), 32) AS digest FROM ("
        f"SELECT group_id, part FROM (SELECT row_id, {content} AS part FROM ({samples}) s) "
        "JOIN rows USING (row_id) JOIN grouped USING (row) UNION ALL SELECT group_id, "
        "concat_ws(' ', one, other, similarity) FROM copied JOIN (SELECT DISTINCT group_id, "
        '"group" FROM shown JOIN groups USING (picture) JOIN grouped USING (row)) '
        'USING ("group")) GROUP BY group_id'
    )
    settled = settled_rows(db, earlier)
    # Pictures that no sample shows are decided with the first row, always anew.
    settled[label == 0] = False
    return settled
