"""`medsift rescore`: stored replies scored again, without a model."""

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
            help="An evaluation's id or its beginning, or a model's name.",
            show_default="all of the run",
        ),
    ] = None,
    protocol: Annotated[
        str | None,
        typer.Option(
            "--protocol",
            help="strict, medevalkit or llava-med.",
            show_default="the one it was scored by",
        ),
    ] = None,
    save: Annotated[
        bool, typer.Option("--save", help="Put the new scores in place of the old ones.")
    ] = False,
) -> None:
    """Score stored replies again and print the table; nothing is asked, and no model is loaded.

    Without --save the manifest stays as it is.
    """
    import pyarrow as pa

    from evaluation.manifest_io import Home, store
    from evaluation.rescore import rescore as score_again
    from evaluation.rescore import rescore_all
    from ray_jobs.actions.evaluate import write_page
    from ray_jobs.cli_args import manifest_path
    from ray_jobs.commands.evaluate import print_tables
    from ray_jobs.console import closed_pipe_is_fine

    manifest = manifest_path(run_dir)
    if evaluation is None:
        found = rescore_all(manifest, protocol)
    else:
        found = [score_again(manifest, evaluation, protocol)]
    tables = {name: pa.concat_tables(one.tables[name] for one in found) for name in found[0].tables}
    with closed_pipe_is_fine():
        print_tables(tables["evaluations"], tables["metrics"])
    if save:
        store(Home(found[0].run_id, manifest.parent, manifest), tables)
        write_page(manifest, found[0].run_id)
