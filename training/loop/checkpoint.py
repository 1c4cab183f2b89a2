"""Save and resume a training: weights, optimiser and counters, written completely or not at all.

The learning rate, the order of samples and all random numbers (dropout) follow from the step, so
nothing else has to be saved. Tensors are in safetensors, under the names of their weights.
"""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

from medsift.errors import ModelError, StorageError, UsageError
from medsift.storage.atomic import atomic_folder
from medsift.storage.mirror import here, is_mirrored, read_current
from medsift.storage.parts import write_json
from medsift.storage.stored_folder import fetch_folder, remove_folder
from training.loop.logs import CURVES
from training.model.sharding import full_tensor, reshard_like
from training.model.trainable import trained_parameters

if TYPE_CHECKING:
    from torch import Tensor
    from torch.optim import Optimizer

logger = logging.getLogger(__name__)

OTHER_STORAGE: Final = "choose another checkpoints.storage"
"""What to do when the disk of the checkpoints refuses."""
STATE: Final = "state.json"
TRAINED: Final = "trained.safetensors"
OPTIMISER: Final = "optimiser.safetensors"
ADAPTER: Final = "adapter"
MOMENTS: Final = ("step", "exp_avg", "exp_avg_sq")
PREFIX: Final = "step-"
LIST: Final = "checkpoints.json"
"""The list of complete checkpoints, in an object store, where nothing is listed otherwise."""


@dataclass(frozen=True, slots=True)
class State:
    """How far a training is. Counts start at its beginning, and include repeats and restarts."""

    step: int = 0
    samples: int = 0
    tokens: int = 0
    supervised_tokens: int = 0
    seconds: float = 0.0
    loss: float | None = None
    held_out_loss: float | None = None
    best_step: int | None = None
    best_loss: float | None = None
    stale: int = 0
    """Held-out measurements since the best one."""

    def measured(self, loss: float, delta: float) -> State:
        """Return the state after a measurement: a new best, or one more that was none."""
        # Strictly below: of equal losses the earlier step stays the best.
        if self.best_loss is None or loss < self.best_loss - delta:
            return replace(self, held_out_loss=loss, best_loss=loss, best_step=self.step, stale=0)
        return replace(self, held_out_loss=loss, stale=self.stale + 1)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All that a checkpoint contains, as tensors of the running training, without copies."""

    model: Any
    weights: Mapping[str, Tensor]
    moments: Mapping[str, Tensor]
    state: State
    decisive: Mapping[str, Any]

    @classmethod
    def of(
        cls, model: Any, optimiser: Optimizer, state: State, decisive: Mapping[str, Any]
    ) -> Snapshot:
        """Take a snapshot. Every worker must, as sharded weights are gathered from all.

        Args:
            model: has the weights.
            optimiser: has the moments.
            state: the counters.
            decisive: the settings that a training must share to resume from it.
        """
        parameters = trained_parameters(model)
        weights = {name: full_tensor(weight.detach()) for name, weight in parameters.items()}
        moments = {
            f"{name}/{moment}": full_tensor(optimiser.state[weight][moment])
            for name, weight in parameters.items()
            for moment in MOMENTS
            if weight in optimiser.state
        }
        return cls(model, weights, moments, state, decisive)

    def write(self, folder: Path) -> None:
        """Write into a folder, an adapter in PEFT's form too; the state last, as it marks it."""
        from safetensors.torch import save_file

        for name, tensors in ((TRAINED, self.weights), (OPTIMISER, self.moments)):
            # safetensors refuses tensors whose numbers are not next to each other.
            plain = {key: value.detach().contiguous().cpu() for key, value in tensors.items()}
            save_file(plain, folder / name)
        if hasattr(self.model, "peft_config"):
            save_adapter(self.model, self.weights, folder / ADAPTER)
        state = asdict(self.state) | {"decisive": self.decisive}
        (folder / STATE).write_text(json.dumps(state, indent=1, sort_keys=True), encoding="utf-8")


