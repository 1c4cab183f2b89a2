"""Define `medsift quotas`, which divides a budget over cells by their learning curves."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

from ray_jobs.commands.options import RunPath, TableOrJson

if TYPE_CHECKING:
    from curation.improve.run_quotas import RunQuotas


def quotas(
    run_dir: RunPath,
    budget: Annotated[str, typer.Option("--budget", help="Size: 500 or 20%.", show_default=False)],
    cells: Annotated[
        str | None,
        typer.Option(
            "--cells",
            help="Tags that name a cell, joined by commas.",
            show_default="the run's strata",
        ),
    ] = None,
    style: Annotated[
        TableOrJson, typer.Option("--format", help="Format of the answer.")
    ] = TableOrJson.table,
) -> None:
    """Fit a learning curve to each cell of a run, and print the quotas that lower the error most.

    Where the interval of the predicted gain is not above zero it says so and prints proportional
    quotas. Nothing is stored.
    """
    from pydantic import ValidationError

    from curation.improve.run_quotas import run_quotas
    from curation.selection.budget import BudgetConfig
    from ray_jobs.cli_args import manifest_path
    from ray_jobs.commands.options import invalid
    from ray_jobs.console import ignore_broken_pipe

    try:
        size = BudgetConfig.model_validate(budget)
    except ValidationError as error:
        raise invalid("--budget", f"{budget!r} is neither a count nor a share") from error
    tags = None if cells is None else [name.strip() for name in cells.split(",")]
    result = run_quotas(manifest_path(run_dir).parent, size, cells=tags)
    with ignore_broken_pipe():
        if style is TableOrJson.json:
            answer = {"strata": result.tags, "quotas": result.quotas(), "verdict": result.verdict}
            typer.echo(json.dumps(answer, indent=2, ensure_ascii=False))
        else:
            typer.echo(_table(result))


def _table(result: RunQuotas) -> str:
    """Return the curve and the counts of each cell, the verdict, and the settings to copy."""
    made = result.curves
    lines = [("cell", "pool", "curve", "proportional", "best")]
    for place, cell in enumerate(result.cells):
        curve = made.curves[place]
        form: str = "not asked" if curve is None else curve.form
        if curve is not None and curve.form == "power":
            form = f"{curve.epsilon:.2f} + {curve.beta:.2f} n^-{curve.alpha:.2f}"
        usual, best = made.proportional[place], made.counts[place]
        lines.append((cell, f"{result.have[place]:,}", form, f"{usual:,}", f"{best:,}"))
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    table = [
        line[0].ljust(widths[0])
        + "".join(text.rjust(width + 2) for text, width in zip(line[1:], widths[1:], strict=True))
        for line in lines
    ]
    settings = json.dumps(result.quotas(), ensure_ascii=False)
    strata = json.dumps(result.tags, ensure_ascii=False)
    copied = [f"strata: {strata}", f"quotas: {settings}"]
    return "\n".join([*table, "", result.verdict, "", *copied])
