"""Identify a training: the same recipe on the same samples has the same id."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from medsift import records
from medsift.licence_rules import check_licences, licences_config
from medsift.manifest import resolve_selection
from medsift.manifest.training_queries import (
    licences_of_selection,
    run_fingerprints,
    run_recipe,
    selection_weights,
)
from medsift.storage.local_paths import path_of
from medsift.storage.locations import is_remote, local_path
from medsift.storage.mirror import location
from training.contamination import Verdict, check_contamination
from training.dataset.chat_labels import LABELS_VERSION
from training.dataset.samples import manifest_of
from training.preference.pair_rows import read_pairs
from training.recipe import TrainingRecipe

ID_DIGITS: Final = 10
TRAININGS: Final = "trainings"
RESULT: Final = "result"
CHECKPOINTS: Final = "checkpoints"


@dataclass(frozen=True, slots=True)
class Training:
    """A fine-tuning that may be run; its recipe names run and selection."""

    recipe: TrainingRecipe
    training_id: str
    fingerprint: str
    run_id: str
    selection: str
    samples: int
    manifest: Path
    manifest_fingerprint: str
    """Identity of what curation decided: its recipe and its input, not the file's bytes."""
    verdict: Verdict
    licences: Mapping[str | None, int]
    """Samples of the selection by licence, None for those without one."""

    @property
    def storage(self) -> str:
        """Folder or URL of all trainings."""
        return self.recipe.checkpoints.storage or location(self.manifest.parent / TRAININGS)

    @property
    def remote(self) -> bool:
        """Whether checkpoints go to an object store."""
        return is_remote(self.storage)

    @property
    def home(self) -> Path:
        """Its place in the storage: a folder, or the mirror of one in an object store."""
        place = path_of(self.storage) if self.remote else local_path(self.storage)
        return place.absolute() / self.training_id

    @property
    def folder(self) -> Path:
        """Its folder at the run: curves and result, and checkpoints unless they are elsewhere."""
        parent = self.manifest.parent / TRAININGS if self.remote else local_path(self.storage)
        return parent.absolute() / self.training_id

    @property
    def result(self) -> Path:
        """The folder of what was trained."""
        return self.folder / RESULT


def open_training(recipe: TrainingRecipe) -> Training:
    """Find out which training a recipe is, and check it for leaks. Loads no model.

    Raises:
        ManifestError: there is no such selection.
        UsageError: the run's recipe refuses the licences of the samples.
        LedgerError: samples may be in a benchmark; see `check_contamination`.
        InputError: pairs of replies are needed, and there are none.
        ModelError: the base cannot be loaded.
    """
    manifest = manifest_of(recipe.run).absolute()
    run_id, selection = resolve_selection(manifest, recipe.selection, recipe.run_id)
    # Fixed now: the id and every worker mean these, whatever is curated meanwhile.
    recipe = recipe.model_copy(update={"run_id": run_id, "selection": selection})
    licences = licences_of_selection(manifest, run_id, selection)
    check_licences(list(licences), licences_config(run_recipe(manifest, run_id)))
    verdict = check_contamination(manifest, run_id, selection, recipe)
    rows = [
        list(row.values()) for row in selection_weights(manifest, run_id, selection).to_pylist()
    ]
    # Rows left out decide what is learned, and the card repeats what is known about leaks.
    leaks = [list(verdict.benchmarks), verdict.contaminated, sorted(verdict.left_out)]
    decisive = [LABELS_VERSION, recipe.decisive(), rows, leaks]
    if recipe.preferences is not None:
        # Other replies are another training, and a selection without pairs is refused here.
        pairs = read_pairs(manifest, run_id, selection, recipe.preferences)
        decisive.append(sorted(pairs.items()))
    fingerprint = records.fingerprint(decisive)
    return Training(
        recipe=recipe,
        training_id=f"{recipe.name}-{fingerprint[:ID_DIGITS]}",
        fingerprint=fingerprint,
        run_id=run_id,
        selection=selection,
        samples=len(rows),
        manifest=manifest,
        manifest_fingerprint=records.fingerprint([run_id, *run_fingerprints(manifest, run_id)]),
        verdict=verdict,
        licences=licences,
    )
