"""Stage 6: training rows that meet a benchmark are listed, and dropped as the recipe says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Final

import pyarrow as pa
import pyarrow.compute as pc

from curation.decontaminate import (
    REVIEWS,
    BenchmarkConfig,
    DecontaminateConfig,
    Hits,
    check_index,
    find_hits,
    read_index,
    with_originals,
)
from curation.decontaminate.index import fingerprint
from curation.dedup import LEAKS
from curation.matching.image_copies import image_set
from curation.recipe import Recipe
from curation.run_dir import open_run
from curation.stages.embed import keep_all
from curation.stages.stage import StageContext
from medsift import records
from medsift.errors import LedgerError
from medsift.storage.parts import read_folder, write_table
from medsift.storage.vectors import read_vectors
from medsift.vocabulary import NEAR

TRAIN: Final = "train"


def check_indexes(recipe: Recipe) -> None:
    """Make sure, without reading their items, that every benchmark's index can be compared.

    Raises UsageError and InputError as `curation.decontaminate.check_index`.
    """
    if recipe.decontaminate.benchmarks:
        encoder = recipe.encoder.fingerprint()
        for benchmark in recipe.decontaminate.benchmarks:
            check_index(benchmark.index, encoder)


class DecontaminateStage:
    """Compares the rows that may be trained on with every benchmark of the recipe."""

    name: ClassVar[str] = "decontaminate"
    version: ClassVar[int] = 4

    def settings(self, recipe: Recipe, upstream: Mapping[str, Path]) -> Any:
        """The rules, and the content of every index."""
        config = recipe.decontaminate
        if not config.benchmarks:
            return {"benchmarks": []}
        encoder = recipe.encoder.fingerprint()
        return {
            "rules": config.model_dump(mode="json", exclude={"benchmarks"}),
            "images": recipe.dedup.image.model_dump(mode="json"),
            "jaccard": recipe.dedup.text.jaccard,
            "benchmarks": [
                [benchmark.name, fingerprint(read_index(benchmark.index, encoder)), benchmark.run]
                for benchmark in config.benchmarks
            ],
        }

    def run(self, context: StageContext) -> None:
        """Write `samples`, `decisions`, `leaks` and `reviews`."""
        before = context.upstream["split"] / "samples"
        config = context.recipe.decontaminate
        if not config.benchmarks:
            keep_all(before, context.folder)
            return
        samples = read_folder(before, records.SAMPLES)
        context.begin(samples.num_rows, "samples")
        train = samples.filter(pc.equal(pc.fill_null(samples["split"], TRAIN), TRAIN))
        found = _compare(context, train)
        gone = records.decisions(_decisions(train, found, config))
        kept = samples.filter(
            pc.invert(pc.is_in(samples["row_id"], gone["row_id"].combine_chunks()))
        )
        write_table(kept, context.folder / "samples" / "part-000000.parquet")
        write_table(gone, context.folder / "decisions" / "part-000000.parquet")
        leaks = pa.concat_tables([LEAKS.empty_table(), *(hits.leaks for hits in found.values())])
        write_table(leaks, context.folder / "leaks" / "part-000000.parquet")
        write_table(_reviews(config, found), context.folder / "reviews" / "part-000000.parquet")
        context.advance(samples.num_rows)


def undecided(recipe: Recipe, folder: Path) -> LedgerError | None:
    """Why a run must stop after this stage, whose folder this is: rows that a person decides on."""
    if recipe.decontaminate.unresolved != "stop":
        return None
    lines = read_folder(folder / "leaks", LEAKS, ["row_id", "benchmark", "verdict"]).to_pylist()
    near = {(line["row_id"], line["benchmark"]) for line in lines if line["verdict"] == NEAR}
    near -= {(line["row_id"], line["benchmark"]) for line in lines if line["verdict"] != NEAR}
    gone = read_folder(folder / "decisions", records.DECISIONS, ["row_id"])["row_id"].to_pylist()
    rows = {row for row, _ in near}.difference(gone)
    if not rows:
        return None
    return LedgerError(
        f"{len(rows):,} rows are near a benchmark and unresolved, and decontaminate.unresolved is "
        "stop: look at the review list of the report, then set it to keep or drop"
    )


def _compare(context: StageContext, train: pa.Table) -> dict[str, Hits]:
    """Benchmark → what of the training rows meets it."""
    recipe, folder = context.recipe, context.upstream["images"]
    facts = read_folder(folder / "images", records.IMAGES)
    shown = {image for images in train["images"].to_pylist() for image in images or ()}
    facts = facts.filter(pc.is_in(facts["image_id"], pa.array(sorted(shown), pa.string())))
    images = image_set(facts, read_vectors(folder / "vectors"))
    found = {}
    for benchmark in recipe.decontaminate.benchmarks:
        index = read_index(benchmark.index, recipe.encoder.fingerprint())
        with context.timed(f"against {benchmark.name}", train.num_rows):
            named = replace(index, name=benchmark.name)
            found[benchmark.name] = find_hits(
                train, images, named, recipe.decontaminate, recipe.dedup
            )
    return found


def _reviews(config: DecontaminateConfig, found: Mapping[str, Hits]) -> pa.Table:
    """What a person should look at, with the benchmark's originals where they are at hand."""
    lists = [REVIEWS.empty_table()]
    for benchmark in config.benchmarks:
        reviews = found[benchmark.name].reviews
        lists.append(_with_originals(benchmark, reviews) if reviews.num_rows else reviews)
    return pa.concat_tables(lists)


def _with_originals(benchmark: BenchmarkConfig, reviews: pa.Table) -> pa.Table:
    if benchmark.run is None:
        return reviews
    folder = open_run(benchmark.run).folders["images"]
    columns = ["row_id", "question", "refs", "images"]
    return with_originals(reviews, read_folder(folder / "samples", records.SAMPLES, columns))


def _decisions(
    train: pa.Table, found: Mapping[str, Hits], config: DecontaminateConfig
) -> list[dict[str, Any]]:
    """One entry for each row that the recipe drops, for its first benchmark in the recipe."""
    ids = dict(zip(train["row_id"].to_pylist(), train["sample_id"].to_pylist(), strict=True))
    entries: dict[str, dict[str, Any]] = {}
    for name, hits in found.items():
        lines = {(line["row_id"], line["verdict"]): line for line in hits.leaks.to_pylist()}
        for row, verdict in sorted(hits.worst.items()):
            fate = config.unresolved if verdict == NEAR else config.confirmed
            if fate == "drop" and row not in entries:
                line = lines[row, verdict]
                entries[row] = records.decision(
                    row,
                    "decontaminate",
                    records.DROPPED,
                    line["kind"],
                    sample=ids[row],
                    value=line["similarity"],
                    detail=f"{verdict} as {line['item_id']} of {name}",
                )
    return list(entries.values())
