"""Define the command line `medsift`: its commands, errors and exit codes."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Annotated, Any, Final, NoReturn

import typer
from typer.exceptions import TyperException

from medsift.errors import ManifestError, MedSiftError, StorageError
from medsift.extras import missing_extra
from medsift.own_packages import put_first
from medsift.storage.local_paths import with_paths
from ray_jobs.commands.audit import audit
from ray_jobs.commands.check import check
from ray_jobs.commands.compare import compare
from ray_jobs.commands.compare_models import compare_models
from ray_jobs.commands.construct import construct
from ray_jobs.commands.curate import curate
from ray_jobs.commands.deidentify import deidentify
from ray_jobs.commands.demo import demo
from ray_jobs.commands.diff import diff
from ray_jobs.commands.doctor import doctor
from ray_jobs.commands.evaluate import evaluate
from ray_jobs.commands.export import export
from ray_jobs.commands.improve import improve
from ray_jobs.commands.index import index
from ray_jobs.commands.init import init
from ray_jobs.commands.jobs import attach, jobs, logs, status, stop
from ray_jobs.commands.merge import merge
from ray_jobs.commands.phantoms import phantoms
from ray_jobs.commands.power import power
from ray_jobs.commands.probe import probe
from ray_jobs.commands.query import query
from ray_jobs.commands.quotas import quotas
from ray_jobs.commands.remove import remove
from ray_jobs.commands.report import report
from ray_jobs.commands.rescore import rescore
from ray_jobs.commands.rollouts import rollouts
from ray_jobs.commands.select import select
from ray_jobs.commands.selector import selector
from ray_jobs.commands.slurm import slurm
from ray_jobs.commands.splits import splits
from ray_jobs.commands.stages import stages
from ray_jobs.commands.study import study
from ray_jobs.commands.submit import SUBMITTED
from ray_jobs.commands.train import train
from ray_jobs.commands.tune import tune
from ray_jobs.console import one_line, print_error, show_logs


@dataclass
class Session:
    """The options before the command."""

    debug: bool = False


app = typer.Typer(
    name="medsift",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)
submit = typer.Typer(no_args_is_help=True, help="Run a command as a job on a Ray cluster.")


def _print_version(wanted: bool) -> None:
    if not wanted:
        return
    try:
        typer.echo(f"medsift {version('medsift')}")
    except PackageNotFoundError:
        typer.echo("medsift, not installed (run from a folder of its code)")
    raise typer.Exit


@app.callback()
def medsift(
    context: typer.Context,
    debug: Annotated[
        bool, typer.Option("--debug", help="Show the full log, and the traceback of an error.")
    ] = False,
    show_version: Annotated[
        bool,
        typer.Option(
            "--version", help="Print the version.", callback=_print_version, is_eager=True
        ),
    ] = False,
) -> None:
    """Curate minimal medical image-and-text fine-tuning sets.

    Start with `medsift demo`; `medsift doctor` checks the machine.
    """
    # The doctor is for a machine on which nothing else may work.
    if context.invoked_subcommand != "doctor":
        try:
            tempfile.gettempdir()  # many stages need one
        except OSError as error:
            raise StorageError(
                f"there is no usable temporary folder ({error.strerror}); free some space there, or"
                " set TMPDIR to a folder that can be written",
                code="disk_refused",
            ) from error
    session = context.ensure_object(Session)
    session.debug = debug
    show_logs(debug)


EXAMPLES: dict[Callable[..., Any], str] = {
    init: "init data/pictures-and-questions",
    check: "check three_stages --gpu h100",
    curate: "curate vqa_rad --set failures.tolerance=0.05",
    query: 'query medsift-runs/vqa_rad "SELECT * FROM funnel"',
    report: "report medsift-runs/vqa_rad --output report.html",
    audit: "audit medsift-runs/vqa_rad --format json",
    deidentify: "deidentify dicom --output dicom-deidentified",
    export: "export medsift-runs/vqa_rad --format llava --output train.json",
    select: "select medsift-runs/vqa_rad --name small --budget 20%",
    selector: "selector medsift-runs/vqa_rad --output selector.npz",
    probe: "probe medsift-runs/vqa_rad",
    quotas: "quotas medsift-runs/vqa_rad --budget 20% --cells task_type",
    improve: "improve improve_phantoms --rounds 3",
    construct: "construct construct_phantoms --dry-run",
    compare: "compare medsift-runs/vqa_rad kept small",
    diff: "diff medsift-runs/vqa_rad",
    remove: "remove medsift-runs/vqa_rad --rows withdrawn.txt",
    phantoms: "phantoms pool --images 500 --seed 7",
    rollouts: "rollouts rollouts_phantoms --set draws=8",
    train: "train train_vqa_rad --set lora.rank=8",
    tune: "tune tune_vqa_rad",
    stages: "stages three_stages",
    merge: "merge medsift-runs/vqa_rad/trainings/ID/result --output m",
    evaluate: "evaluate --model majority --benchmark vqa_rad=data/vqa-rad",
    rescore: "rescore medsift-runs/eval --protocol medevalkit",
    compare_models: "compare-models runs/small runs/full --margin 0.03",
    study: "study study_phantoms --set margin=0.05",
    power: "power --n 451 --clusters 203 --icc 0.2 --margin 0.02",
    demo: "demo --images 400",
    splits: "splits medsift-runs/vqa_rad --level case",
    index: "index medsift-runs/slake --split test --output slake_test",
    doctor: "doctor",
    jobs: "jobs --address http://head:8265",
    status: "status medsift-runs/vqa_rad",
    logs: "logs JOB --address http://head:8265 --follow",
    stop: "stop JOB --address http://head:8265 --wait",
    slurm: "slurm vqa_rad --nodes 4 --cpus 16 --attempts 3 --output curate.sbatch",
    attach: "attach JOB --address http://head:8265",
}
ANYWHERE: Final = frozenset(("run_dir", "manifest", "run", "adapter", "result"))
"""Arguments that may name a place in a store."""
OUTPUT_ANYWHERE: Final = frozenset((audit, export, report, query, index, selector, merge))
"""Commands that write to one."""

for group, examples in ((app, EXAMPLES), (submit, SUBMITTED)):
    for function, example in examples.items():
        anywhere = ANYWHERE | {"output"} if function in OUTPUT_ANYWHERE else ANYWHERE
        group.command(epilog=f"Example: `medsift {example}`")(with_paths(function, anywhere))
app.add_typer(submit, name="submit")


@cache
def program() -> Any:
    """Return the commands as Typer runs them, built once: that takes a tenth of a second."""
    return typer.main.get_command(app)


def run(arguments: Sequence[str]) -> int:
    """Run one command line and return its exit status."""
    session = Session()
    reading = sys.modules.get("medsift.manifest.reading")
    if reading is not None:
        # Manifests that earlier commands of this process read explain no fault of this one.
        reading.opened.clear()
    try:
        put_first()
        status = program()(
            args=list(arguments), prog_name="medsift", standalone_mode=False, obj=session
        )
    except TyperException as error:
        return _refuse(error)
    except MedSiftError as error:
        print_error(one_line(error), error.code)
        if session.debug:
            raise
        return error.exit_code
    except ModuleNotFoundError as error:
        missing = missing_extra(error)
        if missing is None or session.debug:
            raise
        print_error(one_line(missing), missing.code)
        return missing.exit_code
    except Exception:  # a fault of ours is raised again, unless a foreign manifest explains it
        explanation = _explain_foreign_manifest()
        if explanation is None or session.debug:
            raise
        print_error(explanation, "manifest_invalid")
        return ManifestError.exit_code
    return status if isinstance(status, int) else 0


def _explain_foreign_manifest() -> str | None:
    """Return the fault of a manifest that the command read; None where MedSift wrote them all.

    A manifest may come from anyone: not all of its values are checked before they are used.
    """
    reading = sys.modules.get("medsift.manifest.reading")
    if reading is None:
        return None
    from medsift.manifest.faults import find_fault

    for path in reading.opened:
        fault = find_fault(path) if path.is_file() else None
        if fault is not None:
            return (
                f"{path} is not as `medsift curate` writes it, so no command can rely on it: "
                f"{fault}; curate again (--debug shows where it failed)"
            )
    return None


def _refuse(error: TyperException) -> int:
    """Print what is wrong with the arguments in one line; `medsift` alone prints its help."""
    if type(error).__name__ == "NoArgsIsHelpError":
        return error.exit_code
    context = getattr(error, "ctx", None)
    command = context.command_path if context is not None else "medsift"
    print_error(f"{error.format_message().rstrip('.')}; see {command} --help", "command_invalid")
    return error.exit_code


def main() -> NoReturn:
    """Run the console script: the command line of this process."""
    status = run(sys.argv[1:])
    engine = sys.modules.get("medsift.manifest.connections")
    if engine is not None and engine.left_behind():
        # A statement inside one long function call ends only with the process.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
    sys.exit(status)