class CheckpointStore(Protocol):
    """Where checkpoints are kept. Every worker calls it, in step with the others."""

    def newest(self) -> Path | None:
        """Return the checkpoint to resume from, None at the beginning."""
        ...

    def keep(self, snapshot: Snapshot) -> None:
        """Store a checkpoint."""
        ...

    def at(self, step: int) -> Path:
        """Return the checkpoint of a step that was kept."""
        ...


@dataclass(frozen=True, slots=True)
class FolderCheckpointStore:
    """Folders ``step-000123`` of the newest `count` checkpoints and the best; one worker writes."""

    folder: Path
    count: int
    writes: bool = field(default=True, kw_only=True)
    curves: Path | None = field(default=None, kw_only=True)
    """Folder of the curves. A checkpoint in an object store has a copy of them, for a training that
    another machine continues."""

    def newest(self) -> Path | None:
        """Return the checkpoint of the largest step, on this machine."""
        kept = checkpoints(self.folder)
        if not kept:
            return None
        newest = fetch_folder(kept[-1])
        if self.curves is not None and is_mirrored(newest):
            copy_curves(newest, self.curves)
        return newest

    def at(self, step: int) -> Path:
        """Return the checkpoint of a step, on this machine."""
        return fetch_folder(self.folder / folder_name(step))

    def keep(self, snapshot: Snapshot) -> None:
        """Write a checkpoint completely, then remove those that are no longer wanted."""
        if not self.writes:
            return
        name = folder_name(snapshot.state.step)
        with atomic_folder(self.folder / name, OTHER_STORAGE) as partial:
            snapshot.write(partial)
            if self.curves is not None and is_mirrored(self.folder):
                copy_curves(self.curves, partial)
        # Only now, so that a full disk or a kill never costs an older checkpoint.
        names = sorted({*(path.name for path in checkpoints(self.folder)), name})
        self.clear(names, snapshot.state.best_step)

    def clear(self, names: Sequence[str], best_step: int | None) -> None:
        """Remove those of the checkpoints `names` that are no longer wanted.

        A place that refuses that does not end the training.
        """
        old = unwanted(names, self.count, best_step)
        if is_mirrored(self.folder):
            # The list comes first: what it names is always there.
            write_json({"checkpoints": [name for name in names if name not in old]}, self._list)
        for name in old:
            try:
                remove_folder(self.folder / name)
            except StorageError as error:
                logger.warning("an old checkpoint stays: %s", error)

    @property
    def _list(self) -> Path:
        return self.folder / LIST


def copy_curves(source: Path, target: Path) -> None:
    """Copy the files of curves that a folder has."""
    target.mkdir(parents=True, exist_ok=True)
    for name in CURVES:
        if (source / name).is_file():
            shutil.copyfile(source / name, target / name)


def checkpoints(folder: Path) -> list[Path]:
    """Return the complete checkpoints of a folder, by step; those of a store are listed there."""
    if is_mirrored(folder):
        try:
            names = json.loads(read_current(folder / LIST))["checkpoints"]
            return [here(folder) / str(name) for name in names]
        except FileNotFoundError:
            return []
        except (ValueError, KeyError, TypeError) as error:
            raise _unreadable(folder / LIST, error) from error
    # The state is written last, so that a folder with one is complete.
    return sorted(path for path in folder.glob(f"{PREFIX}*") if (path / STATE).is_file())


def folder_name(step: int) -> str:
    """Return the name of a checkpoint's folder; zeros make its order that of the steps."""
    return f"{PREFIX}{step:06d}"


def unwanted(names: Sequence[str], keep: int, best_step: int | None) -> list[str]:
    """Return which checkpoints, by step, may go: all but the newest `keep` and the best."""
    best = None if best_step is None else folder_name(best_step)
    # The best stays however old it is: it becomes the result of an early end.
    return [name for name in names[:-keep] if name != best]


