"""Identify a training: the same recipe on the same samples has the same id."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from medsift import records
from medsift.manifest import read, resolve_selection
from medsift.storage.locations import is_remote, local_path
from training.contamination import Verdict, check_contamination
from training.dataset.chat_labels import LABELS_VERSION
from training.dataset.samples import manifest_of
from training.recipe import TrainingRecipe

ID_DIGITS: Final = 10
TRAININGS: Final = "trainings"
RESULT: Final = "result"
CHECKPOINTS: Final = "checkpoints"


@dataclass(frozen=True, slots=True)
class Training:
    """A fine-tuning that passed the gate; its recipe names run and selection."""

    recipe: TrainingRecipe
    training_id: str
    fingerprint: str
    run_id: str
    selection: str
    samples: int
    manifest: Path
    manifest_fingerprint: str
    verdict: Verdict

    @property
    def storage(self) -> str:
        """Folder or URL of all trainings."""
        return self.recipe.checkpoints.storage or str(self.manifest.parent / TRAININGS)

    @property
    def remote(self) -> bool:
        """Whether checkpoints go to an object store."""
        return is_remote(self.storage)

    @property
    def folder(self) -> Path:
        """Its folder on this machine: curves and result, and checkpoints unless they are remote."""
        place = self.manifest.parent / TRAININGS if self.remote else local_path(self.storage)
        return place.absolute() / self.training_id

    @property
    def result(self) -> Path:
        """The folder of what was trained."""
        return self.folder / RESULT


def open_training(recipe: TrainingRecipe) -> Training:
    """Find out which training a recipe is, and pass the gate. Loads no model.

    Raises:
        ManifestError: there is no such selection.
        LedgerError: the gate is closed; see `check_contamination`.
        ModelError: the base cannot be loaded.
    """
    manifest = manifest_of(recipe.run).absolute()
    run_id, selection = resolve_selection(manifest, recipe.selection, recipe.run_id)
    named = recipe.model_copy(update={"run_id": run_id, "selection": selection})
    verdict = check_contamination(manifest, run_id, selection, named)
    chosen = read(
        manifest,
        "SELECT sample_id, row_id, weight FROM selections "
        "WHERE run_id = $1 AND selection = $2 ORDER BY rank",
        [run_id, selection],
    )
    rows = [list(line.values()) for line in chosen.to_pylist()]
    said = [list(verdict.benchmarks), verdict.contaminated, sorted(verdict.left_out)]
    fingerprint = records.fingerprint([LABELS_VERSION, named.decisive(), rows, said])
    return Training(
        recipe=named,
        training_id=f"{recipe.name}-{fingerprint[:ID_DIGITS]}",
        fingerprint=fingerprint,
        run_id=run_id,
        selection=selection,
        samples=len(rows),
        manifest=manifest,
        manifest_fingerprint=_fingerprint(manifest, run_id),
        verdict=verdict,
    )


def _fingerprint(manifest: Path, run_id: str) -> str:
    """Identity of what curation decided: its recipe and its input, not the file's bytes."""
    sql = "SELECT recipe_fingerprint, input_fingerprint FROM runs WHERE run_id = $1"
    [line] = read(manifest, sql, [run_id]).to_pylist()
    return records.fingerprint([run_id, *line.values()])
