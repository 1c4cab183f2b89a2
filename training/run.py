"""A training from its recipe to its result: in this process, or as one worker of several."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from medsift.errors import MedSiftError, UsageError
from medsift.progress import TrainingBegun, TrainingEvent, silent
from medsift.storage.run_lock import claimed
from training.dataset.samples import gather
from training.loop.checkpoint import CheckpointStore, FolderCheckpointStore
from training.loop.distributed import Communicator, SingleProcess
from training.loop.logs import Journal
from training.loop.loop import Stream, train
from training.prepare import Prepared, prepare
from training.recipe import TrainingRecipe
from training.results.lineage import lineage, notes_of
from training.results.manifest_io import (
    KeptCheckpoint,
    list_kept,
    store_failed,
    store_finished,
    write_drops,
)
from training.results.output_dir import finished, renew_card, result_weights, write_result
from training.training_id import CHECKPOINTS, RESULT, Training, open_training

if TYPE_CHECKING:
    import pyarrow as pa

logger = logging.getLogger(__name__)


Listener = Callable[[TrainingEvent], None]


@dataclass(frozen=True, slots=True)
class Trained:
    """A training with its result; `reused` where that was there already."""

    training: Training
    reused: bool


def train_here(recipe: TrainingRecipe, listener: Listener = silent) -> Trained:
    """Train in this process, and write result and manifest; what is there already is not redone.

    A recipe of several workers takes the same steps here as there. Killed and started again, a
    training continues from its newest checkpoint.

    Raises:
        UsageError: checkpoints would be remote, or another process is at work on this training.
        LedgerError: the gate is closed; see `check_contamination`.
        MedSiftError: as `prepare` and `train` do.
    """
    training = open_training(recipe)
    if training.remote:
        raise UsageError(
            f"checkpoints.storage {training.storage} is a URL, which trainings on Ray alone write "
            "to; train with --ray, or name a folder",
            code="path_not_local",
        )

    def fit(started: datetime) -> Sequence[KeptCheckpoint]:
        store = FolderCheckpointStore(training.folder / CHECKPOINTS, recipe.checkpoints.keep)
        run_worker(training, store, SingleProcess(), training.folder, listener, started)
        return _kept(training)

    return train_and_store(training, fit)


def train_and_store(
    training: Training, fit: Callable[[datetime], Sequence[KeptCheckpoint]]
) -> Trained:
    """Train by `fit`, which leaves curves and result in the training's folder, and store it all.

    A result that is there is not made again. A training that an error of ours ends is stored as
    failed. Raises UsageError when another process is at work on it, or what `fit` does.
    """
    with claimed(training.folder, what="training"):
        if finished(training):
            store_finished(training, None if training.remote else _kept(training))
            renew_card(training)
            return Trained(training, reused=True)
        started = now()
        try:
            kept = fit(started)
        except MedSiftError:
            store_failed(training, started)
            raise
        store_finished(training, kept)
        return Trained(training, reused=False)


def run_worker(
    training: Training,
    store: CheckpointStore,
    communicator: Communicator,
    folder: Path,
    listener: Listener,
    started: datetime,
    ready: Callable[[Prepared], None] = lambda prepared: None,
    stream: Stream | None = None,
    rows: Iterable[pa.Table] | None = None,
) -> None:
    """One worker's part. The first worker writes curves, drops and result into `folder`.

    `ready` may change the model before its first step; `stream` decodes its pictures; `rows` are
    what the training reads of the manifest, None where it reads them there. Raises as `prepare`
    and `train` do.
    """
    given = None if rows is None else gather(training.run_id, training.selection, rows)
    with closing(prepare(training.recipe, training.verdict.left_out, given)) as prepared:
        ready(prepared)
        first = communicator.rank == 0
        told = _Told(training, prepared, folder, listener)
        journal, watch = (told.open, listener) if first else (None, None)
        outcome = train(prepared, store, journal, communicator, watch, stream)
        weights = result_weights(prepared.model, keep=first)
        if first:
            story = lineage(training, prepared, outcome, communicator.world_size, started, now())
            write_result(prepared, weights, story, folder / RESULT)


@dataclass(frozen=True, slots=True)
class _Told:
    """Opens the places of the curves, once it is known where a training continues from."""

    training: Training
    prepared: Prepared
    folder: Path
    listener: Listener

    def open(self, resumed: int) -> Journal:
        prepared, held = self.prepared, self.prepared.held_out
        write_drops(prepared.dropped, self.folder)
        self.listener(
            TrainingBegun(
                training_id=self.training.training_id,
                trained_on=len(prepared.training.encodings.samples),
                dropped=len(prepared.dropped),
                held_out=len(held.encodings.samples) if held else 0,
                steps=prepared.training.plan.steps,
                resumed_step=resumed,
                example=prepared.example,
                notes=tuple(notes_of(self.training.verdict, prepared)),
            )
        )
        return Journal(self.folder, prepared.recipe.log, self.training.training_id, resumed)


def _kept(training: Training) -> Sequence[KeptCheckpoint]:
    return list_kept(training.folder / CHECKPOINTS)


def now() -> datetime:
    """UTC, without a time zone, as the manifest keeps it."""
    return datetime.now(UTC).replace(tzinfo=None)