def read_state(checkpoint: Path) -> tuple[State, dict[str, Any]]:
    """Return a checkpoint's counters and the settings it depends on. Raises StorageError."""
    try:
        state = json.loads(read_current(checkpoint / STATE))
        decisive = state.pop("decisive")
        return State(**state), decisive
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _unreadable(checkpoint, error) from error


def restore(
    checkpoint: Path, model: Any, optimiser: Optimizer, decisive: Mapping[str, Any]
) -> State:
    """Put weights and optimiser back as they were; return the counters.

    Args:
        checkpoint: its folder.
        model: receives the weights.
        optimiser: receives the moments.
        decisive: the settings that the checkpoint must have been made with.

    Raises:
        UsageError: the checkpoint was made by other settings or on other samples.
        ModelError: it was made on another model, or has other weights.
        StorageError: it cannot be read.
    """
    state, saved = read_state(checkpoint)
    # First, as another model explains every other difference.
    if saved.get("base") != decisive.get("base"):
        raise ModelError(
            f"checkpoint {checkpoint} was made on another model; give this training a new name, or "
            "the model it began with",
            code="checkpoint_of_other_training",
            path=str(checkpoint),
            key="base",
        )
    # Sorted: a set may differ in order between workers, and all should name one key.
    for key in sorted({*saved, *decisive}):
        if saved.get(key) != decisive.get(key):
            raise UsageError(
                f"checkpoint {checkpoint} was made with {key} {_short(saved.get(key))}, the recipe "
                f"has {_short(decisive.get(key))}; give this training a new name, or take the "
                "change back",
                code="checkpoint_of_other_training",
                path=str(checkpoint),
                key=key,
            )
    restore_weights(checkpoint, model)
    moments = _tensors(checkpoint / OPTIMISER)
    for name, weight in trained_parameters(model).items():
        # Weights that no gradient reached have no moments.
        if f"{name}/step" in moments:
            # The count of steps stays on the CPU and unsharded, as torch has it.
            optimiser.state[weight] = {
                "step": moments[f"{name}/step"],
                **{
                    moment: reshard_like(moments[f"{name}/{moment}"], weight)
                    for moment in MOMENTS
                    if moment != "step"
                },
            }
    return state


def restore_weights(checkpoint: Path, model: Any) -> None:
    """Put the trained weights back. Raises ModelError for others, StorageError for damage."""
    import torch

    saved, trained = _tensors(checkpoint / TRAINED), trained_parameters(model)
    # Before the first is copied, so that a refused checkpoint changes no weight.
    differing = sorted(set(trained) ^ set(saved)) or [
        name for name, weight in trained.items() if weight.shape != saved[name].shape
    ]
    if differing:
        raise ModelError(
            f"checkpoint {checkpoint} and the model differ in {len(differing)} trained weights, "
            f"the first is {differing[0]}; it was made on another model, so give this training a "
            "new name",
            code="checkpoint_of_other_training",
            path=str(checkpoint),
            weights=differing,
        )
    with torch.no_grad():
        for name, weight in trained.items():
            weight.copy_(reshard_like(saved[name], weight))


def save_adapter(model: Any, weights: Mapping[str, Tensor], folder: Path) -> None:
    """Save an adapter as PEFT does, without PEFT's model card, which is an empty form."""
    model.save_pretrained(str(folder), state_dict=dict(weights), save_embedding_layers=False)
    (folder / "README.md").unlink(missing_ok=True)


def _tensors(path: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        tensors: dict[str, Tensor] = load_file(path)
    except (OSError, SafetensorError) as error:
        raise _unreadable(path.parent, error) from error
    return tensors


def _unreadable(checkpoint: Path, error: Exception) -> StorageError:
    return StorageError(
        f"cannot read checkpoint {checkpoint}: {error}; remove it to resume from the one before",
        code="checkpoint_unreadable",
        path=str(checkpoint),
    )


def _short(value: Any) -> str:
    text = json.dumps(value, sort_keys=True)
    return text if len(text) <= 120 else f"{text[:117]}..."
