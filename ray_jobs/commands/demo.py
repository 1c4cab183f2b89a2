"""Define `medsift demo`, which shows on phantoms what curation, selection and training do."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from medsift.errors import UsageError
from ray_jobs.commands.options import Drawers, DrawSeed, ImageCount
from ray_jobs.commands.probe import probe_table
from ray_jobs.console import resumable, shown

if TYPE_CHECKING:
    import pyarrow as pa

    from curation.pipeline import RunResult
    from curation.probe.probe import ProbeResult

# A kept row has a reason where a view or a note mentions it, because planted contradictions, leaks,
# wrong extensions, control characters and burned-in names have to be reported, not dropped. A
# sample's notes include those of its texts and pictures; a 16-bit picture's window is no defect.
FATES: Final = """
WITH this_run AS (SELECT * FROM rows WHERE run_id = '{run_id}'),
noted AS (
    SELECT DISTINCT s.row_id FROM samples s, unnest(s.notes) AS listed(note)
    WHERE s.run_id = '{run_id}' AND NOT contains(note, ' shown from ')
)
SELECT h.index AS row_index, h.action, coalesce(h.reason, CASE
    WHEN h.row_id IN (SELECT row_id FROM conflicts WHERE run_id = '{run_id}') THEN 'conflict'
    WHEN h.row_id IN (SELECT row_id FROM leaks WHERE run_id = '{run_id}') THEN 'leak'
    WHEN len(h.notes) > 0 OR h.row_id IN (SELECT row_id FROM noted) THEN 'note'
END) AS reason
FROM this_run h ORDER BY row_index
"""
SCORES: Final = """
SELECT r.index AS row_index, c.scorer, c.value
FROM scores c JOIN samples s USING (run_id, sample_id) JOIN rows r USING (run_id, row_id)
WHERE run_id = '{run_id}' AND r.action = 'kept' ORDER BY ALL
"""
SELECTIONS: Final = """
WITH reached AS (
    SELECT selection, count(*) FILTER (selected > 0) || ' of ' || count(*) AS strata
    FROM coverage WHERE run_id = '{run_id}' GROUP BY ALL
)
SELECT s.selection, s.method, s.budget, s.pool, s.selected, r.strata, s.coverage
FROM selection_settings s JOIN reached r USING (selection)
WHERE s.run_id = '{run_id}' ORDER BY s.ordinal
"""
IMAGES_PER_FLAW: Final = 8  # base images per wrong answer and per mismatched picture


def demo(
    images: ImageCount = 400,
    out: Annotated[Path, typer.Option("--out", help="Folder for data and run.")] = Path(
        "medsift-demo"
    ),
    seed: DrawSeed = 0,
    workers: Drawers = 1,
    ray: Annotated[
        bool, typer.Option("--ray/--local", help="Run on Ray, or in this process.")
    ] = True,
    probe: Annotated[
        bool,
        typer.Option("--probe/--no-probe", help="Also compare the selection with random ones."),
    ] = True,
    train: Annotated[
        bool, typer.Option("--train/--no-train", help="Also fine-tune a model and evaluate it.")
    ] = True,
) -> None:
    """Curate phantoms, compare with the truth, probe the selection, fine-tune, and evaluate.

    It ends with what it showed, line by line: the planted defects that the run dealt with, whether
    the selection teaches more than a random one, and whether fine-tuning on it helps the model
    and makes it look at the picture.
    """
    import pyarrow.parquet as pq

    from curation.phantoms import make_phantoms, rank_noise, scorecard
    from curation.recipe import load_recipe
    from ray_jobs.actions.curate import curate_and_report, shared_ray
    from ray_jobs.cli_args import recipe_path
    from ray_jobs.demo_findings import (
        compare_before_and_after,
        defects_finding,
        probe_finding,
        tuning_findings,
    )

    with resumable(), shared_ray(ray):
        name = f"phantoms-{images}-{seed}"
        data = out / "data" / name
        sys.stderr.write(f"drawing {images} phantom images in {shown(data)}\n")
        noise = images // IMAGES_PER_FLAW
        drawn = make_phantoms(
            data, images=images, seed=seed, workers=workers, wrong_answers=noise, mismatched=noise
        )
        os.environ["MEDSIFT_PHANTOMS"] = str(data.absolute())
        recipe = load_recipe(recipe_path("phantoms"), [f"runs={out}"])
        result = curate_and_report(recipe, out / name, ray=ray, log_json=False)
        truth = pq.read_table(drawn.truth)
        scores = scorecard(truth, _query(result, FATES))
        for title, table in (
            ("Found against planted", scores),
            ("Noise against scores", rank_noise(truth, _query(result, SCORES))),
            ("Selections", _query(result, SELECTIONS)),
        ):
            print_table(title, table)
        typer.echo(f"\nReport: {shown(result.report)}\n")
        findings = [defects_finding(scores)]
        if probe:
            try:
                probed, page = _probe(result.run_dir)
            except UsageError as error:
                # A few pictures are too few to ask about; the rest of the demo needs no probe.
                findings.append(f"Selection: not probed, since {error}.")
            else:
                typer.echo(probe_table(probed, None, shown(page)))
                findings.append(probe_finding(probed))
        if train:
            from medsift import recipe_yaml
            from ray_jobs.actions.tune import TuningRecipe, train_and_compare, training_of
            from ray_jobs.commands.evaluate import show_result

            tuning = recipe_yaml.load(TuningRecipe, recipe_path("tune_phantoms"))
            training = training_of(tuning, result.run_dir, [f"seed={seed}"])
            tuned = train_and_compare(tuning, training, recipe.cache_dir, ray=ray, log_json=False)
            show_result(tuned.evaluation, tuned.result)
            findings += tuning_findings(*compare_before_and_after(tuned.result))
        typer.echo("\nWhat this showed")
        for number, finding in enumerate(findings, 1):
            typer.echo(f"{number}. {finding}")


def _probe(run_dir: Path) -> tuple[ProbeResult, Path]:
    """Probe the usual selection against random ones, and write the page."""
    from curation.probe.page import write_probe_page
    from curation.probe.probe import probe
    from curation.probe.settings import load_probe_settings
    from ray_jobs.cli_args import recipe_path
    from ray_jobs.progress_views import announced

    config = load_probe_settings(recipe_path("probe_demo"))
    with announced(log_json=False) as listener:
        probed = probe(run_dir, config, listener=listener)
    return probed, write_probe_page(probed, config, run_dir / "probe.html")


def _query(result: RunResult, sql: str) -> pa.Table:
    from medsift.manifest import query

    return query(result.manifest, sql.format(run_id=result.run_id))


def print_table(title: str, rows: pa.Table) -> None:
    """Print a table on stdout, with recalls below 0.95 in yellow."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD)
    for field in rows.schema:
        table.add_column(field.name, justify="left" if field.type == "string" else "right")
    for row in rows.to_pylist():
        recall = row.get("recall")
        style = "" if recall is None or recall >= 0.95 else "yellow"
        cells = (f"{value:.3f}" if isinstance(value, float) else value for value in row.values())
        table.add_row(*("" if cell is None else str(cell) for cell in cells), style=style)
    Console(highlight=False).print(table)
