"""Measure LoRA steps of Qwen2.5-VL-3B's shape on a GPU: rates, FLOP utilisation, peak memory.

    python benchmarks/gpu_train.py [--tiny] [--samples 16] [--side 448] [--text 256] [--rank 16]
        [--steps 5] [--attention sdpa eager ...] [--packing off on] [--checkpointing off on]
        [--logits answers all] [--compile off on]

Needs torch, transformers and peft alone; weights and samples are random. A sample is a picture of
side * side pixels and words, between half and one and a half times `--text` of them, of which the
second half is learned. Vision tower frozen and in evaluation mode, base in bfloat16, adapters on
all linear layers of the language model in float32 under autocast, AdamW, gradient clipped. Every
setting of the grid, which the options narrow, begins with the same weights and takes the same
steps: the losses at the end should agree. Without the GPU, `--tiny` runs the grid on a very small
shape in float32, which shows that it works and nothing about speed.

Utilisation counts what the model needs, whatever a setting does beyond it (padding, activations
computed twice, logits that nobody asks for):

    token      4 a frozen weight of the decoder (2 forward, 2 for the gradient of what came in, none
               for its own), 6 a weight of an adapter
    prediction 4 a weight of the output layer
    sample     6 * layers * width * tokens^2 for causal attention, forward and backward
    picture    2 a weight of the tower for each patch (the merger's: each merged patch), and
               4 * width * patches * patches in sight for each layer's attention: forward alone
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import importlib.util
import itertools
import re
import statistics
import time
import warnings
from collections.abc import Callable
from dataclasses import astuple, dataclass
from typing import Any, NamedTuple

import peft
import torch
import transformers
from torch import Tensor
from torch.nn.functional import cross_entropy
from torch.nn.utils.rnn import pad_sequence
from transformers import AutoModelForImageTextToText, Qwen2_5_VLConfig

ROTARY: dict[str, Any] = {"rope_type": "default", "rope_theta": 1e6}
# Qwen/Qwen2.5-VL-3B-Instruct's own config.json.
QWEN: dict[str, Any] = {
    "text_config": {
        "vocab_size": 151936,
        "hidden_size": 2048,
        "intermediate_size": 11008,
        "num_hidden_layers": 36,
        "num_attention_heads": 16,
        "num_key_value_heads": 2,
        "max_position_embeddings": 128000,
        "rms_norm_eps": 1e-6,
        "rope_parameters": ROTARY | {"mrope_section": [16, 24, 24]},
    },
    "vision_config": {
        "depth": 32,
        "hidden_size": 1280,
        "intermediate_size": 3420,
        "num_heads": 16,
        "out_hidden_size": 2048,
        "patch_size": 14,
        "spatial_merge_size": 2,
        "temporal_patch_size": 2,
        "tokens_per_second": 2,
        "window_size": 112,
        "fullatt_block_indexes": [7, 15, 23, 31],
    },
    "vision_start_token_id": 151652,
    "vision_end_token_id": 151653,
    "image_token_id": 151655,
    "video_token_id": 151656,
    "tie_word_embeddings": True,
}
TINY: dict[str, Any] = QWEN | {
    "text_config": QWEN["text_config"]
    | {
        "vocab_size": 64,
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "initializer_range": 0.2,
        "bos_token_id": None,
        "eos_token_id": None,
        "rope_parameters": ROTARY | {"mrope_section": [2, 3, 3]},
    },
    "vision_config": QWEN["vision_config"]
    | {
        "depth": 2,
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_heads": 2,
        "out_hidden_size": 32,
        "fullatt_block_indexes": [1],
    },
    "vision_start_token_id": 60,
    "vision_end_token_id": 61,
    "image_token_id": 62,
    "video_token_id": 63,
}
LINEAR = r"model\.language_model\.layers\.\d+\..*_proj"

# Dense bfloat16 operations a second, in 10^12, by the maker's data sheets; the first that fits.
PEAKS = {r"H200|GH200|H100.*(SXM|HBM3)": 989.0, r"H100": 756.0, r"A100|A800": 312.0}
TARGET = 0.40

SIZES = {
    "samples": (16, 3, "samples of a step"),
    "side": (448, 112, "pixels along an edge, a multiple of 112"),
    "text": (256, 24, "words of a sample, on average"),
    "rank": (16, 4, "of the adapters"),
    "steps": (5, 2, "steps measured, after two others"),
}

FLASH = "flash_attention_2"
KERNELS = ("sdpa", "eager", *([FLASH] if importlib.util.find_spec("flash_attn") else []))
SWITCH = ("off", "on")
WARM_UP = 2
IGNORED = -100
NOTHING = "–"
HEAD = (
    "| attention | packing | checkpointing | logits | compile "
    "| samples/s | tokens/s | MFU | step ms | tower ms | peak GiB | loss |"
)


@dataclass(frozen=True, slots=True)
class Setting:
    """One row of the table."""

    attention: str
    packing: bool
    checkpointing: bool
    logits: str
    compiled: bool

    def cells(self) -> list[str]:
        """Return the cells of the table."""
        parts = astuple(self)
        return [SWITCH[part] if isinstance(part, bool) else str(part) for part in parts]


@dataclass(frozen=True, slots=True)
class Work:
    """The samples of a step as the model takes them; `labels` (b, m) are IGNORED or learned."""

    inputs: dict[str, Tensor]
    labels: Tensor
    lengths: list[int]
    supervised: int
    patches: int


class Measured(NamedTuple):
    """Medians of a step's seconds and of its vision tower's; the loss of the last step."""

    seconds: float
    tower: float
    loss: float


def build(shape: dict[str, Any], setting: Setting, rank: int, device: str) -> Any:
    """The model with adapters, in training mode but for its frozen tower."""
    torch.manual_seed(0)
    dtype = torch.bfloat16 if device == "cuda" else torch.float32
    with torch.device(device):
        model = AutoModelForImageTextToText.from_config(
            Qwen2_5_VLConfig(**shape), dtype=dtype, attn_implementation=setting.attention
        )
    lora = peft.LoraConfig(r=rank, lora_alpha=2 * rank, target_modules=LINEAR)
    adapted = peft.get_peft_model(model, lora)
    adapted.train()
    model.model.visual.eval()
    if setting.checkpointing:
        model.activation_checkpointing_enable({"use_reentrant": False})
    if setting.compiled:
        # Layers are alike: one is compiled for all. On a CPU their graphs are only traced.
        for layer in model.model.language_model.layers:
            layer.compile(backend="inductor" if device == "cuda" else "aot_eager")
    return adapted


def work(model: Any, setting: Setting, chosen: argparse.Namespace) -> Work:
    """Samples, each in a row of its own and padded on the right, or all in one row."""
    config, device, vision = model.config, model.device, model.config.vision_config
    edge = chosen.side // vision.patch_size
    words = torch.linspace(chosen.text / 2, 3 * chosen.text / 2, chosen.samples).round().long()
    learned = (words // 2).tolist()
    torch.manual_seed(1)
    start, end = config.vision_start_token_id, config.vision_end_token_id
    cells = edge**2 // vision.spatial_merge_size**2
    picture = torch.tensor([start, *[config.image_token_id] * cells, end])
    ids = [torch.cat([picture, torch.randint(0, start, (count,))]) for count in words.tolist()]
    padded = pad_sequence(ids, batch_first=True).to(device)
    mask = pad_sequence([torch.ones_like(row) for row in ids], batch_first=True).to(device)
    labels = torch.full_like(padded, IGNORED)
    for number, (row, count) in enumerate(zip(ids, learned, strict=True)):
        labels[number, len(row) - count : len(row)] = row[-count:]
    values = vision.in_channels * vision.temporal_patch_size * vision.patch_size**2
    inputs = {
        "input_ids": padded,
        "attention_mask": mask,
        "mm_token_type_ids": (padded == config.image_token_id).int(),
        "pixel_values": torch.randn(len(ids) * edge**2, values).to(device),
        "image_grid_thw": torch.tensor([[1, edge, edge]] * len(ids), device=device),
    }
    if setting.packing:
        inputs, labels = _packed(model, inputs, labels)
    return Work(inputs, labels, [len(row) for row in ids], sum(learned), edge**2)


def _packed(
    model: Any, inputs: dict[str, Tensor], labels: Tensor
) -> tuple[dict[str, Tensor], Tensor]:
    """Put all samples in one row; positions that restart tell transformers where each begins."""
    mask = inputs["attention_mask"].bool()
    positions, _ = model.model.get_rope_index(
        inputs["input_ids"],
        inputs["mm_token_type_ids"],
        inputs["image_grid_thw"],
        attention_mask=inputs["attention_mask"],
    )
    places = torch.arange(mask.shape[1], device=mask.device).expand(mask.shape)
    row = {
        "input_ids": inputs["input_ids"][mask][None],
        "position_ids": torch.cat([places[None], positions])[:, mask].unsqueeze(1),
        "pixel_values": inputs["pixel_values"],
        "image_grid_thw": inputs["image_grid_thw"],
    }
    return row, labels[mask][None]


def operations(adapted: Any, given: Work) -> float:
    """Operations that a step needs, by the formula above."""
    model = adapted.get_base_model()
    text, vision = model.config.text_config, model.config.vision_config
    weights = [part for part in model.model.language_model.layers.parameters() if part.ndim == 2]
    token = sum(part.numel() * (6 if part.requires_grad else 4) for part in weights)
    pair = 6 * text.num_hidden_layers * text.hidden_size
    tokens, pairs = sum(given.lengths), sum(length**2 for length in given.lengths)
    looked = len(given.inputs["image_grid_thw"]) * _picture(model, vision, given.patches)
    learned = 4 * model.lm_head.weight.numel() * given.supervised
    return float(token * tokens + pair * pairs + learned + looked)


def _picture(model: Any, vision: Any, patches: int) -> int:
    tower, width = model.model.visual, int(vision.hidden_size)
    merged = sum(part.numel() for part in tower.merger.parameters() if part.ndim == 2)
    weights = sum(part.numel() for part in tower.parameters() if part.ndim >= 2) - merged
    window = min(patches, int(vision.window_size // vision.patch_size) ** 2)
    whole = len(vision.fullatt_block_indexes)
    seen = whole * patches + (vision.depth - whole) * window
    places = patches // int(vision.spatial_merge_size) ** 2
    return int(2 * (weights * patches + merged * places) + 4 * width * patches * seen)


def stepper(adapted: Any, given: Work, setting: Setting) -> Callable[[], float]:
    """A function that takes one optimiser step and says its loss."""
    model, device = adapted.get_base_model(), adapted.device.type
    learning = [part for part in model.parameters() if part.requires_grad]
    optimiser = torch.optim.AdamW(learning, lr=1e-3, weight_decay=0.0)
    rows, places = (given.labels[:, 1:] != IGNORED).nonzero(as_tuple=True)
    asked: tuple[Any, ...] = (rows, places)
    targets = given.labels[rows, places + 1]
    if setting.logits == "all":
        asked, targets = (slice(None), slice(-1)), given.labels[:, 1:].flatten()

    def step() -> float:
        optimiser.zero_grad(set_to_none=True)
        with torch.autocast(device, torch.bfloat16, enabled=device == "cuda"):
            hidden = model.model(**given.inputs, use_cache=False)[0]
            logits = model.lm_head(hidden[asked])
        loss = cross_entropy(logits.float().flatten(0, -2), targets, ignore_index=IGNORED)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(learning, 1.0)
        optimiser.step()
        return float(loss.detach())

    return step


def measure(
    shape: dict[str, Any], setting: Setting, chosen: argparse.Namespace, device: str
) -> tuple[Measured, Work, float]:
    """Steps of a setting: what they took, on what, and the operations that they needed."""
    adapted = build(shape, setting, chosen.rank, device)
    model = adapted.get_base_model()
    given = work(model, setting, chosen)
    step = stepper(adapted, given, setting)
    for _ in range(WARM_UP):
        step()
    taken = [_timed(step, device) for _ in range(chosen.steps)]
    seconds, losses = zip(*taken, strict=True)
    pixels, grid = given.inputs["pixel_values"], given.inputs["image_grid_thw"]
    with torch.no_grad(), torch.autocast(device, torch.bfloat16, enabled=device == "cuda"):
        tower = [_timed(lambda: model.model.visual(pixels, grid), device)[0] for _ in range(3)]
    measured = Measured(statistics.median(seconds), statistics.median(tower), losses[-1])
    return measured, given, operations(adapted, given)


def _timed(run: Callable[[], Any], device: str) -> tuple[float, Any]:
    if device == "cuda":
        torch.cuda.synchronize()
    start = time.perf_counter()
    found = run()
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start, found


def row(setting: Setting, chosen: argparse.Namespace, device: str) -> tuple[list[str], float]:
    """The cells of a setting, and its utilisation, 0 where it is not known."""
    result = None
    # An error's frames keep tensors alive, which are freed after this block.
    with contextlib.suppress(torch.OutOfMemoryError):
        result = measure(TINY if chosen.tiny else QWEN, setting, chosen, device)
    gc.collect()
    torch._dynamo.reset()
    peak = NOTHING
    if device == "cuda":
        peak = f"{torch.cuda.max_memory_allocated() / 2**30:.1f}"
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    if result is None:
        return [*setting.cells(), "out of memory", *[NOTHING] * 4, peak, NOTHING], 0.0
    measured, given, needed = result
    most = peak_of(torch.cuda.get_device_name()) if device == "cuda" else None
    used = needed / measured.seconds / most if most else 0.0
    cells = [
        f"{len(given.lengths) / measured.seconds:.1f}",
        f"{sum(given.lengths) / measured.seconds:.0f}",
        f"{used:.3f}" if most else NOTHING,
        f"{measured.seconds * 1e3:.0f}",
        f"{measured.tower * 1e3:.0f}",
        peak,
        f"{measured.loss:.4f}",
    ]
    return [*setting.cells(), *cells], used


def peak_of(name: str) -> float | None:
    """Return the operations per second of a GPU by its name; None where it is not known."""
    peaks = (peak * 1e12 for pattern, peak in PEAKS.items() if re.search(pattern, name))
    return next(peaks, None)


def grid(chosen: argparse.Namespace) -> list[Setting]:
    """The settings that were asked for."""
    switched = [
        [place == "on" for place in axis]
        for axis in (chosen.packing, chosen.checkpointing, chosen.compile)
    ]
    packing, checkpointing, compiled = switched
    axes = (chosen.attention, packing, checkpointing, chosen.logits, compiled)
    return [Setting(*one) for one in itertools.product(*axes)]


def read(arguments: list[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--tiny", action="store_true", help="a very small shape on the CPU")
    for name, (large, small, meaning) in SIZES.items():
        parser.add_argument(f"--{name}", type=int, help=f"{meaning}; {large}, or {small} if tiny")
    parser.add_argument("--attention", nargs="+", choices=KERNELS, default=list(KERNELS))
    for name in ("packing", "checkpointing", "compile"):
        parser.add_argument(f"--{name}", nargs="+", choices=SWITCH, default=list(SWITCH))
    places = ("answers", "all")
    parser.add_argument("--logits", nargs="+", choices=places, default=list(places))
    chosen = parser.parse_args(arguments)
    for name, (large, small, _) in SIZES.items():
        if getattr(chosen, name) is None:
            setattr(chosen, name, small if chosen.tiny else large)
    if chosen.side < 112 or chosen.side % 112:
        parser.error(f"--side is {chosen.side}; whole windows need a multiple of 112")
    return chosen


def main(arguments: list[str] | None = None) -> None:
    """Print the table row by row, then the best utilisation."""
    chosen = read(arguments)
    if not (chosen.tiny or torch.cuda.is_available()):
        print("no CUDA device: this benchmark measures a GPU; run it on one, or try --tiny")
        return
    device = "cpu" if chosen.tiny else "cuda"
    # PEFT and torch.compile warn of what is meant here.
    warnings.simplefilter("ignore")
    name = "CPU" if chosen.tiny else torch.cuda.get_device_name()
    print(
        f"{name}, torch {torch.__version__}, transformers {transformers.__version__}, peft "
        f"{peft.__version__}; {chosen.samples} samples a step, {chosen.side} x {chosen.side} "
        f"pixels, {chosen.text} words, rank {chosen.rank}, medians of {chosen.steps} steps\n"
    )
    print(f"{HEAD}\n|{'---|' * (HEAD.count('|') - 1)}", flush=True)
    best = 0.0
    for setting in grid(chosen):
        cells, used = row(setting, chosen, device)
        best = max(best, used)
        print(f"| {' | '.join(cells)} |", flush=True)
    if best:
        print(f"\nbest MFU {best:.3f}, target {TARGET:.2f}")


if __name__ == "__main__":
    main()
