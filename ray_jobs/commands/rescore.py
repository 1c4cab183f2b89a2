"""Define `medsift rescore`, which scores stored replies again without a model."""

from __future__ import annotations

from typing import Annotated

import typer

from ray_jobs.commands.options import RunPath


def rescore(
    run_dir: RunPath,
    evaluation: Annotated[
        str | None,
        typer.Option(
            "--evaluation",
            help="Id of an evaluation or its beginning, or name of a model.",
            show_default="all of the run",
        ),
    ] = None,
    protocol: Annotated[
        str | None,
        typer.Option(
            "--protocol",
            help="Scoring rules: strict, medevalkit or llava-med.",
            show_default="as it was scored",
        ),
    ] = None,
    save: Annotated[bool, typer.Option("--save", help="Replace the stored scores.")] = False,
) -> None:
    """Score stored replies again and print the table, without loading or asking a model.

    Without --save the manifest stays unchanged.
    """
    import pyarrow as pa

    from evaluation.rescore import rescore as score_again
    from medsift.manifest import append_tables
    from ray_jobs.actions.evaluate import write_page
    from ray_jobs.cli_args import manifest_path
    from ray_jobs.commands.evaluate import print_tables
    from ray_jobs.console import ignore_broken_pipe

    manifest = manifest_path(run_dir)
    rescored = score_again(manifest, evaluation, protocol)
    tables = {
        name: pa.concat_tables(model.tables[name] for model in rescored)
        for name in rescored[0].tables
    }
    with ignore_broken_pipe():
        print_tables(tables["evaluations"], tables["metrics"])
    if save:
        append_tables(manifest, rescored[0].run_id, tables)
        write_page(manifest, rescored[0].run_id)
