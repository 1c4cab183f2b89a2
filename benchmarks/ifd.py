"""IFD on real question–answer pairs: samples a second next to a plain batched transformers loop.

Run: python benchmarks/ifd.py [--samples 256] [--batch 16] [--dtype float32] [--data FILE].

Both use the embedded model on the same tokens, each answer once after its question and once with
nothing asked. The loop takes batches in input order, padded to their longest, with an attention
mask and whole logits. Texts are those of a VQA-RAD-like JSON Lines file (`question`, `answer`),
else of phantoms made on the spot. The losses of both are compared.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from medsift.models import EmbeddedModelConfig, LanguageModel
from medsift.models.chat_format import Framing, Tokens
from medsift.models.likelihood import AnswerLikelihood

DATA = os.environ.get("MEDSIFT_DATA", Path(__file__).resolve().parents[2] / "shared" / "data")
VQA_RAD = Path(DATA) / "vqa-rad" / "vqa_rad.jsonl"
Losses = NDArray[np.float64]


def pairs(path: Path | None, count: int) -> list[tuple[str, str]]:
    """Questions and answers, spread over the file."""
    with tempfile.TemporaryDirectory() as folder:
        if path is None:
            from curation.phantoms import make_phantoms

            path = make_phantoms(Path(folder) / "phantoms", images=max(20, count // 4), seed=0).root
            path /= "samples.jsonl"
        lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    told = [(str(line.get("question")), str(line.get("answer"))) for line in lines]
    known = [pair for pair in told if all(pair)]
    return known[:: max(1, len(known) // count)][:count]


def sequences(model: LanguageModel, told: Sequence[tuple[str, str]]) -> list[Tokens]:
    """Each answer after its question, then each answer with nothing asked."""
    framing = Framing(model.tokenizer)
    prompts = framing.prompts([[("user", question)] for question, _ in told])
    answers = framing.answers([answer for _, answer in told])
    before = [prompt or [] for prompt in prompts] + [framing.opening] * len(told)
    return [
        Tokens(start + answer, len(start))
        for start, answer in zip(before, answers + answers, strict=True)
    ]


def plain(model: LanguageModel, asked: Sequence[Tokens], batch: int) -> Losses:
    """The loop one writes first."""
    import torch

    losses = []
    for start in range(0, len(asked), batch):
        rows = asked[start : start + batch]
        ids = [torch.tensor(one.ids) for one in rows]
        padded = torch.nn.utils.rnn.pad_sequence(ids, batch_first=True)
        mask = torch.nn.utils.rnn.pad_sequence([torch.ones_like(one) for one in ids], True)
        labels = padded.masked_fill(mask == 0, -100)
        for row, one in enumerate(rows):
            labels[row, : one.start] = -100
        with torch.inference_mode():
            logits = model.model(input_ids=padded, attention_mask=mask).logits[:, :-1]
            each = torch.nn.functional.cross_entropy(
                logits.float().transpose(1, 2), labels[:, 1:], reduction="none"
            )
        counts = (labels[:, 1:] >= 0).sum(1)
        losses.append((each.sum(1) / counts).double().numpy())
    return np.concatenate(losses)


def timed(work: Callable[[], Losses], rounds: int) -> tuple[float, Losses]:
    """Fewest seconds of some rounds, and the losses."""
    taken = []
    for _ in range(rounds):
        start = time.perf_counter()
        losses = work()
        taken.append(time.perf_counter() - start)
    return min(taken), losses


def main() -> None:
    """Print both rates, their ratio and how far the losses differ."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--samples", type=int, default=256)
    parser.add_argument("--batch", type=int, default=16, help="rows of the plain loop's batches")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), default="float32")
    parser.add_argument("--data", type=Path, default=VQA_RAD if VQA_RAD.exists() else None)
    given = parser.parse_args()
    model = EmbeddedModelConfig(dtype=given.dtype).build()
    told = pairs(given.data, given.samples)
    asked = sequences(model, told)
    likelihood = AnswerLikelihood(model)
    plain(model, asked[:4], 4)
    likelihood.losses(asked[:4])
    loop, wanted = timed(lambda: plain(model, asked, given.batch), given.rounds)
    ours, found = timed(lambda: likelihood.losses(asked), given.rounds)
    text = "phantoms" if given.data is None else given.data.name
    tokens = sum(len(one.ids) for one in asked)
    load = os.getloadavg()[0]
    print(f"{len(told)} pairs of {text}, {tokens} tokens, {given.dtype}, load {load:.1f}")
    print(f"{'':24}{'seconds':>9}{'samples/s':>11}{'tokens/s':>10}")
    for name, seconds in (("plain transformers loop", loop), ("medsift", ours)):
        rates = f"{len(told) / seconds:>11.1f}{tokens / seconds:>10.0f}"
        print(f"{name:24}{seconds:>9.2f}{rates}")
    print(
        f"ratio {loop / ours:.2f}, losses differ by at most {np.abs(found - wanted).max():.1e} nats"
    )
    ratios = [np.divide(*np.split(losses, 2)) for losses in (wanted, found)]
    print(f"IFD differs by at most {np.abs(ratios[0] - ratios[1]).max():.1e}")


if __name__ == "__main__":
    main()
