"""Save and resume a training: weights, optimiser and counters, written completely or not at all.

The learning rate, the order of samples and all random numbers (dropout) follow from the step, so
that nothing else has to be kept. Tensors lie in safetensors, under the names of their weights.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

from medsift.errors import ModelError, StorageError, UsageError
from medsift.storage.atomic import atomic_folder
from training.model.sharding import full_tensor, reshard_like
from training.model.trainable import trained_parameters

if TYPE_CHECKING:
    from torch import Tensor
    from torch.optim import Optimizer

OTHER_STORAGE: Final = "choose another checkpoints.storage"
"""What to do when the disk of the checkpoints refuses."""
STATE: Final = "state.json"
TRAINED: Final = "trained.safetensors"
OPTIMISER: Final = "optimiser.safetensors"
ADAPTER: Final = "adapter"
MOMENTS: Final = ("step", "exp_avg", "exp_avg_sq")
PREFIX: Final = "step-"


@dataclass(frozen=True, slots=True)
class State:
    """How far a training is. Counts go from its beginning, repeats and restarts included."""

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
        """The state after a measurement: a new best, or one more that was none."""
        if self.best_loss is None or loss < self.best_loss - delta:
            return replace(self, held_out_loss=loss, best_loss=loss, best_step=self.step, stale=0)
        return replace(self, held_out_loss=loss, stale=self.stale + 1)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All that a checkpoint holds, as tensors of the running training: no copies."""

    model: Any
    weights: Mapping[str, Tensor]
    moments: Mapping[str, Tensor]
    state: State
    decisive: Mapping[str, Any]

    @classmethod
    def of(
        cls, model: Any, optimiser: Optimizer, state: State, decisive: Mapping[str, Any]
    ) -> Snapshot:
        """Take one. Every worker of a communicator that shards its weights has to."""
        parameters = trained_parameters(model)
        moments = {
            f"{name}/{moment}": full_tensor(optimiser.state[parameter][moment])
            for name, parameter in parameters.items()
            for moment in MOMENTS
            if parameter in optimiser.state
        }
        return cls(model, cls.of_weights(model), moments, state, decisive)

    @staticmethod
    def of_weights(model: Any) -> dict[str, Tensor]:
        """The trained weights alone, by name."""
        parameters = trained_parameters(model)
        return {name: full_tensor(parameter.detach()) for name, parameter in parameters.items()}

    def write(self, folder: Path) -> None:
        """Write into an existing folder; an adapter also in PEFT's own form."""
        from safetensors.torch import save_file

        save_file(_plain(self.weights), folder / TRAINED)
        save_file(_plain(self.moments), folder / OPTIMISER)
        if hasattr(self.model, "peft_config"):
            save_adapter(self.model, self.weights, folder / ADAPTER)
        told = asdict(self.state) | {"decisive": self.decisive}
        (folder / STATE).write_text(json.dumps(told, indent=1, sort_keys=True), encoding="utf-8")


class CheckpointStore(Protocol):
    """Where checkpoints go. Every worker calls it, in step with the others."""

    def newest(self) -> Path | None:
        """The checkpoint to go on from, None at the beginning."""
        ...

    def keep(self, snapshot: Snapshot) -> None:
        """Store a checkpoint."""
        ...

    def at(self, step: int) -> Path:
        """The checkpoint of a step that was kept."""
        ...


class FolderCheckpointStore:
    """Checkpoints as folders ``step-000123``: the newest `keep` and the best. One worker writes."""

    def __init__(self, folder: Path, keep: int, *, writes: bool = True) -> None:
        self.folder = folder
        self.count = keep
        self.writes = writes

    def newest(self) -> Path | None:
        """The checkpoint of the largest step."""
        kept = checkpoints(self.folder)
        return kept[-1] if kept else None

    def at(self, step: int) -> Path:
        """The checkpoint of a step."""
        return self.folder / folder_name(step)

    def keep(self, snapshot: Snapshot) -> None:
        """Write a checkpoint whole, then remove those that are no longer wanted."""
        if not self.writes:
            return
        with atomic_folder(self.at(snapshot.state.step), OTHER_STORAGE) as partial:
            snapshot.write(partial)
        names = [path.name for path in checkpoints(self.folder)]
        for name in unwanted(names, self.count, snapshot.state.best_step):
            shutil.rmtree(self.folder / name)


