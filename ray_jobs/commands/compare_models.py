"""Define `medsift compare-models`, which compares two evaluated models on the same items."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ray_jobs.commands.options import TableOrJson

if TYPE_CHECKING:
    import pyarrow as pa


def compare_models(
    first: Annotated[
        str,
        typer.Argument(
            metavar="A", help="RUN_DIR, or RUN_DIR:NAME of an evaluation or model in it."
        ),
    ],
    second: Annotated[
        str, typer.Argument(metavar="B", help="The model to compare with, named alike.")
    ],
    margin: Annotated[
        float,
        typer.Option(
            "--margin", help="Largest loss that still counts as no worse: 0.02 is 2 points."
        ),
    ] = 0.02,
    metric: Annotated[
        str, typer.Option("--metric", help="Column to compare: score, token_f1, judge or another.")
    ] = "score",
    variant: Annotated[str, typer.Option("--variant", help="Variant to compare.")] = "original",
    style: Annotated[
        TableOrJson, typer.Option("--format", help="Format of the comparison.")
    ] = TableOrJson.table,
) -> None:
    """Compare two models item by item: difference, its interval by image, and two verdicts.

    A is no worse than B (non-inferior) when the whole 95% interval of A - B is above minus the
    margin, and better (superior) when it is above 0. State the margin before you look.
    """
    from evaluation.compare_models import compare_models as compare
    from ray_jobs.console import ignore_broken_pipe

    lines = compare(_predictions(first), _predictions(second), margin, metric, variant)
    with ignore_broken_pipe():
        if style is TableOrJson.json:
            head = {"first": first, "second": second, "margin": margin, "metric": metric}
            typer.echo(json.dumps(head | {"lines": lines}, indent=2))
        else:
            _print_table(lines)


def _predictions(named: str) -> pa.Table:
    """Return the predictions of RUN_DIR or RUN_DIR:NAME. Raises ManifestError."""
    from evaluation.manifest_io import find_evaluation
    from medsift.manifest.evaluation_queries import read_evaluation
    from ray_jobs.cli_args import manifest_path

    run_dir, _, wanted = (named, "", "") if Path(named).exists() else named.rpartition(":")
    manifest = manifest_path(Path(run_dir or named))
    evaluation = find_evaluation(manifest, wanted or None)
    ids = evaluation["run_id"], evaluation["evaluation_id"]
    return read_evaluation(manifest, *ids, "predictions")


def _print_table(lines: list[dict[str, Any]]) -> None:
    import pyarrow as pa

    from medsift.manifest import render
    from medsift.pages.number_format import with_interval

    rows = [
        {
            "benchmark": line["benchmark"],
            "answers": line["answer_type"],
            "n": line["n"],
            "images": line["clusters"],
            "A": _number(line["first"]),
            "B": _number(line["second"]),
            "A - B": with_interval(line["difference"], line["low"], line["high"], "+"),
            "no worse": line["non_inferiority"],
            "better": line["superiority"],
            "A only": line["only_first_right"],
            "B only": line["only_second_right"],
            "p": _number(line["mcnemar_p"]),
        }
        for line in lines
    ]
    render(pa.Table.from_pylist(rows), "table", sys.stdout.buffer)
    sys.stdout.buffer.flush()


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"
