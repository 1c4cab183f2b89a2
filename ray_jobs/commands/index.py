"""`medsift index`: a finished run of a benchmark becomes an index that others can use."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def index(
    run_dir: Annotated[Path, typer.Argument(metavar="RUN_DIR", help="A run of the benchmark.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of the index.")],
    name: Annotated[str | None, typer.Option("--name", help="Name of the benchmark.")] = None,
    split: Annotated[
        str | None,
        typer.Option("--split", help="Only this split.", show_default="all samples"),
    ] = None,
    thumbs: Annotated[
        bool,
        typer.Option(
            "--miniatures/--no-miniatures",
            help="Keep 64 × 64 grey miniatures, by which copies are confirmed.",
        ),
    ] = True,
) -> None:
    """Index a benchmark so that `decontaminate` can keep it out of training.

    The index holds hashes, vectors and miniatures: no picture and no text. Curate the benchmark
    with the encoder of your pool first; nothing that dedup dropped is left out here.
    """
    import pyarrow.compute as pc

    from curation.current_samples import read_samples
    from curation.decontaminate import build_index, write_index
    from curation.run_dir import open_run
    from medsift.reorder import sorted_rows

    run = open_run(run_dir)
    upstream = run.upstream.through("images")
    samples = read_samples(upstream)
    if split is not None:
        samples = samples.filter(pc.equal(samples["split"], split))
    made = build_index(
        name or run.recipe.name,
        sorted_rows(samples, ["row_id"]),
        upstream.images.images.read(),
        upstream.images.vectors.read_vectors(),
        run.recipe.encoder.fingerprint(),
        gram=run.recipe.decontaminate.gram,
        thumbs=thumbs,
    )
    write_index(made, output)
    typer.echo(f"{made.items.num_rows:,} items and {made.images.num_rows:,} images in {output}")
