"""The GPU benchmark of training on a very small shape: settings compute one thing, counts hold."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers import AutoModelForImageTextToText, Qwen2_5_VLConfig

from benchmarks import gpu_train
from benchmarks.gpu_train import QWEN, TINY, Setting
from training.loop.throughput import device_peak

PLAIN = Setting("eager", packing=False, checkpointing=False, logits="answers", compiled=False)


def test_the_shape_is_qwen_s_own():
    with torch.device("meta"):
        model = AutoModelForImageTextToText.from_config(Qwen2_5_VLConfig(**QWEN))
    assert sum(part.numel() for part in model.parameters()) == 7_509_245_952 // 2


def test_every_setting_takes_the_same_steps():
    chosen = gpu_train.read(["--tiny"])
    ways = itertools.product(
        ("sdpa", "eager"), (False, True), ((False, "answers"), (True, "all")), (False,)
    )
    settings = [
        Setting(kernel, packing, *kept, compiled) for kernel, packing, kept, compiled in ways
    ]
    settings.append(Setting("sdpa", True, True, "answers", True))
    losses = [gpu_train.measure(TINY, setting, chosen, "cpu")[0].loss for setting in settings]
    assert losses == pytest.approx([losses[0]] * len(losses), abs=1e-4)


def test_operations_are_those_that_torch_counts():
    chosen = gpu_train.read(["--tiny", "--samples", "1"])
    adapted = gpu_train.build(TINY, PLAIN, chosen.rank, "cpu")
    model = adapted.get_base_model()
    given = gpu_train.work(model, PLAIN, chosen)
    step = gpu_train.stepper(adapted, given, PLAIN)
    with FlopCounterMode(display=False) as counter:
        step()
    # This kernel computes both halves of causal attention, and nobody asks for the gradient of
    # what comes into the first layer.
    (length,), text = given.lengths, model.config.text_config
    half = 6 * text.num_hidden_layers * text.hidden_size * length**2
    first = model.model.language_model.layers[0].self_attn
    unasked = sum(
        layer.base_layer.weight.numel() + layer.lora_A.default.weight.numel()
        for layer in (first.q_proj, first.k_proj, first.v_proj)
    )
    wanted = gpu_train.operations(adapted, given) + half - 2 * length * unasked
    assert counter.get_total_flops() == wanted


def test_what_does_not_fit_says_so_and_the_table_goes_on(monkeypatch, capsys):
    measure = gpu_train.measure

    def small(shape, setting, chosen, device):
        if setting.logits == "all":
            raise torch.OutOfMemoryError
        return measure(shape, setting, chosen, device)

    monkeypatch.setattr(gpu_train, "measure", small)
    rest = "--attention sdpa --packing off --checkpointing off --compile off --logits all answers"
    gpu_train.main(["--tiny", *rest.split()])
    head, line, lost, done = capsys.readouterr().out.splitlines()[-4:]
    assert {row.count("|") for row in (head, line, lost, done)} == {13}
    assert "| sdpa | off | off | all | off | out of memory |" in lost
    assert float(done.split("|")[6]) > 0


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_one_line_says_so(capsys):
    gpu_train.main([])
    assert capsys.readouterr().out.startswith("no CUDA device: ")


@pytest.mark.parametrize("name", ["NVIDIA H200", "NVIDIA H100 80GB HBM3", "NVIDIA H100 PCIe", "?"])
def test_peaks_are_those_of_training(name):
    assert gpu_train.peak_of(name) == device_peak(name)
