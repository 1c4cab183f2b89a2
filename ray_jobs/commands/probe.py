"""Define `medsift probe`, which shows whether selections teach more than random ones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ray_jobs.commands.options import LogJson, RunPath, TableOrJson

if TYPE_CHECKING:
    from curation.probe.probe import ProbeResult


def probe(
    run_dir: RunPath,
    methods: Annotated[
        str | None,
        typer.Option(
            "--methods",
            help="Methods to compare, joined by commas.",
            show_default="facility_location, cluster_temperature, k_center, stratified_random, "
            "longest, top_score",
        ),
    ] = None,
    overrides: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="A setting of the probe (draws=40, budgets=[0.1,0.2]); repeatable.",
            show_default=False,
        ),
    ] = None,
    settings: Annotated[
        str | None,
        typer.Option(
            "--settings",
            help="YAML file with the settings of the probe, or the name of a shipped one "
            "(probe_ablation).",
            show_default=False,
        ),
    ] = None,
    against: Annotated[
        str | None,
        typer.Option(
            "--against",
            metavar="STUDY",
            help="Study of this run, by name or id: probe its arms at its budgets, and show "
            "whether probe and fine-tuning put them in the same order.",
            show_default=False,
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", help="Page to write.", show_default="probe.html in the run"),
    ] = None,
    ray: Annotated[
        bool, typer.Option("--ray/--local", help="Train on Ray, or in this process.")
    ] = False,
    style: Annotated[
        TableOrJson, typer.Option("--format", help="Format of the answer.")
    ] = TableOrJson.table,
    log_json: LogJson = False,
) -> None:
    """Train a small learner on subsets of a run's pool, and compare selections with random ones.

    It needs minutes and no GPU. Samples of the pool are asked about by probes that never saw their
    picture or patient; no held-out split of the run is read.
    """
    from curation.probe.page import write_probe_page
    from curation.probe.probe import probe as probe_run
    from curation.probe.settings import load_probe_settings
    from ray_jobs.actions.curate import executor
    from ray_jobs.cli_args import manifest_path, recipe_path
    from ray_jobs.console import ignore_broken_pipe, shown
    from ray_jobs.heartbeat import beating
    from ray_jobs.progress_views import announced
    from ray_jobs.study.agreement import compare_with_study, read_study
    from ray_jobs.study.agreement_text import agreement_text

    arms = None if methods is None else [name.strip() for name in methods.split(",")]
    file = None if settings is None else recipe_path(settings)
    folder = manifest_path(run_dir).parent
    study = None if against is None else read_study(manifest_path(run_dir), against)
    usual = None if study is None else study.probe_settings
    config = load_probe_settings(file, arms, overrides or (), usual)
    with (
        announced(log_json) as view,
        beating(folder, "probe", view) as listener,
        executor(ray, None) as engine,
    ):
        run_id = None if study is None else study.run_id
        result = probe_run(folder, config, run_id=run_id, executor=engine, listener=listener)
    page = write_probe_page(result, config, output or folder / "probe.html")
    if log_json:
        return
    agreements = [] if study is None else compare_with_study(result, study)
    with ignore_broken_pipe():
        if style is TableOrJson.json:
            compared = {"against": [one.to_dict() for one in agreements]} if agreements else {}
            typer.echo(json.dumps(result.to_dict() | compared, indent=2, ensure_ascii=False))
        else:
            typer.echo(probe_table(result, config.versus, shown(page)))
            for agreement in agreements:
                typer.echo("\n" + agreement_text(agreement))


def probe_table(result: ProbeResult, versus: str | None, page: str) -> str:
    """Return what each arm taught at each budget, the verdicts, and where everything is."""
    compared = {"random": "less random"} | ({"versus": f"less {versus}"} if versus else {})
    header = ("arm", "budget", "samples", "right", *compared.values(), "efficiency")
    cells = [header]
    for row in result.overall:
        share = row["efficiency"]
        cells.append(
            (
                row["arm"],
                f"{100 * row['budget']:g} %",
                f"{row['samples']:,.0f}",
                f"{100 * row['accuracy']:.1f} %",
                *(_gap(row, name) for name in compared),
                "" if share is None else f"{share:.2f}",
            )
        )
    widths = [max(len(line[column]) for line in cells) for column in range(len(header))]
    lines = [
        line[0].ljust(widths[0])
        + "".join(text.rjust(width + 2) for text, width in zip(line[1:], widths[1:], strict=True))
        for line in cells
    ]
    left_out = ", ".join(f"{count:,} {reason}" for reason, count in result.left_out.items())
    lines += ["", *result.verdicts.values(), ""]
    lines += [*(finding.sentence for finding in result.diagnosis), ""]
    lines.append(
        f"{'asked':<10}{result.asked:,} samples of {result.clusters:,} groups about "
        f"{len(result.classes):,} answers; left out: {left_out or 'none'}"
    )
    return "\n".join([*lines, f"{'probe':<10}{result.probe_id}", f"{'page':<10}{page}"])


def _gap(row: dict[str, Any], name: str) -> str:
    """Return a difference and its interval in points, or nothing where there is none."""
    gap, low, high = (row[f"{name}_{end}"] for end in ("difference", "low", "high"))
    return "" if low is None else f"{100 * gap:+.1f} [{100 * low:+.1f}, {100 * high:+.1f}]"
