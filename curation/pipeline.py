"""A run: stages in order, each under its fingerprint, reused when nothing changed."""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from curation import ledger
from curation.ledger import Balance
from curation.publish import decided, publish
from curation.recipe import Recipe
from curation.stage_marker import MARKER, StageMarker, read_marker
from curation.stages import STAGES
from curation.stages.decontaminate import DecontaminateStage, check_indexes, undecided
from curation.stages.embed import EmbedStage
from curation.stages.score import check_models
from curation.stages.stage import FinishedStage, Operator, Stage, StageContext
from curation.unread import read_census
from medsift import records
from medsift.errors import LedgerError, StorageError
from medsift.execution import Executor
from medsift.manifest import newest_version
from medsift.progress import (
    Listener,
    StageAdvanced,
    StageFinished,
    StageStarted,
    StageWarned,
    silent,
)
from medsift.storage.local_paths import require_local
from medsift.storage.parts import count_rows, read_folder, write_json
from medsift.storage.run_lock import claimed
from medsift.storage.seals import broken, make_durable, seals, sync
from medsift.vocabulary import MANIFEST_NAME

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class RunResult:
    """What a run leaves behind, and how its rows fared."""

    run_id: str
    run_dir: Path
    manifest: Path
    report: Path
    stages: tuple[FinishedStage, ...]
    warnings: tuple[str, ...] = ()
    """What people should know about the result, reused stages included."""


def curate(
    recipe: Recipe, run_dir: Path, executor: Executor, listener: Listener = silent
) -> RunResult:
    """Run every stage that is not already there, then write the manifest and the report.

    Raises, before anything runs, ModelError when a scorer's model cannot be had, and UsageError or
    InputError when a benchmark's index cannot be compared; LedgerError at once when a stage's rows
    do not add up, and after the manifest is written when a row has no fate, more failed than the
    recipe tolerates, or a person must decide on some; InputError, ModelError or StorageError as
    stages meet them.
    """
    started = datetime.now(UTC)
    require_local(run_dir)
    check_models(recipe)  # refused now rather than after the work
    check_indexes(recipe)
    run_dir = run_dir.absolute()
    with claimed(run_dir):
        if (run_dir / MANIFEST_NAME).exists():
            newest_version(run_dir / MANIFEST_NAME)  # refused now rather than after the work
        stages = _run_stages(recipe, run_dir, executor, listener)
        run_id = run_identity(recipe, stages)
        problem = _verdict(recipe, stages)
        manifest, report = publish(recipe, run_dir, run_id, stages, started, problem is None)
    if problem is not None:
        raise problem
    warnings = _warnings(recipe, stages)
    return RunResult(run_id, run_dir, manifest, report, tuple(stages), warnings)


def _warnings(recipe: Recipe, stages: Sequence[FinishedStage]) -> tuple[str, ...]:
    folder = next(stage.folder for stage in stages if stage.stage == EmbedStage.name)
    unread = read_census(folder).sentence(recipe.encoder.label)
    return () if unread is None else (unread,)


def run_identity(recipe: Recipe, stages: list[FinishedStage]) -> str:
    """Id of a recipe applied to an input, as its files are now and where they are."""
    return records.digest(recipe.fingerprint(), stages[-1].fingerprint)[:12]


def _run_stages(
    recipe: Recipe, run_dir: Path, executor: Executor, listener: Listener
) -> list[FinishedStage]:
    finished: list[FinishedStage] = []
    for stage in STAGES:
        upstream = {done.stage: done.folder for done in finished}
        previous = finished[-1] if finished else None
        fingerprint = _fingerprint(stage, recipe, upstream, previous)
        folder = run_dir / "stages" / f"{stage.name}-{fingerprint[:16]}"
        done = _load(stage, folder)
        if done is None:
            rows_in = count_rows(previous.folder / "samples") if previous else None
            done = _run(stage, recipe, run_dir, folder, upstream, executor, listener, rows_in)
        listener(_event(done))
        finished.append(done)
        if _undecided(recipe, finished):
            break
    return finished


def _undecided(recipe: Recipe, stages: Sequence[FinishedStage]) -> LedgerError | None:
    """Why the run goes no further than its last stage, where a person must decide first."""
    last = stages[-1]
    return undecided(recipe, last.folder) if last.stage == DecontaminateStage.name else None


