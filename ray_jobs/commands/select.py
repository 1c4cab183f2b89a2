"""`medsift select`: a further selection of a finished run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from ray_jobs.commands.options import RunPath

if TYPE_CHECKING:
    from curation.add_selection import Added


def select(
    run_dir: RunPath,
    name: Annotated[str, typer.Option("--name", help="Name of the selection.", show_default=False)],
    budget: Annotated[
        str,
        typer.Option(
            "--budget", help="500, 20%, 100000tokens, auto or auto:0.9.", show_default=False
        ),
    ],
    method: Annotated[
        str,
        typer.Option(
            "--method",
            help="facility_location, k_center, deita, cluster_temperature, prototype_pruning, "
            "target, top_score, random, stratified_random or longest.",
        ),
    ] = "facility_location",
    overrides: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="A setting of the method, or of the selection (quotas.kind=equal); repeatable.",
            show_default=False,
        ),
    ] = None,
    seed: Annotated[
        int | None, typer.Option("--seed", min=0, help="Seed.", show_default="the run's")
    ] = None,
    quality: Annotated[
        str | None,
        typer.Option("--quality", help="Scorer to go by.", show_default="the combined one"),
    ] = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Replace a selection of this name.")
    ] = False,
) -> None:
    """Add a selection to the newest run of a manifest, without encoding or scoring anything again.

    Budget: samples, a share of the pool, estimated tokens, or a set just large enough to cover a
    share of the pool's neighbour graph.
    """
    from curation.add_selection import add_selection, parse_selection
    from ray_jobs.cli_args import manifest_path

    settings = {
        "name": name,
        "method": {"kind": method},
        "budget": budget,
        "seed": seed,
        "quality": quality,
    }
    config = parse_selection(settings, overrides or ())
    typer.echo(_table(add_selection(manifest_path(run_dir).parent, config, replace=replace)))


def _table(added: Added) -> str:
    """What was selected, one fact a line."""
    found, candidates = added.selection, added.candidates
    chosen, pool = len(found.order), len(candidates)
    lines = {
        "selection": f"{found.config.name} of run {added.run_id}",
        "method": found.config.method.kind,
        "samples": f"{chosen:,} of {pool:,} ({chosen / pool:.1%})",
        "strata": f"{added.strata_covered} of {len(candidates.strata.names)}",
        "tokens": f"{found.tokens[found.order].sum():,} of {found.tokens.sum():,}",
        "coverage": f"{found.curve.coverage[-1]:.4f}",
    }
    return "\n".join(f"{name:<10}{value}" for name, value in lines.items())
