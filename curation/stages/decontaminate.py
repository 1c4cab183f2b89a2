"""Stage 6: training rows that meet a benchmark are listed, and dropped as the recipe says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar, Final

import pyarrow as pa
import pyarrow.compute as pc

from curation.current_samples import read_samples
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
from curation.matching.image_copies import image_set
from curation.recipe import Recipe
from curation.stage_outputs import StageOutputs, Upstream
from curation.stages.stage import Stage, StageContext
from medsift import records
from medsift.errors import LedgerError
from medsift.records import LEAKS
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


class DecontaminateStage(Stage):
    """Compares the rows that may be trained on with every benchmark of the recipe."""

    name: ClassVar[str] = "decontaminate"
    version: ClassVar[int] = 5
    outputs: ClassVar[Mapping[str, pa.Schema]] = {"leaks_found": LEAKS, "reviews": REVIEWS}

    def settings(self, recipe: Recipe, upstream: Upstream) -> Any:
        """Return the rules, and the content of every index."""
        config = recipe.decontaminate
        if not config.benchmarks:
            return {"benchmarks": []}
        copies = recipe.dedup.image
        encoder = recipe.encoder.fingerprint()
        return {
            "rules": config.with_first_names(
                config.model_dump(mode="json", exclude={"benchmarks"})
            ),
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
        samples = read_samples(context.upstream)
        context.begin(samples.num_rows, "samples")
        train = samples.filter(pc.equal(pc.fill_null(samples["split"], TRAIN), TRAIN))
        found = _compare(context, train)
        gone = records.decisions(_decisions(train, found, config))
        context.outputs.decisions.write(gone)
        leaks = pa.concat_tables([LEAKS.empty_table(), *(hits.leaks for hits in found.values())])
        context.outputs.leaks_found.write(leaks)
        context.outputs.reviews.write(_reviews(context, found))
        context.advance(samples.num_rows)


def undecided(recipe: Recipe, outputs: StageOutputs) -> LedgerError | None:
    """Return why a run must stop after a stage: rows that a person must decide on first."""
    if outputs.stage != DecontaminateStage.name or recipe.decontaminate.unresolved != "stop":
        return None
    lines = outputs.leaks_found.read(["row_id", "benchmark", "verdict"]).to_pylist()
    near = {(line["row_id"], line["benchmark"]) for line in lines if line["verdict"] == NEAR}
    near -= {(line["row_id"], line["benchmark"]) for line in lines if line["verdict"] != NEAR}
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


def _compare(context: StageContext, train: pa.Table) -> dict[str, Hits]:
    """Return, by benchmark, the training rows that meet it."""
    recipe, seen = context.recipe, context.upstream.images
    facts = seen.images.read()
    shown = {image for images in train["images"].to_pylist() for image in images or ()}
    facts = facts.filter(pc.is_in(facts["image_id"], pa.array(sorted(shown), pa.string())))
    images = image_set(facts, seen.vectors.read_vectors())
    found = {}
    for benchmark in recipe.decontaminate.benchmarks:
        index = read_index(benchmark.index, recipe.encoder.fingerprint())
        with context.timed(f"against {benchmark.name}", train.num_rows):
            named = replace(index, name=benchmark.name)
            found[benchmark.name] = find_hits(
                train,
                images,
                named,
                recipe.decontaminate,
                recipe.dedup.image,
                recipe.dedup.text.jaccard,
            )
    return found


def _reviews(context: StageContext, found: Mapping[str, Hits]) -> pa.Table:
    """Return what a person should look at, with the benchmark's originals where there are any."""
    lists = [REVIEWS.empty_table()]
    for benchmark in context.recipe.decontaminate.benchmarks:
        reviews = found[benchmark.name].reviews
        lists.append(_with_originals(context, benchmark, reviews) if reviews.num_rows else reviews)
    return pa.concat_tables(lists)


def _with_originals(
    context: StageContext, benchmark: BenchmarkConfig, reviews: pa.Table
) -> pa.Table:
    if benchmark.run is None:
        return reviews
    upstream = context.open_run(benchmark.run).through("images")
    return with_originals(reviews, read_samples(upstream, ["row_id", "question", "refs", "images"]))


def _decisions(
    train: pa.Table, found: Mapping[str, Hits], config: DecontaminateConfig
) -> list[dict[str, Any]]:
    """Return one entry for each row to drop, for its first benchmark in the recipe."""
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
