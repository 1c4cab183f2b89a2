"""Define `medsift select`, which adds a selection to a finished run."""

from __future__ import annotations

from typing import Annotated

import typer

from ray_jobs.commands.options import RunPath


def select(
    run_dir: RunPath,
    name: Annotated[
        str, typer.Option("--name", help="Name of the new selection.", show_default=False)
    ],
    budget: Annotated[
        str,
        typer.Option(
            "--budget",
            help="Size: 500, 20%, 100000tokens, coverage:0.9, auto or auto:0.02.",
            show_default=False,
        ),
    ],
    method: Annotated[
        str,
        typer.Option(
            "--method",
            help="Method: facility_location, kernel_likelihood, k_center, deita, "
            "cluster_temperature, prototype_pruning, ofa, centered_gram, target, top_score, "
            "random, stratified_random or longest.",
        ),
    ] = "facility_location",
    overrides: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="A setting of the method or of the selection (quotas.kind=equal); repeatable.",
            show_default=False,
        ),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option("--seed", min=0, help="Seed of the method.", show_default="the run's"),
    ] = None,
    quality: Annotated[
        str | None,
        typer.Option(
            "--quality", help="Scorer that measures quality.", show_default="the combined one"
        ),
    ] = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Replace the selection of this name.")
    ] = False,
    ray: Annotated[
        bool, typer.Option("--ray/--local", help="Work on Ray, or in this process.")
    ] = False,
) -> None:
    """Add a selection to the newest run of a manifest; nothing is encoded or scored again.

    The budget is a number of samples, a share of the pool, a number of estimated tokens, a set just
    large enough to cover a share of the pool's neighbour graph, or, with auto, the smallest set
    that a probe shows to teach as much as all rows, within two points of accuracy or as many as
    auto:0.05 says. The probe takes minutes.
    """
    from curation.add_selection import add_selection, parse_selection
    from medsift.pages.number_format import clock
    from ray_jobs.actions.curate import executor
    from ray_jobs.cli_args import manifest_path
    from ray_jobs.heartbeat import beating
    from ray_jobs.progress_views import announced

    settings = {
        "name": name,
        "method": {"kind": method},
        "budget": budget,
        "seed": seed,
        "quality": quality,
    }
    config = parse_selection(settings, overrides or ())
    folder = manifest_path(run_dir).parent
    with (
        announced(False) as view,
        beating(folder, "select", view) as listener,
        executor(ray, None) as engine,
    ):
        added = add_selection(folder, config, replace=replace, executor=engine, listener=listener)
    selection, candidates = added.selection, added.candidates
    chosen, pool = len(selection.order), len(candidates)
    facts = {
        "selection": f"{selection.config.name} of run {added.run_id}",
        "method": selection.config.method.kind,
        "samples": f"{chosen:,} of {pool:,} ({chosen / pool:.1%})",
        "strata": f"{added.strata_covered} of {len(candidates.strata.names)}",
        "tokens": f"{selection.tokens[selection.order].sum():,} of {selection.tokens.sum():,}",
        "coverage": f"{selection.curve.coverage[-1]:.4f}",
    }
    if added.enough is not None:
        [probe] = added.enough.probe.runs.to_pylist()
        facts |= {
            "size": added.enough.explanation,
            "probe": f"{probe['probe_id']}, {clock(probe['seconds'])}",
        }
    for fact, value in facts.items():
        typer.echo(f"{fact:<10}{value}")
