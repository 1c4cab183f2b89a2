"""Find training rows that meet a benchmark, and drop them as the recipe says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar

import pyarrow as pa
import pyarrow.compute as pc

from curation.current_samples import read_samples, training_samples
from curation.decontaminate import (
    REVIEWS,
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
    outputs: ClassVar[Mapping[str, pa.Schema]] = {"leaks_found": LEAKS, "reviews": REVIEWS}

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
        samples = read_samples(context.upstream)
        context.begin(samples.num_rows, "samples")
        train = training_samples(samples)
        hits = _compare(context, train)
        outputs = context.outputs
        outputs.decisions.write(records.decisions(_decisions(train, hits, config)))
        tables = [of_benchmark.leaks for of_benchmark in hits.values()]
        outputs.leaks_found.write(pa.concat_tables([LEAKS.empty_table(), *tables]))
        reviews = [REVIEWS.empty_table()]
        for benchmark in config.benchmarks:
            of_benchmark = hits[benchmark.name].reviews
            if benchmark.run is not None and of_benchmark.num_rows:
                # The benchmark's own run has its originals, for people to look at.
                originals = context.open_run(benchmark.run).through("images")
                columns = ["row_id", "question", "refs", "images"]
                of_benchmark = with_originals(of_benchmark, read_samples(originals, columns))
            reviews.append(of_benchmark)
        outputs.reviews.write(pa.concat_tables(reviews))
        context.advance(samples.num_rows)


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


def _compare(context: StageContext, train: pa.Table) -> dict[str, Hits]:
    """Return, by benchmark, the training rows that meet it."""
    recipe, seen = context.recipe, context.upstream.images
    facts = seen.images.read()
    shown = {image for images in train["images"].to_pylist() for image in images or ()}
    facts = facts.filter(pc.is_in(facts["image_id"], pa.array(sorted(shown), pa.string())))
    images = image_set(facts, seen.vectors.read_vectors())
    rules, copies, jaccard = recipe.decontaminate, recipe.dedup.image, recipe.dedup.text.jaccard
    hits = {}
    for benchmark in recipe.decontaminate.benchmarks:
        index = read_index(benchmark.index, recipe.encoder.fingerprint())
        with context.timed(f"against {benchmark.name}", train.num_rows):
            named = replace(index, name=benchmark.name)
            hits[benchmark.name] = find_hits(train, images, named, rules, copies, jaccard)
    return hits


def _decisions(
    train: pa.Table, hits: Mapping[str, Hits], config: DecontaminateConfig
) -> list[dict[str, Any]]:
    """Return one entry for each row to drop, for its first benchmark in the recipe."""
    ids = dict(zip(train["row_id"].to_pylist(), train["sample_id"].to_pylist(), strict=True))
    entries: dict[str, dict[str, Any]] = {}
    for name, of_benchmark in hits.items():
        leaks = {(leak["row_id"], leak["verdict"]): leak for leak in of_benchmark.leaks.to_pylist()}
        for row, verdict in sorted(of_benchmark.worst.items()):
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
