"""Define `medsift index`, which makes a benchmark index of a finished run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def index(
    run_dir: Annotated[
        Path, typer.Argument(metavar="RUN_DIR", help="Run directory of the curated benchmark.")
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder to write the index to.")],
    name: Annotated[
        str | None, typer.Option("--name", help="Name of the benchmark.", show_default="the run's")
    ] = None,
    split: Annotated[
        str | None, typer.Option("--split", help="Split to index.", show_default="all samples")
    ] = None,
    thumbs: Annotated[
        bool,
        typer.Option(
            "--miniatures/--no-miniatures",
            help="Store 64 × 64 grey miniatures, which confirm copies.",
        ),
    ] = True,
) -> None:
    """Index a benchmark so that `decontaminate` can keep it out of training.

    The index has hashes, vectors and miniatures, but no picture and no text. Curate the benchmark
    with the encoder of your pool first. Samples that dedup dropped are indexed as well.
    """
    import pyarrow.compute as pc

    from curation.current_samples import read_samples
    from curation.decontaminate import build_index, write_index
    from curation.run_dir import open_run
    from medsift.reorder import sorted_rows
    from ray_jobs.console import shown

    run = open_run(run_dir)
    upstream = run.upstream.through("images")
    samples = read_samples(upstream)
    if split is not None:
        samples = samples.filter(pc.equal(samples["split"], split))
    built = build_index(
        name or run.recipe.name,
        sorted_rows(samples, ["row_id"]),
        upstream.images.images.read(),
        upstream.images.vectors.read_vectors(),
        run.recipe.encoder.fingerprint(),
        gram=run.recipe.decontaminate.ngram_words,
        thumbs=thumbs,
    )
    write_index(built, output)
    items, images = built.items.num_rows, built.images.num_rows
    typer.echo(f"{items:,} items and {images:,} images in {shown(output)}")
