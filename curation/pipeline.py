"""Run the stages of a recipe in order; a stage whose fingerprint is unchanged is reused."""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from curation import ledger
from curation.current_samples import count_samples, current_sql
from curation.earlier_run import earlier_outputs
from curation.joins import ids_sql, joining
from curation.ledger import Balance
from curation.mapped import scratch_folder
from curation.publish import publish
from curation.recipe import Recipe
from curation.retried import times_retried
from curation.run_dir import open_run
from curation.stage_outputs import (
    MARKER,
    StageMarker,
    StageOutputs,
    Upstream,
    files_read_later,
    read_marker,
)
from curation.stages import STAGES
from curation.stages.decontaminate import check_indexes, undecided
from curation.stages.score import check_models
from curation.stages.stage import FinishedStage, Operator, Stage, StageContext, StagesDone
from curation.unread import census_of
from curation.withdraw.withdrawn import withdrawn_fingerprint
from medsift import records
from medsift.errors import LedgerError, StorageError, UsageError
from medsift.execution import Executor
from medsift.manifest import newest_version
from medsift.progress import Listener, StageFinished, StageStarted, StageWarned, count_rows, silent
from medsift.storage.atomic import RUN_DIR
from medsift.storage.local_paths import path_of
from medsift.storage.mirror import (
    discard,
    exists,
    here,
    is_mirrored,
    location,
    publish_missing,
)
from medsift.storage.partial_names import remove_abandoned
from medsift.storage.parts import write_json
from medsift.storage.pointer import refresh
from medsift.storage.refusals import named_full_disks
from medsift.storage.run_lock import check_claim, claimed
from medsift.storage.seals import broken, make_durable, remove_others, seals, sync
from medsift.vocabulary import MANIFEST_NAME

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class RunResult:
    """The files of a run and its stages."""

    run_id: str
    run_dir: Path
    manifest: Path
    report: Path
    stages: tuple[FinishedStage, ...]
    warnings: tuple[str, ...] = ()
    """Limits of the result that people should know, also of reused stages."""

    @property
    def upstream(self) -> Upstream:
        """The tables of the stages, for example `run.upstream.dedup.groups`."""
        return Upstream([stage.outputs for stage in self.stages])


def curate(
    recipe: Recipe, run_dir: Path, executor: Executor, listener: Listener = silent
) -> RunResult:
    """Run every stage that is not already there, then write the manifest and the report.

    Args:
        recipe: The sources, rules and seed.
        run_dir: Where the run keeps its files; a directory that another process uses is refused.
        executor: How the work is spread.
        listener: Called with every event of the run; by default events are ignored.

    Raises:
        ModelError: a scorer's model cannot be loaded; before anything runs.
        UsageError: a benchmark's index cannot be compared; before anything runs.
        LedgerError: a stage's rows do not add up; or, after the manifest is written, a row has no
            fate, more rows failed than the recipe allows, or a person must decide on some.
        InputError, StorageError: as stages meet them.
    """
    started = datetime.now(UTC)
    with _run_directory(recipe, run_dir) as folder:
        refresh(folder / MANIFEST_NAME)
        if (folder / MANIFEST_NAME).exists():
            newest_version(folder / MANIFEST_NAME)  # refused now rather than after the work
        done = _run_stages(recipe, folder, executor, listener, None)
        manifest, report = publish(recipe, folder, done, started)
    if done.problem is not None:
        raise done.problem
    return RunResult(done.run_id, folder, manifest, report, done.stages, done.warnings)


