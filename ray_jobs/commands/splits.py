"""Define `medsift splits`, which reports what splits share and offers splits that share nothing."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ray_jobs.commands.options import invalid

if TYPE_CHECKING:
    import pyarrow as pa

    from curation.splits import SplitLeak, SplitsConfig


def splits(
    run_dir: Annotated[
        Path, typer.Argument(metavar="RUN_DIR", help="Directory of a finished run.")
    ],
    level: Annotated[
        str | None,
        typer.Option(
            "--level",
            help="What no split may cut: image, case or patient.",
            show_default="those that have ids",
        ),
    ] = None,
    shares: Annotated[
        str, typer.Option("--shares", help="Shares of the samples, as NAME=SHARE,….")
    ] = "train=0.8,validation=0.1,test=0.1",
    seed: Annotated[
        int, typer.Option("--seed", min=0, help="Seed: the same seed gives the same splits.")
    ] = 0,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", help="Parquet file to write, with the split of each sample."
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Report what the splits of a run share, and offer splits that cut no picture or patient.

    Set `splits.assign` in a recipe to curate with such a split.
    """
    import pyarrow as pa

    from curation.current_samples import read_samples
    from curation.pool import stratum_names
    from curation.run_dir import open_run
    from curation.splits import check_splits, known_levels
    from curation.stages.split import slice_groups
    from medsift.leakage_groups import LEVELS, components
    from medsift.split_assignment import assign_splits
    from medsift.storage.parts import write_table

    if level is not None and level not in LEVELS:
        raise invalid("--level", f"{level!r} is not one of {', '.join(LEVELS)}")
    if output is not None and level is None:
        raise invalid("--output", "needs one --level: image, case or patient")
    run = open_run(run_dir)
    given = read_samples(run.upstream.through("images"))
    kept = read_samples(run.upstream.through("dedup"))
    copies = run.upstream.dedup.groups.read()
    groups, _ = slice_groups(given, copies, run.recipe, run.upstream.images)
    leaks = check_splits(given, groups)
    wanted = _parse_shares(shares).shares
    known = [tag for tag in run.recipe.strata if kept[tag].null_count < kept.num_rows]
    strata, ids = stratum_names(kept, known), kept["sample_id"].to_pylist()
    offered: dict[str, list[str]] = {
        name: assign_splits(ids, components(kept, groups, name), strata, wanted, seed)
        for name in (known_levels(kept) if level is None else LEVELS)
        if level in (None, name)
    }
    if output is not None and level is not None:
        table = kept.select(["sample_id", "row_id"])
        split = pa.array(offered[level], pa.string())
        write_table(table.append_column("split", split), output)
    sizes = {name: _sizes(kept, split) for name, split in offered.items()}
    if as_json:
        typer.echo(json.dumps({"given": [asdict(leak) for leak in leaks], "offered": sizes}))
    else:
        _print(leaks, sizes)


def _parse_shares(shares: str) -> SplitsConfig:
    """Return the settings of --shares. Raises UsageError."""
    from pydantic import ValidationError

    from curation.splits import SplitsConfig

    try:
        named = dict(part.split("=", 1) for part in shares.split(","))
        return SplitsConfig(shares={name.strip(): float(share) for name, share in named.items()})
    except ValidationError as error:
        raise invalid("--shares", f"{shares}: {error.errors()[0]['msg']}") from error
    except ValueError as error:
        raise invalid("--shares", f"{shares!r} is not of the form train=0.8,test=0.2") from error


def _sizes(samples: pa.Table, split: list[str]) -> dict[str, dict[str, int]]:
    """Return the number of samples and of images in each split."""
    images: dict[str, set[str]] = {name: set() for name in split}
    for name, of_sample in zip(split, samples["images"].to_pylist(), strict=True):
        images[name].update(of_sample or ())
    counts = Counter(split)
    return {name: {"samples": counts[name], "images": len(images[name])} for name in sorted(counts)}


def _print(leaks: list[SplitLeak], sizes: dict[str, dict[str, dict[str, int]]]) -> None:
    for leak in leaks:
        words = {"image": "an image", "case": "a case", "patient": "a patient"}[leak.level]
        typer.echo(
            f"given split: {leak.leaked_images:,} of {leak.images:,} {leak.held_out} images and "
            f"{leak.leaked_samples:,} of {leak.samples:,} samples share {words} with {leak.split}"
        )
    if not leaks:
        typer.echo("given split: all samples are in one split")
    for level, counts in sizes.items():
        parts = (
            f"{name} {size['samples']:,} samples on {size['images']:,} images"
            for name, size in counts.items()
        )
        typer.echo(f"{level}-disjoint: " + ", ".join(parts))
