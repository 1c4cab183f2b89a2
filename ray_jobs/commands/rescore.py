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
            show_default="the only one",
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
    from evaluation.rescore import rescore as score_again
    from evaluation.stored import Home, store
    from ray_jobs.commands.evaluate import print_tables
    from ray_jobs.console import closed_pipe_is_fine
    from ray_jobs.evaluating import write_page
    from ray_jobs.names import manifest_path

    manifest = manifest_path(run_dir)
    found = score_again(manifest, evaluation, protocol)
    with closed_pipe_is_fine():
        print_tables(found.lines, found.metrics)
    if save:
        store(Home(found.run_id, manifest.parent, manifest), found.tables)
        write_page(manifest, found.run_id)