def run_stages(
    recipe: Recipe,
    run_dir: Path,
    executor: Executor,
    listener: Listener = silent,
    until: str | None = None,
) -> StagesDone:
    """Run the stages of a recipe, without a manifest and without a page.

    Args:
        recipe: The sources, rules and seed.
        run_dir: Where the stages keep their tables; a directory that another process uses is
            refused.
        executor: How the work is spread.
        listener: Called with every event of the run.
        until: The last stage to run; all of them when not given.

    Raises:
        UsageError: no stage is called `until`, or as `curate`.
        LedgerError: a stage's rows do not add up. What concerns the whole run is not raised but
            returned as `problem`.
        ModelError, InputError, StorageError: as `curate`.
    """
    names = [stage.name for stage in STAGES]
    if until is not None and until not in names:
        message = f"no stage is called {until!r}; there are {', '.join(names)}"
        raise UsageError(message, code="stage_unknown", stage=until)
    with _run_directory(recipe, run_dir) as folder:
        return _run_stages(recipe, folder, executor, listener, until)


@contextmanager
def _run_directory(recipe: Recipe, run_dir: Path) -> Iterator[Path]:
    """Check what can be refused at once, then lock the run directory for this process."""
    check_models(recipe)
    check_indexes(recipe)
    for row_filter in recipe.filters:
        row_filter.fingerprint()
    folder = here(path_of(run_dir).absolute())
    with claimed(folder), named_full_disks(folder, RUN_DIR):
        # Of commands that were killed here. Stages and trainings look after their own.
        remove_abandoned(folder, but=("stages", "trainings"))
        yield folder


def _run_stages(
    recipe: Recipe, run_dir: Path, executor: Executor, listener: Listener, until: str | None
) -> StagesDone:
    finished: list[FinishedStage] = []
    waiting: LedgerError | None = None
    for stage in STAGES:
        if not stage.applies(recipe):
            continue
        done = _finish(stage, recipe, run_dir, finished, executor, listener)
        listener(StageFinished(**asdict(done.balance), seconds=done.seconds, reused=done.reused))
        finished.append(done)
        waiting = undecided(recipe, done.outputs)
        if waiting is not None or stage.name == until:
            break
    problem = _find_problem(recipe, finished) or waiting
    run_id = records.digest(recipe.fingerprint(), finished[-1].fingerprint)[:12]
    measures = [done.outputs.measures.read() for done in finished if done.stage == "embed"]
    unread = [census_of(table.to_pylist()).sentence(recipe.encoder.label) for table in measures]
    return StagesDone(run_id, tuple(finished), problem, tuple(filter(None, unread)))


def _finish(
    stage: Stage,
    recipe: Recipe,
    run_dir: Path,
    finished: Sequence[FinishedStage],
    executor: Executor,
    listener: Listener,
) -> FinishedStage:
    """Return a stage as an earlier run finished it, or run it."""
    upstream = Upstream([done.outputs for done in finished])
    outputs = planned_outputs(stage, recipe, run_dir, finished)
    folder = outputs.folder
    reused = _load(outputs)
    if reused is not None:
        return reused
    context = StageContext(
        recipe=recipe,
        run_dir=run_dir,
        folder=folder,
        outputs=outputs,
        upstream=upstream,
        executor=executor,
        begin=lambda total, unit: listener(StageStarted(stage.name, total, unit)),
        advance=count_rows(stage.name, listener),
        warn=lambda message: listener(StageWarned(stage.name, message)),
        open_run=lambda path: open_run(path).upstream,
        earlier=lambda: earlier_outputs(run_dir, stage.name),
    )
    start = time.perf_counter()
    stage.run(context)
    # Killed runs of the stage may have left unfinished files; their finished parts were used.
    for leftover in outputs.folder.rglob(".*.partial"):
        leftover.unlink(missing_ok=True)
    seconds = time.perf_counter() - start
    left = count_samples(Upstream([*upstream.values(), outputs]))
    rows_in = finished[-1].balance.kept if finished else outputs.rows.count()
    balance = ledger.measure(stage.name, rows_in, left, outputs.decisions.read(["action"]))
    ledger.check_stage(balance)
    check_claim(run_dir)
    mark_finished(outputs, balance, seconds, context.operators)
    return FinishedStage(outputs, balance, seconds, False, tuple(context.operators))


