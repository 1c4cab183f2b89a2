"""Run a training from its recipe to its result: in this process, or as one worker of several."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from medsift.errors import MedSiftError
from medsift.progress import TrainingBegun, TrainingEvent, silent
from medsift.storage.parts import write_table
from medsift.storage.run_lock import claimed
from training.dataset.encode_dataset import ledger
from training.dataset.samples import gather
from training.dataset.shared_tokens import SharedTokens
from training.loop.checkpoint import CheckpointStore, FolderCheckpointStore
from training.loop.distributed import Communicator, SingleProcess
from training.loop.logs import (
    DETAILS,
    POLICY,
    PREFERENCE,
    STEPS,
    Journal,
    fetch_curves,
    publish_curves,
    read_lines,
)
from training.loop.loop import Stream, train
from training.loop.memory import check_memory, estimate_memory, measured_memory
from training.loop.throughput import peak_memory_mb
from training.policy.verdict import margin_of, verdict_of
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
        UsageError: the storage cannot be written to, or another process runs this training.
        LedgerError: samples may be in a benchmark; see `check_contamination`.
        MedSiftError: as `prepare` and `train` do.
    """
    training = open_training(recipe)
    store = checkpoint_store(training)

    def fit(started: datetime) -> Sequence[manifest_io.KeptCheckpoint]:
        run_worker(training, store, SingleProcess(), training.folder, listener, started)
        publish_curves(training.folder)
        return manifest_io.list_kept(store.folder)

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
            fetch_curves(training.folder)
            manifest_io.store_finished(training, manifest_io.list_kept(training.home / CHECKPOINTS))
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


def checkpoint_store(training: Training) -> FolderCheckpointStore:
    """Return where a training of one process keeps its checkpoints."""
    folder, curves = training.home / CHECKPOINTS, training.folder
    return FolderCheckpointStore(folder, training.recipe.checkpoints.keep, curves=curves)


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
    tokens: SharedTokens | None = None,
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
        tokens: where the workers share their tokens; None tokenises in this process.

    Raises:
        MedSiftError: as `prepare` and `train` do.
    """
    selected = None if rows is None else gather(training.run_id, training.selection, rows)
    left_out = training.verdict.left_out
    with closing(prepare(training.recipe, left_out, selected, tokens)) as prepared:
        if ready is not None:
            ready(prepared)
        memory, before = estimate_memory(prepared), peak_memory_mb(prepared.base.device)
        scarce = check_memory(memory)

        def open_journal(resumed: int) -> Journal:
            """Open the curves once it is known where the training continues from."""
            write_table(ledger(prepared.dropped), folder / manifest_io.DROPS)
            held_out = prepared.held_out
            listener(
                TrainingBegun(
                    training_id=training.training_id,
                    trained_on=prepared.trained_on,
                    dropped=len(prepared.dropped),
                    held_out=len(held_out.encodings.samples) if held_out else 0,
                    steps=prepared.training.plan.steps,
                    resumed_step=resumed,
                    example=prepared.example,
                    notes=(*notes_of(training.verdict, prepared), *([scarce] if scarce else ())),
                    memory=memory.figures(),
                )
            )
            recipe, name = prepared.recipe, training.training_id
            return Journal(folder, recipe.log, name, resumed, details=DETAILS.get(recipe.objective))

        first = communicator.rank == 0
        journal, watch = (open_journal, listener) if first else (None, None)
        outcome = train(prepared, store, journal, communicator, watch, stream)
        weights = result_weights(prepared.model, keep=first)
        if first:
            workers = communicator.world_size
            lineage = lineage_of(training, prepared, outcome, workers, started, now())
            curves = read_lines(folder / STEPS), read_lines(folder / POLICY)
            measured = measured_memory(before, *curves)
            lineage["memory"] = {"estimated": memory.figures(), "measured": measured}
            if prepared.recipe.objective == "grpo":
                lineage["policy"] = verdict_of(read_lines(folder / POLICY))
            elif prepared.recipe.objective == "dpo":
                lineage["preference"] = margin_of(read_lines(folder / PREFERENCE))
            write_result(prepared, weights, lineage, folder / RESULT)


def now() -> datetime:
    """Return the time in UTC, without a time zone, as the manifest stores it."""
    return datetime.now(UTC).replace(tzinfo=None)