def _fingerprint(
    stage: Stage, recipe: Recipe, upstream: Mapping[str, Path], previous: FinishedStage | None
) -> str:
    return records.fingerprint(
        {
            "stage": stage.name,
            "version": stage.version,
            "settings": stage.settings(recipe, upstream),
            "upstream": previous.fingerprint if previous else None,
        }
    )


def _run(
    stage: Stage,
    recipe: Recipe,
    run_dir: Path,
    folder: Path,
    upstream: Mapping[str, Path],
    executor: Executor,
    listener: Listener,
    rows_in: int | None,
) -> FinishedStage:
    """Run a stage and mark it done; parts of an interrupted run are kept and finished."""
    context = StageContext(
        recipe=recipe,
        run_dir=run_dir,
        folder=folder,
        upstream=upstream,
        executor=executor,
        begin=lambda total, unit: listener(StageStarted(stage.name, total, unit)),
        advance=_counter(stage.name, listener),
        warn=lambda message: listener(StageWarned(stage.name, message)),
    )
    start = time.perf_counter()
    stage.run(context)
    _sweep(folder)
    seconds = time.perf_counter() - start
    entered = rows_in if rows_in is not None else count_rows(folder / "rows")
    balance = ledger.measure(stage.name, entered, folder)
    ledger.check_stage(balance)
    _mark(folder, balance, seconds, context.operators)
    fingerprint = folder.name.rpartition("-")[2]
    return FinishedStage(
        stage.name, folder, fingerprint, balance, seconds, False, tuple(context.operators)
    )


def _sweep(folder: Path) -> None:
    """Remove what killed runs of the stage left half written."""
    for leftover in folder.rglob(".*.partial"):
        leftover.unlink(missing_ok=True)


def _counter(stage: str, listener: Listener) -> Callable[[int], None]:
    done = 0

    def advance(rows: int) -> None:
        nonlocal done
        done += rows
        listener(StageAdvanced(stage, done))

    return advance


def _mark(folder: Path, balance: Balance, seconds: float, operators: list[Operator]) -> None:
    """Write the done-marker, once all that it speaks for is on the disk."""
    done = StageMarker(
        rows_in=balance.rows_in,
        kept=balance.kept,
        dropped=balance.dropped,
        failed=balance.failed,
        seconds=seconds,
        operators=tuple((op.operator, op.seconds, op.rows) for op in operators),
        files=seals(folder, folder.rglob("*.parquet")),
    )
    try:
        make_durable(folder)
        write_json(done.model_dump(mode="json"), folder / MARKER)
        sync(folder / MARKER)
        sync(folder)
    except OSError as error:
        raise StorageError(f"cannot finish {folder}: {error}; free some space") from error


def _load(stage: Stage, folder: Path) -> FinishedStage | None:
    """The stage as an earlier run left it, or None if it is not whole.

    A stage whose marker or files are not what they were when it ended is removed, to run again.
    """
    marker = folder / MARKER
    if not marker.exists():
        return None
    done = read_marker(folder)
    problem = f"{marker} is damaged or of another version"
    if done is not None:
        problem = broken(folder, done.files) or ""
    if done is None or problem:
        logger.warning("%s: stage %s runs again", problem, stage.name)
        shutil.rmtree(folder)
        return None
    balance = Balance(stage.name, done.rows_in, done.kept, done.dropped, done.failed)
    operators = tuple(Operator(*line) for line in done.operators)
    fingerprint = folder.name.rpartition("-")[2]
    return FinishedStage(stage.name, folder, fingerprint, balance, done.seconds, True, operators)


def _verdict(recipe: Recipe, stages: Sequence[FinishedStage]) -> LedgerError | None:
    """The reason why this run does not count, if there is one."""
    rows = read_folder(stages[0].folder / "rows", records.ROWS, ["row_id"])
    kept = read_folder(stages[-1].folder / "samples", records.SAMPLES, ["row_id"])
    balances = [stage.balance for stage in stages]
    try:
        ledger.check_rows(rows, kept, decided(stages))
        ledger.check_tolerance(balances, rows.num_rows, recipe.failures.tolerance)
    except LedgerError as problem:
        return problem
    return _undecided(recipe, stages)


def _event(done: FinishedStage) -> StageFinished:
    balance = done.balance
    return StageFinished(
        stage=done.stage,
        rows_in=balance.rows_in,
        kept=balance.kept,
        dropped=balance.dropped,
        failed=balance.failed,
        seconds=done.seconds,
        reused=done.reused,
    )
