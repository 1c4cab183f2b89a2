"""Run a training from its recipe to its result: in this process, or as one worker of several."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from medsift.errors import MedSiftError, UsageError
from medsift.progress import TrainingBegun, TrainingEvent, silent
from medsift.storage.parts import write_table
from medsift.storage.run_lock import claimed
from training.dataset.encode_dataset import ledger
from training.dataset.samples import gather
from training.loop.checkpoint import CheckpointStore, FolderCheckpointStore
from training.loop.distributed import Communicator, SingleProcess
from training.loop.logs import Journal
from training.loop.loop import Stream, train
from training.prepare import Prepared, prepare
from training.recipe import TrainingRecipe
from training.results import manifest_io
from training.results.lineage import lineage_of, notes_of
from training.results.output_dir import has_result, renew_card, result_weights, write_result
from training.training_id import CHECKPOINTS, RESULT, Training, open_training

if TYPE_CHECKING:
    import pyarrow as pa

Listener = Callable[[TrainingEvent], None]


@dataclass(frozen=True, slots=True)
class Trained:
    """A training with its result; `reused` where the result existed already."""

    training: Training
    reused: bool


def train_here(recipe: TrainingRecipe, listener: Listener = silent) -> Trained:
    """Train in this process, and write result and manifest; an existing result is reused.

    A recipe of several workers takes the same steps here as on Ray. Killed and started again, a
    training continues from its newest checkpoint.

    Raises:
        UsageError: checkpoints would be remote, or another process runs this training.
        LedgerError: samples may be in a benchmark; see `check_contamination`.
        MedSiftError: as `prepare` and `train` do.
    """
    training = open_training(recipe)
    if training.remote:
        message = (
            f"checkpoints.storage {training.storage} is a URL, which trainings on Ray alone write "
            "to; train with --ray, or name a folder"
        )
        raise UsageError(message, code="path_not_local", path=training.storage)

    def fit(started: datetime) -> Sequence[manifest_io.KeptCheckpoint]:
        folder = training.folder / CHECKPOINTS
        store = FolderCheckpointStore(folder, recipe.checkpoints.keep)
        run_worker(training, store, SingleProcess(), training.folder, listener, started)
        return manifest_io.list_kept(folder)

    return train_and_store(training, fit)


def train_and_store(
    training: Training, fit: Callable[[datetime], Sequence[manifest_io.KeptCheckpoint]]
) -> Trained:
    """Train by `fit`, which writes curves and result into the training's folder, and store it all.

    An existing result is not made again. A training that a MedSiftError ends is stored as failed.
    Raises UsageError when another process runs the same training, or what `fit` does.
    """
    with claimed(training.folder, what="training"):
        # Asked under the claim, so that no other process is just about to finish it.
        if has_result(training):
            # Checkpoints in an object store were listed when the training ended.
            folder = training.folder / CHECKPOINTS
            local = None if training.remote else manifest_io.list_kept(folder)
            manifest_io.store_finished(training, local)
            renew_card(training)
            return Trained(training, reused=True)
        started = now()
        try:
            kept = fit(started)
        # A killed process or a fault of ours stores nothing: the training may simply be resumed.
        except MedSiftError:
            manifest_io.store_failed(training, started)
            raise
        manifest_io.store_finished(training, kept)
        return Trained(training, reused=False)


def run_worker(
    training: Training,
    store: CheckpointStore,
    communicator: Communicator,
    folder: Path,
    listener: Listener,
    started: datetime,
    ready: Callable[[Prepared], None] | None = None,
    stream: Stream | None = None,
    rows: Iterable[pa.Table] | None = None,
) -> None:
    """Do one worker's part of a training; the first worker writes curves, drops and result.

    Args:
        training: what is trained.
        store: where checkpoints are kept.
        communicator: connects the workers.
        folder: where the first worker writes.
        listener: receives the start and every logged step, on the first worker.
        started: when the training began, UTC.
        ready: changes the model before its first step, where given.
        stream: decodes the pictures; None is threads of this process.
        rows: what the training reads of the manifest; None reads the manifest.

    Raises:
        MedSiftError: as `prepare` and `train` do.
    """
    selected = None if rows is None else gather(training.run_id, training.selection, rows)
    with closing(prepare(training.recipe, training.verdict.left_out, selected)) as prepared:
        if ready is not None:
            ready(prepared)

        def open_journal(resumed: int) -> Journal:
            """Open the curves once it is known where the training continues from."""
            write_table(ledger(prepared.dropped), folder / manifest_io.DROPS)
            held_out = prepared.held_out
            listener(
                TrainingBegun(
                    training_id=training.training_id,
                    trained_on=len(prepared.training.encodings.samples),
                    dropped=len(prepared.dropped),
                    held_out=len(held_out.encodings.samples) if held_out else 0,
                    steps=prepared.training.plan.steps,
                    resumed_step=resumed,
                    example=prepared.example,
                    notes=tuple(notes_of(training.verdict, prepared)),
                )
            )
            return Journal(folder, prepared.recipe.log, training.training_id, resumed)

        first = communicator.rank == 0
        journal, watch = (open_journal, listener) if first else (None, None)
        outcome = train(prepared, store, journal, communicator, watch, stream)
        weights = result_weights(prepared.model, keep=first)
        if first:
            workers = communicator.world_size
            lineage = lineage_of(training, prepared, outcome, workers, started, now())
            write_result(prepared, weights, lineage, folder / RESULT)


def now() -> datetime:
    """Return the time in UTC, without a time zone, as the manifest stores it."""
    return datetime.now(UTC).replace(tzinfo=None)
