"""What a frozen tower made of a picture is kept; a tower that learns or changed is asked again."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from medsift.models import kept_grids
from medsift.models.image_grid import ImageGridConfig, ImageGridModel


@pytest.fixture
def tower(monkeypatch: pytest.MonkeyPatch) -> Iterator[ImageGridModel]:
    """A frozen tower with weights of its own, and nothing kept."""
    torch.manual_seed(0)
    kept_grids.forget_grids()
    model = ImageGridModel(ImageGridConfig(side=2, image_size=64)).eval()
    model.requires_grad_(False)
    calls = []
    whole = model.network.forward_features
    monkeypatch.setattr(
        model.network, "forward_features", lambda pixels: calls.append(len(pixels)) or whole(pixels)
    )
    model.calls = calls
    yield model
    kept_grids.forget_grids()


def pictures(count: int, seed: int = 1) -> torch.Tensor:
    return torch.randn(count, 3, 64, 64, generator=torch.Generator().manual_seed(seed))


def test_each_picture_passes_a_frozen_tower_once(tower: ImageGridModel) -> None:
    shown = pictures(3)
    first = tower(shown).last_hidden_state
    again = tower(shown[[2, 0, 0]]).last_hidden_state
    assert tower.calls == [1, 1, 1]
    assert torch.equal(again, first[[2, 0, 0]])


def test_what_is_kept_is_what_the_network_computes(tower: ImageGridModel) -> None:
    shown = pictures(2)
    kept = tower(shown).last_hidden_state
    with torch.no_grad():
        together = tower.cells(shown)
    cells = torch.nn.functional.layer_norm(together, together.shape[-1:])
    assert torch.allclose(kept[..., : cells.shape[-1]], cells, atol=1e-4)


def test_a_changed_weight_is_noticed(tower: ImageGridModel) -> None:
    shown = pictures(1)
    before = tower(shown).last_hidden_state
    with torch.no_grad():
        next(tower.network.parameters()).mul_(1.5)
    after = tower(shown).last_hidden_state
    assert len(tower.calls) == 2
    assert not torch.equal(before, after)


def test_another_tower_of_equal_weights_shares_what_is_kept(tower: ImageGridModel) -> None:
    shown = pictures(1)
    tower(shown)
    other = ImageGridModel(tower.config).eval().requires_grad_(False)
    other.load_state_dict(tower.state_dict())
    found = other(shown).last_hidden_state
    assert torch.equal(found, tower(shown).last_hidden_state)
    assert len(kept_grids.kept()) == 1


def test_a_tower_that_learns_keeps_nothing(tower: ImageGridModel) -> None:
    tower.requires_grad_(True)
    shown = pictures(2)
    tower(shown).last_hidden_state.sum().backward()
    tower(shown)
    assert tower.calls == [2, 2]
    assert not kept_grids.kept()


def test_what_was_kept_in_inference_can_be_learned_from(tower: ImageGridModel) -> None:
    shown = pictures(2)
    with torch.inference_mode():
        tower(shown)
    layer = torch.nn.Linear(tower.config.hidden_size, 2)
    layer(tower(shown).last_hidden_state).sum().backward()
    assert layer.weight.grad is not None
    assert tower.calls == [1, 1]


def test_memory_is_bounded(tower: ImageGridModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept_grids, "MOST_BYTES", 3 * 4 * 1280 * 4)
    tower(pictures(5))
    assert len(kept_grids.kept()) == 3


def test_a_tower_with_adapters_keeps_nothing_since_they_can_be_switched_off(
    tower: ImageGridModel,
) -> None:
    from peft import LoraConfig, inject_adapter_in_model

    names = [name for name, part in tower.network.named_modules() if "conv_pw" in name][:2]
    inject_adapter_in_model(LoraConfig(target_modules=names), tower.network)
    tower.requires_grad_(False)
    tower(pictures(1))
    assert not kept_grids.kept()


def test_other_arithmetic_is_not_answered_from_what_is_kept(tower: ImageGridModel) -> None:
    shown = pictures(1)
    exact = tower(shown).last_hidden_state
    with torch.autocast("cpu", torch.bfloat16):
        tower(shown)
    assert len(tower.calls) == 2
    assert torch.equal(tower(shown).last_hidden_state, exact)
    assert len(tower.calls) == 2
