"""Which weights learn: what all-linear reaches, what stays frozen, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.expect import raises_code
from tests.tiny_models import llava, saved
from tests.training.conftest import recipe
from training.model.base_model import Base, PretrainedBase, load_base
from training.model.trainable import (
    check_gradients,
    parameter_groups,
    prepare_model,
    trained_parameters,
    vision_tower,
)
from training.recipe import OptimiserConfig, TrainingRecipe

LINEAR = {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}


def prepared(folder: Path, **settings) -> tuple[Base, torch.nn.Module, TrainingRecipe]:
    made = recipe(Path("run"), folder, **settings)
    base = load_base(made.base, "float32", made.lora.full)
    return base, prepare_model(base, made), made


def modules(model: torch.nn.Module) -> set[str]:
    """Full names of the modules that carry an adapter."""
    return {name.partition(".lora_")[0] for name in trained_parameters(model) if "lora_" in name}


def test_all_linear_is_that_of_the_language_model(qwen: Path):
    _, model, _ = prepared(qwen)
    found = modules(model)
    assert len(found) == 2 * len(LINEAR)
    assert all(".language_model.layers." in name for name in found)
    assert {name.rpartition(".")[2] for name in found} == LINEAR
    assert not vision_tower(model).training
    assert not any(part.requires_grad for part in vision_tower(model).parameters())


def test_the_vision_tower_learns_when_it_is_asked_to(qwen: Path):
    _, model, _ = prepared(qwen, vision="trained")
    inside = {name for name in modules(model) if ".visual." in name}
    assert {name.rpartition(".")[2] for name in inside} >= {"qkv", "proj", "gate_proj"}
    assert len(modules(model)) > len(inside)
    assert vision_tower(model).training


def test_a_causal_model_has_no_tower(llama: Path):
    _, model, _ = prepared(llama)
    assert vision_tower(model) is None
    assert {name.rpartition(".")[2] for name in modules(model)} == LINEAR
    with raises_code("trainable_parts_invalid", setting="vision"):
        prepared(llama, vision="trained")


def test_a_pattern_names_the_layers(llama: Path):
    _, model, _ = prepared(llama, lora={"targets": r".*layers\.1\.self_attn\.[qv]_proj"})
    assert {name.rpartition("model.")[2] for name in modules(model)} == {
        "layers.1.self_attn.q_proj",
        "layers.1.self_attn.v_proj",
    }
    with raises_code("trainable_parts_invalid", setting="lora.targets"):
        prepared(llama, lora={"targets": "nothing"})


def test_a_pattern_that_reaches_into_a_frozen_tower_is_refused(qwen: Path):
    with raises_code("trainable_parts_invalid", setting="lora"):
        prepared(qwen, lora={"targets": r".*\.(q_proj|qkv)"})


def test_dora_and_rank_scaling_are_peft_s_own(llama: Path):
    _, model, _ = prepared(llama, lora={"dora": True, "rslora": True, "rank": 4, "alpha": 8})
    settings = model.peft_config["default"]
    assert (settings.use_dora, settings.use_rslora, settings.r) == (True, True, 4)
    assert any("lora_magnitude_vector" in name for name in trained_parameters(model))


def test_adapters_follow_from_the_seed(llama: Path):
    drawn = [dict(trained_parameters(prepared(llama, seed=seed)[1])) for seed in (1, 1, 2)]
    same = [torch.equal(drawn[0][name], drawn[1][name]) for name in drawn[0]]
    assert all(same)
    assert not all(torch.equal(drawn[0][name], drawn[2][name]) for name in drawn[0])


def test_a_projector_learns_whole_at_its_own_rate(tmp_path: Path):
    saved(llava(), tmp_path)
    _, model, made = prepared(
        tmp_path,
        lora={"modules_to_save": ["multi_modal_projector"]},
        optimiser={"lr": 1e-3, "modules_to_save_lr": 1e-4, "weight_decay": 0.1},
    )
    projector = [name for name in trained_parameters(model) if "projector" in name]
    assert projector
    assert all("modules_to_save" in name for name in projector)
    groups = parameter_groups(model, made.optimiser, made.modules_to_save)
    told = {(group["lr"], group["weight_decay"]): len(group["params"]) for group in groups}
    assert told == {(1e-3, 0.1): 28, (1e-4, 0.1): 2, (1e-4, 0.0): 2}
    with raises_code("trainable_parts_invalid", setting="lora.modules_to_save"):
        prepared(tmp_path, lora={"modules_to_save": ["projektor"]})


def test_full_training_frees_all_but_the_tower(qwen: Path):
    _, model, _ = prepared(qwen, lora={"full": True})
    learning = set(trained_parameters(model))
    frozen = {name for name, _ in model.named_parameters()} - learning
    assert frozen
    assert all(".visual." in name for name in frozen)
    _, model, _ = prepared(qwen, lora={"full": True}, vision="trained")
    assert len(trained_parameters(model)) == len(learning | frozen)


def test_what_learns_is_float32_even_where_the_rest_is_not(llama: Path):
    made = recipe(Path("run"), llama, precision="bfloat16")
    base = load_base(made.base, made.precision, full=False)
    model = prepare_model(base, made)
    dtypes = {part.requires_grad: part.dtype for part in model.parameters()}
    assert dtypes == {True: torch.float32, False: torch.bfloat16}
    assert load_base(made.base, made.precision, full=True).model.dtype == torch.float32


def test_gradients_that_do_not_arrive_are_told(qwen: Path):
    _, model, _ = prepared(qwen, vision="trained")
    inside = {id(part) for part in vision_tower(model).parameters()}
    for part in trained_parameters(model).values():
        part.grad = None if id(part) in inside else torch.ones_like(part)
    with raises_code("weights_without_gradient", vision="trained"):
        check_gradients(model, "trained")
    for part in trained_parameters(model).values():
        part.grad = None
    with raises_code("weights_without_gradient", vision=None):
        check_gradients(model, "trained")


def test_four_bits_need_a_gpu(llama: Path):
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    with raises_code("gpu_missing", setting="lora.quantise"):
        load_base(PretrainedBase(model=str(llama)), "auto", full=False, quantised=True)


def test_vectors_do_not_decay(llama: Path):
    _, model, _ = prepared(llama, lora={"full": True})
    groups = parameter_groups(model, OptimiserConfig(weight_decay=0.1), ())
    for group in groups:
        assert {part.ndim > 1 for part in group["params"]} == {group["weight_decay"] > 0}
