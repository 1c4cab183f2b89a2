"""Checkpoints: what they hold can be loaded by others, and half of one is none."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest
import torch

from medsift.models.adapters import with_adapter
from medsift.storage.atomic import atomic_folder
from tests.expect import raises_code
from tests.tiny_models import llava, saved
from tests.training.conftest import recipe
from training.loop.checkpoint import (
    ADAPTER,
    STATE,
    FolderCheckpointStore,
    Snapshot,
    State,
    folder_name,
    read_state,
    restore,
    unwanted,
)
from training.model.base_model import Base, load_base
from training.model.trainable import prepare_model, trained_parameters
from training.recipe import TrainingRecipe


def trained(folder: Path, **settings) -> tuple[TrainingRecipe, Base, torch.nn.Module]:
    """A model whose learning weights were moved from where they began."""
    made = recipe(Path("run"), folder, **settings)
    base = load_base(made.base, "float32", made.lora.full)
    model = prepare_model(base, made)
    torch.manual_seed(5)
    with torch.no_grad():
        for part in trained_parameters(model).values():
            part.add_(torch.randn_like(part) * 0.1)
    return made, base, model


def logits(base: Base, model: torch.nn.Module) -> torch.Tensor:
    ids = base.tokenizer(["is the left lung clear?"], return_tensors="pt")["input_ids"]
    with torch.no_grad():
        return model.eval()(input_ids=ids).logits


def snapshot(model: torch.nn.Module, step: int = 1, **decisive) -> Snapshot:
    optimiser = torch.optim.AdamW(list(trained_parameters(model).values()))
    return Snapshot.of(model, optimiser, State(step=step), {"base": "b", **decisive})


@pytest.mark.parametrize("kind", ["lora", "dora", "projector"])
def test_peft_loads_the_adapter_of_a_checkpoint(
    qwen: Path, tmp_path_factory: pytest.TempPathFactory, kind: str
):
    folder, lora = qwen, {"dora": kind == "dora"}
    if kind == "projector":
        folder = tmp_path_factory.mktemp("llava")
        saved(llava(), folder)
        lora = {"modules_to_save": ["multi_modal_projector"]}
    made, base, model = trained(folder, lora=lora)
    place = tmp_path_factory.mktemp("checkpoint")
    snapshot(model).write(place)
    assert {path.name for path in (place / ADAPTER).iterdir()} == {
        "adapter_config.json",
        "adapter_model.safetensors",
    }
    fresh = load_base(made.base, "float32", full=False)
    before = logits(fresh, fresh.model)
    adapted = with_adapter(fresh.model, place / ADAPTER, made.base)
    wanted = logits(base, model)
    torch.testing.assert_close(logits(fresh, adapted), wanted, rtol=0, atol=0)
    assert not torch.allclose(before, wanted)


def test_what_was_stored_comes_back_to_the_bit(llama: Path, tmp_path: Path):
    _, _, model = trained(llama)
    optimiser = torch.optim.AdamW(list(trained_parameters(model).values()))
    for part in trained_parameters(model).values():
        part.grad = torch.randn_like(part)
    optimiser.step()
    state = State(step=3, samples=7, tokens=70, seconds=1.5, loss=0.25, best_step=2, best_loss=0.5)
    Snapshot.of(model, optimiser, state, {"base": "b"}).write(tmp_path)
    _, _, other = trained(llama, seed=9)
    fresh = torch.optim.AdamW(list(trained_parameters(other).values()))
    assert restore(tmp_path, other, fresh, {"base": "b"}) == state
    pairs = zip(trained_parameters(model).values(), trained_parameters(other).values(), strict=True)
    for mine, theirs in pairs:
        assert torch.equal(mine, theirs)
        for moment, value in optimiser.state[mine].items():
            assert torch.equal(value, fresh.state[theirs][moment])


def test_weights_of_another_shape_or_name_are_refused(llama: Path, tmp_path: Path):
    _, _, model = trained(llama)
    snapshot(model).write(tmp_path)
    for lora in ({"rank": 4}, {"targets": ".*q_proj"}):
        _, _, other = trained(llama, lora=lora)
        optimiser = torch.optim.AdamW(list(trained_parameters(other).values()))
        with raises_code("checkpoint_of_other_training", path=str(tmp_path)):
            restore(tmp_path, other, optimiser, {"base": "b"})


def test_a_damaged_checkpoint_is_named_with_its_mend(llama: Path, tmp_path: Path):
    _, _, model = trained(llama)
    optimiser = torch.optim.AdamW(list(trained_parameters(model).values()))
    snapshot(model).write(tmp_path)
    (tmp_path / "trained.safetensors").write_bytes(b"nothing")
    with raises_code("checkpoint_unreadable", path=str(tmp_path)):
        restore(tmp_path, model, optimiser, {"base": "b"})
    (tmp_path / STATE).write_text("{")
    with raises_code("checkpoint_unreadable", path=str(tmp_path)):
        read_state(tmp_path)


def test_a_folder_appears_whole_or_not_at_all(tmp_path: Path):
    place = tmp_path / "step-000001"
    with suppress(KeyboardInterrupt), atomic_folder(place) as partial:
        (partial / "half").write_text("x")
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []
    with atomic_folder(place) as partial:
        (partial / "all").write_text("x")
    assert [path.name for path in place.iterdir()] == ["all"]
    with atomic_folder(place) as partial:
        (partial / "new").write_text("x")
    assert [path.name for path in place.iterdir()] == ["new"]


def test_a_disk_that_refuses_is_a_storage_error(tmp_path: Path):
    (tmp_path / "file").write_text("x")
    with (
        raises_code("disk_refused"),
        atomic_folder(tmp_path / "file" / "step-000001"),
    ):
        pass


@pytest.mark.parametrize(
    ("keep", "best_step", "gone"),
    [
        (2, None, [2, 4, 6]),
        (2, 4, [2, 6]),
        (2, 8, [2, 4, 6]),
        (1, 2, [4, 6, 8]),
        (5, 2, []),
        (9, None, []),
    ],
)
def test_the_newest_and_the_best_stay(keep: int, best_step: int | None, gone: list[int]):
    names = [folder_name(step) for step in (2, 4, 6, 8, 10)]
    assert unwanted(names, keep, best_step) == [folder_name(step) for step in gone]


def test_a_worker_that_does_not_write_leaves_nothing(llama: Path, tmp_path: Path):
    _, _, model = trained(llama)
    FolderCheckpointStore(tmp_path / "a", 2, writes=False).keep(snapshot(model))
    assert FolderCheckpointStore(tmp_path / "a", 2).newest() is None
    FolderCheckpointStore(tmp_path / "a", 2).keep(snapshot(model, step=12))
    assert FolderCheckpointStore(tmp_path / "a", 2).newest() == FolderCheckpointStore(
        tmp_path / "a", 2
    ).at(12)
