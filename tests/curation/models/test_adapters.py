"""Adapters: their identity, and one clear line where one does not belong to the model."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

from medsift.models import EmbeddedModelConfig, TransformersModelConfig
from medsift.models.adapters import adapter_fingerprint, with_adapter
from tests.expect import raises_code
from tests.tiny_models import causal, saved_adapter, saved_causal

IDS = torch.arange(4, 40).view(2, 18)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> TransformersModelConfig:
    return saved_causal(causal(), tmp_path_factory.mktemp("models") / "tiny")


def logits(model: torch.nn.Module) -> torch.Tensor:
    with torch.inference_mode():
        return model(input_ids=IDS).logits


def test_a_loaded_adapter_is_the_one_that_was_saved(
    base: TransformersModelConfig, tmp_path: Path
) -> None:
    model = causal()[0]
    bare = logits(model)
    adapter = saved_adapter(model, tmp_path / "lora", base.model)
    found = with_adapter(base.build().model, adapter, base)
    assert torch.equal(logits(found), logits(model))
    assert not torch.allclose(logits(found), bare)
    assert not found.training


def test_identity_is_of_contents_not_of_places(
    base: TransformersModelConfig, tmp_path: Path
) -> None:
    adapter = saved_adapter(causal()[0], tmp_path / "lora", base.model)
    moved = Path(shutil.copytree(adapter, tmp_path / "moved"))
    other = saved_adapter(causal()[0], tmp_path / "other", base.model, seed=1)
    identity = adapter_fingerprint(adapter, base)
    assert adapter_fingerprint(moved, base) == identity
    assert adapter_fingerprint(other, base) != identity


def test_an_adapter_of_another_folder_or_name_is_refused_without_loading(
    base: TransformersModelConfig, tmp_path: Path
) -> None:
    other = saved_causal(causal(seed=1), tmp_path / "twin")
    adapter = saved_adapter(causal(seed=1)[0], tmp_path / "lora", other.model)
    adapter_fingerprint(adapter, other)
    refusal = raises_code("adapter_unusable", adapter=str(adapter), base=str(other.model))
    with refusal as refused:
        adapter_fingerprint(adapter, base)
    assert "\n" not in str(refused.value)
    named = saved_adapter(causal()[0], tmp_path / "named", "owner/model-3B")
    adapter_fingerprint(named, TransformersModelConfig(model="Owner/Model-3B"))
    adapter_fingerprint(named, base)
    with raises_code("adapter_unusable", base="owner/model-3B"):
        adapter_fingerprint(named, TransformersModelConfig(model="owner/model-7B"))


@pytest.mark.parametrize(
    ("shape", "first_tensor"),
    [
        ({"num_hidden_layers": 3}, "layers.2"),
        ({"num_hidden_layers": 1}, "layers.1"),
        ({"hidden_size": 16}, None),
    ],
)
def test_an_adapter_that_does_not_fit_is_refused(
    shape: dict[str, int], first_tensor: str | None, base: TransformersModelConfig, tmp_path: Path
) -> None:
    adapter = saved_adapter(causal(**shape)[0], tmp_path / "lora", None)
    with raises_code("adapter_unusable", adapter=str(adapter)) as refused:
        with_adapter(base.build().model, adapter, base)
    assert (first_tensor or "") in refused.value.values.get("tensor", "")
    assert "\n" not in str(refused.value)
    assert "name the model that it was trained on" in str(refused.value)


def test_files_that_are_missing_or_damaged_are_named(
    base: TransformersModelConfig, tmp_path: Path
) -> None:
    for lost in ("adapter_config.json", "adapter_model.safetensors"):
        adapter = saved_adapter(causal()[0], tmp_path / lost, None)
        (adapter / lost).unlink()
        with raises_code("adapter_unusable", adapter=str(adapter), missing=lost):
            adapter_fingerprint(adapter, EmbeddedModelConfig())
    adapter = saved_adapter(causal()[0], tmp_path / "damaged", None)
    (adapter / "adapter_model.safetensors").write_bytes(b"nothing")
    with raises_code("adapter_unusable", adapter=str(adapter)):
        with_adapter(base.build().model, adapter, base)
    (adapter / "adapter_config.json").write_text("[]")
    with raises_code("adapter_unusable", file="adapter_config.json"):
        adapter_fingerprint(adapter, base)
