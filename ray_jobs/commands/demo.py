"""`medsift demo`: draw phantoms, curate them, and hold the result against what was planted."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from ray_jobs.commands.curate import RESUME

if TYPE_CHECKING:
    import pyarrow as pa

# A kept row carries a flag where a view or a note speaks of it: planted contradictions, leaks,
# wrong extensions, control characters and burned-in names are to be seen, not to be dropped.
# A sample's notes hold those of its texts and pictures; the window through which a 16-bit picture
# is shown is no defect.
FATES: Final = """
WITH here AS (SELECT * FROM rows WHERE run_id = '{run_id}'),
noted AS (
    SELECT DISTINCT s.row_id FROM samples s, unnest(s.notes) AS found(note)
    WHERE s.run_id = '{run_id}' AND NOT contains(note, ' shown from ')
)
SELECT h.index AS row_index, h.action, coalesce(h.reason, CASE
    WHEN h.row_id IN (SELECT row_id FROM conflicts WHERE run_id = '{run_id}') THEN 'conflict'
    WHEN h.row_id IN (SELECT row_id FROM leaks WHERE run_id = '{run_id}') THEN 'leak'
    WHEN len(h.notes) > 0 OR h.row_id IN (SELECT row_id FROM noted) THEN 'note'
END) AS reason
FROM here h ORDER BY row_index
"""


def demo(
    images: Annotated[int, typer.Option("--images", min=16, help="Base images to draw.")] = 400,
    out: Annotated[Path, typer.Option("--out", help="Folder for data and run.")] = Path(
        "medsift-demo"
    ),
    seed: Annotated[int, typer.Option("--seed", min=0, help="Same seed, same data.")] = 0,
    workers: Annotated[int, typer.Option("--workers", min=1, help="Drawing processes.")] = 1,
    ray: Annotated[
        bool, typer.Option("--ray/--local", help="Run on Ray, or in this process.")
    ] = True,
) -> None:
    """Curate phantoms from end to end, and print what was found beside what was planted."""
    try:
        _demo(images, out, seed, workers, ray)
    except KeyboardInterrupt:
        sys.stderr.write(f"{RESUME}\n")
        raise typer.Exit(130) from None


def _demo(images: int, out: Path, seed: int, workers: int, ray: bool) -> None:
    import pyarrow.parquet as pq

    from curation.manifest import query
    from curation.phantoms import make_phantoms, scorecard
    from curation.recipe import load_recipe
    from ray_jobs.console import shown
    from ray_jobs.names import recipe_path
    from ray_jobs.running import run

    name = f"phantoms-{images}-{seed}"
    data = out / "data" / name
    sys.stderr.write(f"drawing {images} phantom images in {shown(data)}\n")
    drawn = make_phantoms(data, images=images, seed=seed, workers=workers)
    os.environ["MEDSIFT_PHANTOMS"] = str(data.absolute())
    recipe = load_recipe(recipe_path("phantoms"), [f"runs={out}"])
    result = run(recipe, out / name, ray=ray, log_json=False)
    fate = query(result.manifest, FATES.format(run_id=result.run_id))
    print_scorecard(scorecard(pq.read_table(drawn.truth), fate))
    typer.echo(f"\nReport: {shown(result.report)}")


def print_scorecard(card: pa.Table) -> None:
    """Print the table of found against planted on stdout."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(title="Found against planted", title_justify="left", box=box.SIMPLE_HEAD)
    for column in card.column_names:
        table.add_column(column, justify="left" if column in ("kind", "expected") else "right")
    for line in card.to_pylist():
        style = "" if line["recall"] is None or line["recall"] >= 0.95 else "yellow"
        table.add_row(*(_cell(value) for value in line.values()), style=style)
    Console(highlight=False).print(table)


def _cell(value: object) -> str:
    if value is None:
        return ""
    return f"{value:.3f}" if isinstance(value, float) else f"{value}"
