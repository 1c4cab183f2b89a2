"""`medsift compare-models`: two evaluated models on the same items."""

from __future__ import annotations

import json
import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    import pyarrow as pa

    from evaluation.compare_models import ComparedModels


class Format(StrEnum):
    """How a comparison is written."""

    table = "table"
    json = "json"


def compare_models(
    first: Annotated[
        str,
        typer.Argument(
            metavar="A", help="RUN_DIR, or RUN_DIR:NAME of an evaluation or model in it."
        ),
    ],
    second: Annotated[str, typer.Argument(metavar="B", help="The model it is held against.")],
    margin: Annotated[
        float,
        typer.Option("--margin", help="How much worse still counts as no worse: 0.02, 2 points."),
    ] = 0.02,
    metric: Annotated[
        str, typer.Option("--metric", help="score, token_f1, judge or another column.")
    ] = "score",
    variant: Annotated[
        str, typer.Option("--variant", help="Which variant is compared.")
    ] = "original",
    style: Annotated[
        Format, typer.Option("--format", help="How the comparison is written.")
    ] = Format.table,
) -> None:
    """Compare two models item by item: difference, its interval by image, and two verdicts.

    A is no worse than B (non-inferior) when the whole 95% interval of A - B lies above minus the
    margin, which should be stated before anyone looks; better (superior) when it lies above 0.
    """
    from evaluation.compare_models import compare_models as compare
    from ray_jobs.console import closed_pipe_is_fine

    found = compare(_predictions(first), _predictions(second), margin, metric, variant)
    with closed_pipe_is_fine():
        if style is Format.json:
            lines = [one.line() for one in found]
            head = {"first": first, "second": second, "margin": margin, "metric": metric}
            typer.echo(json.dumps(head | {"lines": lines}, indent=2))
        else:
            _print(found)


def _predictions(named: str) -> pa.Table:
    """The predictions that RUN_DIR or RUN_DIR:NAME means. Raises ManifestError."""
    from evaluation.manifest_io import find_evaluation, read_evaluation
    from ray_jobs.cli_args import manifest_path

    place, _, wanted = (named, "", "") if Path(named).exists() else named.rpartition(":")
    manifest = manifest_path(Path(place or named))
    found = find_evaluation(manifest, wanted or None)
    return read_evaluation(manifest, found["run_id"], found["evaluation_id"], "predictions")


def _print(found: list[ComparedModels]) -> None:
    import pyarrow as pa

    from medsift.manifest import render

    rows = [
        {
            "benchmark": line["benchmark"],
            "answers": line["answer_type"],
            "n": line["n"],
            "images": line["clusters"],
            "A": _number(line["first"]),
            "B": _number(line["second"]),
            "A - B": _interval(line["difference"], line["low"], line["high"]),
            "no worse": line["non_inferiority"],
            "better": line["superiority"],
            "A only": line["only_first_right"],
            "B only": line["only_second_right"],
            "p": _number(line["mcnemar_p"]),
        }
        for line in (one.line() for one in found)
    ]
    render(pa.Table.from_pylist(rows), "table", sys.stdout.buffer)
    sys.stdout.buffer.flush()


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _interval(value: float | None, low: float | None, high: float | None) -> str:
    if value is None or low is None or high is None:
        return "–" if value is None else f"{value:+.3f}"
    return f"{value:+.3f} [{low:+.3f}, {high:+.3f}]"
