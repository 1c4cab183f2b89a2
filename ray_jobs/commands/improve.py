"""Define `medsift improve`, which moves quotas by what a learner gets wrong, round by round."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

from ray_jobs.commands.options import LogJson, Overrides, RecipeFile, TableOrJson
from ray_jobs.console import ignore_broken_pipe, resumable

if TYPE_CHECKING:
    from curation.improve.improve import ImproveResult


def improve(
    recipe: RecipeFile,
    rounds: Annotated[
        int | None,
        typer.Option(
            "--rounds", min=1, max=20, help="Rounds of the loop.", show_default="as the recipe says"
        ),
    ] = None,
    overrides: Overrides = None,
    ray: Annotated[
        bool, typer.Option("--ray/--local", help="Train on Ray, or in this process.")
    ] = False,
    style: Annotated[
        TableOrJson, typer.Option("--format", help="Format of the answer.")
    ] = TableOrJson.table,
    log_json: LogJson = False,
) -> None:
    """Select, train, look at the errors on validation data, move the quotas, and select again.

    Four arms have one budget: proportional, equal and one-shot quotas, and the loop. Test data are
    looked at once, after the last round. The trainer is the probe, or fine-tuning when the recipe
    says so.
    """
    from medsift import recipe_yaml
    from ray_jobs.cli_args import recipe_path
    from ray_jobs.improve.improve import improve as run_improve
    from ray_jobs.improve.recipe import ImproveRecipe
    from ray_jobs.progress_views import announced

    changes = [*(overrides or ()), *([] if rounds is None else [f"rounds={rounds}"])]
    loaded = recipe_yaml.load(ImproveRecipe, recipe_path(recipe), changes)
    with resumable(), announced(log_json) as listener:
        result = run_improve(loaded, ray, listener)
    if log_json:
        return
    with ignore_broken_pipe():
        if style is TableOrJson.json:
            typer.echo(json.dumps(result.to_dict(), indent=2, ensure_ascii=False))
        else:
            typer.echo(_table(result))


def _table(result: ImproveResult) -> str:
    """Return each selection's figures, what changed in cells, and the verdict."""
    cells = [("selection", "samples", "by failure", "validation", "test", "less proportional")]
    for row in result.rounds.to_pylist():
        gap, low, high = (row[f"test_difference{end}"] for end in ("", "_low", "_high"))
        tested = row["test_accuracy"]
        cells.append(
            (
                row["arm"] + (f" {row['round']}" if row["round"] else ""),
                f"{row['samples']:,}",
                f"{row['by_failure']:,}",
                _share(row["accuracy"], row["low"], row["high"]),
                "" if tested is None else f"{100 * tested:.1f} %",
                "" if low is None else f"{100 * gap:+.1f} [{100 * low:+.1f}, {100 * high:+.1f}]",
            )
        )
    widths = [max(len(line[column]) for line in cells) for column in range(len(cells[0]))]
    lines = [
        line[0].ljust(widths[0])
        + "".join(text.rjust(width + 2) for text, width in zip(line[1:], widths[1:], strict=True))
        for line in cells
    ]
    changes = result.changes or ["No round changes the error of a cell beyond chance (Holm)."]
    facts = result.facts
    return "\n".join(
        [
            *(line.rstrip() for line in lines),
            "",
            *changes,
            result.verdict,
            "",
            f"{'improve':<12}{result.improve_id}, trainer {facts['trainer']}",
            f"{'left out':<12}{facts['left_out']:,} samples that share a group with test data",
            f"{'manifest':<12}{result.manifest}",
        ]
    )


def _share(value: float, low: float | None, high: float | None) -> str:
    """Return a share in per cent; samples of a single group give it no interval."""
    interval = "" if low is None or high is None else f" [{100 * low:.1f}, {100 * high:.1f}]"
    return f"{100 * value:.1f} %{interval}"
