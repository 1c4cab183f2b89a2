"""Find training rows that meet a benchmark, and drop them as the recipe says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curation.current_samples import (
    PLACE,
    count_samples,
    current_sql,
    read_samples,
    register_said,
    said_sql,
    with_texts,
)
from curation.decontaminate import (
    REVIEWS,
    check_index,
    read_index,
    with_originals,
)
from curation.decontaminate.earlier_matches import (
    MATCH_TABLES,
    PictureMatches,
    read_matches,
    write_matches,
)
from curation.decontaminate.images import compare_images
from curation.decontaminate.index import fingerprint
from curation.decontaminate.review import review_list
from curation.joins import joining, write_rows
from curation.mapped import TEXTS, mapped_images
from curation.matching.image_copies import ImageSet
from curation.recipe import Recipe
from curation.stage_outputs import StageOutputs, Upstream
from curation.stages.compare_rows import (
    MATCH_VERSION,
    SEEN,
    TAKEN_OVER,
    UNDECIDED,
    Compared,
    CompareRows,
    settle_rows,
)
from curation.stages.settled_rows import DECIDED, take_over, write_query
from curation.stages.stage import Stage, StageContext
from medsift import records
from medsift.errors import LedgerError
from medsift.records import LEAKS
from medsift.vocabulary import NEAR

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

SHORT: Final = [name for name in SEEN if name not in TEXTS.names]
NO_IMAGES: Final = ImageSet.of([], [], [], np.zeros((0, 1), np.float32))


def check_indexes(recipe: Recipe) -> None:
    """Make sure, without reading their items, that every benchmark's index can be compared.

    Raises UsageError and InputError as `curation.decontaminate.check_index`.
    """
    if recipe.decontaminate.benchmarks:
        encoder = recipe.encoder.fingerprint()
        for benchmark in recipe.decontaminate.benchmarks:
            check_index(benchmark.index, encoder)


class DecontaminateStage(Stage):
    """Compare the rows that may be trained on with every benchmark of the recipe."""

    name: ClassVar[str] = "decontaminate"
    version: ClassVar[int] = 5
    outputs: ClassVar[Mapping[str, pa.Schema]] = {
        "leaks_found": LEAKS,
        "reviews": REVIEWS,
        "undecided": UNDECIDED,
        "decided": DECIDED,
        **MATCH_TABLES,
    }

    def settings(self, recipe: Recipe, upstream: Upstream) -> Any:
        """Return the rules, and the content of every index."""
        config = recipe.decontaminate
        if not config.benchmarks:
            return {"benchmarks": []}
        copies, encoder = recipe.dedup.image, recipe.encoder.fingerprint()
        rules = config.model_dump(mode="json", exclude={"benchmarks"})
        return {
            "rules": config.with_first_names(rules),
            "images": copies.with_first_names(copies.model_dump(mode="json")),
            "jaccard": recipe.dedup.text.jaccard,
            "benchmarks": [
                [benchmark.name, fingerprint(read_index(benchmark.index, encoder)), benchmark.run]
                for benchmark in config.benchmarks
            ],
        }

    def run(self, context: StageContext) -> None:
        """Write `decisions`, `leaks_found` and `reviews`; nothing without a benchmark."""
        config = context.recipe.decontaminate
        if not config.benchmarks:
            return
        count = count_samples(context.upstream)
        context.begin(count, "samples")
        earlier, rules = context.earlier(), self.settings(context.recipe, context.upstream)
        with joining(context.scratch) as db:
            benchmarks, matches = _match_pictures(context, db, rules, earlier)
            register_said(db, context.upstream)
            rows = current_sql(context.upstream, [*SHORT, PLACE])
            training = f"SELECT * FROM ({said_sql(rows)}) WHERE coalesce(split, 'train') = 'train'"
            with context.timed("compare rows") as watch:
                without = settle_rows(db, training, benchmarks, records.fingerprint(rules), earlier)
                query = (
                    f"SELECT * FROM ({rows}) ANTI JOIN settled USING (row_id) "
                    "WHERE coalesce(split, 'train') = 'train' ORDER BY row_id"
                )
                files = write_rows(
                    with_texts(db, context.upstream, query, SEEN),
                    context.scratch / "samples",
                    context.recipe.compute.rows_per_shard,
                )
                jaccard = context.recipe.dedup.text.jaccard
                context.nearby.stream(
                    [(file, without) for file in files],
                    lambda: CompareRows(tuple(benchmarks), config, jaccard),
                    context.folder,
                    lambda rows: None,
                )
                if without and earlier is not None:
                    take_over(db, earlier, context.outputs, TAKEN_OVER, len(files))
                watch.rows = count
            write_query(db, "SELECT digest FROM digests ORDER BY digest", context.outputs.decided)
        write_matches(context.outputs, matches)
        context.outputs.reviews.write(_reviews(context, benchmarks))
        context.advance(count)


def undecided(recipe: Recipe, outputs: StageOutputs) -> LedgerError | None:
    """Return why a run must stop after a stage: rows that a person must decide on first."""
    if outputs.stage != DecontaminateStage.name or recipe.decontaminate.unresolved != "stop":
        return None
    leaks = outputs.leaks_found.read(["row_id", "benchmark", "verdict"]).to_pylist()
    near = {(leak["row_id"], leak["benchmark"]) for leak in leaks if leak["verdict"] == NEAR}
    # A row with a confirmed leak into the same benchmark needs no decision.
    near -= {(leak["row_id"], leak["benchmark"]) for leak in leaks if leak["verdict"] != NEAR}
    gone = outputs.decisions.read(["row_id"])["row_id"].to_pylist()
    rows = {row for row, _ in near}.difference(gone)
    if not rows:
        return None
    return LedgerError(
        f"{len(rows):,} rows are near a benchmark and unresolved, and decontaminate.unresolved is "
        "stop: look at the review list of the report, then set it to keep or drop",
        code="review_required",
        rows=len(rows),
    )


def _match_pictures(
    context: StageContext,
    db: DuckDBPyConnection,
    rules: Mapping[str, Any],
    earlier: StageOutputs | None,
) -> tuple[list[Compared], dict[str, PictureMatches]]:
    """Compare the pictures of training rows with those of every benchmark.

    Returns the benchmarks with their pairs of pictures, and what the next run may look up.
    """
    recipe, encoder = context.recipe, context.recipe.encoder.fingerprint()
    config, copies = recipe.decontaminate, recipe.dedup.image
    compared, found, images = [], {}, None
    for benchmark, identity in zip(config.benchmarks, rules["benchmarks"], strict=True):
        index = read_index(benchmark.index, encoder)
        if index.images.num_rows and images is None:
            images = _shown_images(context, db)
        shared = [rules["rules"], rules["images"], recipe.images.model_dump(mode="json")]
        known_as = records.fingerprint([MATCH_VERSION, identity[1], index.confirms, *shared])
        with context.timed(f"pictures against {benchmark.name}") as watch:
            # Pictures without a counterpart need not be read.
            pictures, found[known_as] = compare_images(
                images or NO_IMAGES, index, copies, config, read_matches(earlier, known_as)
            )
            watch.rows = 0 if images is None else len(images.ids)
        shown = [] if images is None else [images.ids[left] for left in pictures.left.tolist()]
        compared.append(Compared(benchmark.name, benchmark.index, encoder, shown, pictures))
    return compared, found


def _shown_images(context: StageContext, db: DuckDBPyConnection) -> ImageSet:
    """Return the pictures that training rows show."""
    samples = current_sql(context.upstream, ["split", "images"])
    shown = db.sql(
        f"SELECT DISTINCT unnest(images) AS image_id FROM ({samples}) "
        "WHERE coalesce(split, 'train') = 'train' ORDER BY 1"
    ).to_arrow_table()
    return mapped_images(context.upstream.images).only(shown["image_id"].to_pylist())


def _reviews(context: StageContext, benchmarks: Sequence[Compared]) -> pa.Table:
    """Return the list of what is near a benchmark and unresolved."""
    undecided = context.outputs.undecided.read()
    leaks = context.outputs.leaks_found.read()
    reviews = [REVIEWS.empty_table()]
    for one, benchmark in zip(benchmarks, context.recipe.decontaminate.benchmarks, strict=True):
        mine = undecided.filter(pc.equal(undecided["benchmark"], one.name))
        columns = (mine[name].to_pylist() for name in ("row_id", "images"))
        rows = {row: images or () for row, images in zip(*columns, strict=True)}
        of_benchmark = leaks.filter(pc.equal(leaks["benchmark"], one.name))
        lines = review_list(rows, one.shown, one.read(), one.pictures, of_benchmark)
        if benchmark.run is not None and lines.num_rows:
            # The benchmark's own run has its originals, for people to look at.
            originals = context.open_run(benchmark.run).through("images")
            columns_of_run = ["row_id", "question", "refs", "images"]
            lines = with_originals(lines, read_samples(originals, columns_of_run))
        reviews.append(lines)
    return pa.concat_tables(reviews)