def planned_outputs(
    stage: Stage, recipe: Recipe, run_dir: Path, finished: Sequence[FinishedStage]
) -> StageOutputs:
    """Return the tables of a stage where a run of this recipe keeps them, written or not."""
    upstream = Upstream([done.outputs for done in finished])
    identity: dict[str, Any] = {
        "stage": stage.name,
        "version": stage.version,
        "settings": stage.settings(recipe, upstream),
        "upstream": finished[-1].fingerprint if finished else withdrawn_fingerprint(run_dir),
    }
    if (tries := times_retried(run_dir).get(stage.name)) is not None:
        identity["retried"] = tries
    fingerprint = records.fingerprint(identity)
    folder = run_dir / "stages" / f"{stage.name}-{fingerprint[:16]}"
    return StageOutputs(stage.name, folder, stage.outputs, fingerprint, stage.decides)


def mark_finished(
    outputs: StageOutputs, balance: Balance, seconds: float, operators: Sequence[Operator]
) -> None:
    """Write the done-marker, after all files that it lists are on the disk."""
    folder = outputs.folder
    done = StageMarker(
        fingerprint=outputs.fingerprint,
        rows_in=balance.rows_in,
        kept=balance.kept,
        dropped=balance.dropped,
        failed=balance.failed,
        seconds=seconds,
        operators=tuple((op.operator, op.seconds, op.rows) for op in operators),
        files=seals(folder, folder.rglob("*.parquet")),
    )
    try:
        folder.mkdir(parents=True, exist_ok=True)  # a stage that decided nothing wrote no file
        make_durable(folder)
        publish_missing(folder / name for name in done.files)
        write_json(done.model_dump(mode="json"), folder / MARKER)
        sync(folder / MARKER)
        sync(folder)
    except OSError as error:
        message = f"cannot finish {folder}: {error}; free some space"
        raise StorageError(message, code="disk_refused", path=str(folder)) from error


def _load(outputs: StageOutputs) -> FinishedStage | None:
    """Return the stage as an earlier run finished it, or None if it is not complete.

    A stage whose marker or files have changed since it ended is removed, and runs again.
    """
    folder = outputs.folder
    marker = folder / MARKER
    if not exists(marker):
        return None
    done = read_marker(folder)
    problem = f"{location(marker)} is damaged or of another version"
    if done is not None and done.fingerprint != outputs.fingerprint:
        problem = f"{location(marker)} is of another stage, whose fingerprint begins alike"
    elif done is not None:
        problem = broken(folder, files_read_later(outputs, done)) or ""
    if done is None or problem:
        logger.warning("%s: stage %s runs again", problem, outputs.stage)
        discard([marker])
        shutil.rmtree(folder, ignore_errors=is_mirrored(folder))
        return None
    remove_others(folder, folder.rglob("*.parquet"), done.files)
    balance = Balance(outputs.stage, done.rows_in, done.kept, done.dropped, done.failed)
    operators = tuple(Operator(*operator) for operator in done.operators)
    return FinishedStage(outputs, balance, done.seconds, True, operators)


def _find_problem(recipe: Recipe, stages: Sequence[FinishedStage]) -> LedgerError | None:
    """Return why this run does not count: rows without a fate, or too many that failed."""
    upstream = Upstream([done.outputs for done in stages])
    rows = stages[0].outputs.rows
    decisions = [part for done in stages for part in done.outputs.decisions.parts()]
    balances = [stage.balance for stage in stages]
    kept = f"({current_sql(upstream, ['row_id'])})"
    try:
        with joining(scratch_folder(stages[0].outputs) / "ledger") as db:
            ledger.check_rows(db, ids_sql(rows.parts()), kept, ids_sql(decisions))
        ledger.check_tolerance(balances, rows.count(), recipe.failures.tolerance)
    except LedgerError as problem:
        return problem
    return None