def checkpoints(folder: Path) -> list[Path]:
    """Complete checkpoints of a folder, by step."""
    return sorted(path for path in folder.glob(f"{PREFIX}*") if (path / STATE).is_file())


def folder_name(step: int) -> str:
    """What the folder of a checkpoint is called."""
    return f"{PREFIX}{step:06d}"


def unwanted(names: Sequence[str], keep: int, best_step: int | None) -> list[str]:
    """Which of these checkpoints, by step, may go: all but the newest `keep` and the best."""
    best = None if best_step is None else folder_name(best_step)
    return [name for name in names[:-keep] if name != best]


def read_state(checkpoint: Path) -> tuple[State, dict[str, Any]]:
    """The counters of a checkpoint, and what decided it. Raises StorageError."""
    try:
        told = json.loads((checkpoint / STATE).read_text(encoding="utf-8"))
        decisive = told.pop("decisive")
        return State(**told), decisive
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StorageError(_unreadable(checkpoint, error), code="checkpoint_unreadable") from error


def restore(
    checkpoint: Path, model: Any, optimiser: Optimizer, decisive: Mapping[str, Any]
) -> State:
    """Put weights and optimiser back as they were; return the counters.

    Raises:
        UsageError: the checkpoint was made by other settings or on other samples.
        ModelError: it was made on another model, or holds other weights.
        StorageError: it cannot be read.
    """
    state, theirs = read_state(checkpoint)
    _check_same(checkpoint, theirs, decisive)
    restore_weights(checkpoint, model)
    moments = _tensors(checkpoint / OPTIMISER)
    for name, parameter in trained_parameters(model).items():
        if f"{name}/step" in moments:
            held = {moment: moments[f"{name}/{moment}"] for moment in MOMENTS}
            # The count of steps stays on the CPU and whole, as torch has it.
            optimiser.state[parameter] = {
                moment: one if moment == "step" else reshard_like(one, parameter)
                for moment, one in held.items()
            }
    return state


def restore_weights(checkpoint: Path, model: Any) -> None:
    """Put the trained weights back as they were.

    Raises ModelError when the model has others, StorageError when they cannot be read.
    """
    import torch

    weights, parameters = _tensors(checkpoint / TRAINED), trained_parameters(model)
    strange = sorted(set(parameters) ^ set(weights)) or [
        name for name, part in parameters.items() if part.shape != weights[name].shape
    ]
    if strange:
        raise ModelError(
            f"checkpoint {checkpoint} and the model differ in {len(strange)} trained weights, the "
            f"first is {strange[0]}; it was made on another model",
            code="checkpoint_of_other_training",
        )
    with torch.no_grad():
        for name, parameter in parameters.items():
            parameter.copy_(reshard_like(weights[name], parameter))


def save_adapter(model: Any, weights: Mapping[str, Tensor], folder: Path) -> None:
    """Save an adapter as PEFT does."""
    model.save_pretrained(str(folder), state_dict=dict(weights), save_embedding_layers=False)
    # PEFT writes a model card that says nothing.
    (folder / "README.md").unlink(missing_ok=True)


def _check_same(checkpoint: Path, theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> None:
    if theirs.get("base") != ours.get("base"):
        raise ModelError(
            f"checkpoint {checkpoint} was made on another model; give this training a new name, or "
            "the model it began with",
            code="checkpoint_of_other_training",
        )
    changed = [key for key in sorted({*theirs, *ours}) if theirs.get(key) != ours.get(key)]
    if changed:
        key = changed[0]
        raise UsageError(
            f"checkpoint {checkpoint} was made with {key} {_short(theirs.get(key))}, the recipe "
            f"has {_short(ours.get(key))}; give this training a new name, or take the change back",
            code="checkpoint_of_other_training",
        )


def _tensors(path: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        found: dict[str, Tensor] = load_file(path)
    except (OSError, SafetensorError) as error:
        raise StorageError(_unreadable(path.parent, error), code="checkpoint_unreadable") from error
    return found


def _unreadable(checkpoint: Path, error: Exception) -> str:
    return f"cannot read checkpoint {checkpoint}: {error}; remove it to go on from the one before"


def _short(value: Any) -> str:
    text = json.dumps(value, sort_keys=True)
    return text if len(text) <= 120 else f"{text[:117]}..."


def _plain(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach().contiguous().cpu() for name, tensor in tensors.items()}
