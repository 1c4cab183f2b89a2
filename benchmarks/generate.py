"""Replies of the embedded language model: tokens a second beside a plain batched `generate` loop.

Run: python benchmarks/generate.py [--questions 48] [--batch 8] [--tokens 32] [--rounds 3]
[--data FILE].

Both ask the same questions with the same model and batch size, in turn. The loop takes batches in
input order; MedSift also weighs yes against no. Questions are those of a VQA-RAD-like JSON Lines
file, else of phantoms made on the spot. Replies must be the same.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median

from curation.models import EmbeddedModelConfig, LanguageModel
from evaluation.generators import GenerationConfig, Reply, Request
from evaluation.generators.causal import AskInText
from evaluation.generators.continuation import Continuation
from evaluation.prompts import PromptConfig, ask, candidates

DATA = os.environ.get("MEDSIFT_DATA", Path(__file__).resolve().parents[2] / "shared" / "data")
VQA_RAD = Path(DATA) / "vqa-rad" / "vqa_rad.jsonl"
NOTHING = {"options": None, "language": "en", "images": None}
Replies = list[tuple[str | None, int | None]]
Way = Callable[[Sequence[Request]], Replies]


def questions(path: Path | None, count: int) -> list[Request]:
    """Questions as an evaluation asks them, spread over the file."""
    with tempfile.TemporaryDirectory() as folder:
        if path is None:
            from curation.phantoms import make_phantoms

            path = make_phantoms(Path(folder) / "phantoms", images=max(20, count // 4), seed=0).root
            path /= "samples.jsonl"
        lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    told = [line for line in lines if line.get("question") and line.get("answer")]
    return [request(line) for line in told[:: max(1, len(told) // count)][:count]]


def request(line: dict[str, object]) -> Request:
    """The request that a line's question makes to a model that does not look."""
    kind = str(line.get("answer_type")).strip().lower()
    item = {**NOTHING, "question": line["question"], "gold": str(line["answer"])}
    item["answer_type"] = kind if kind == "closed" else "open"
    turns = ask(item, PromptConfig(), looks=False)
    return Request("vqa", "", "original", turns, candidates=candidates(item))


def plain(
    model: LanguageModel, requests: Sequence[Request], batch: int, new_tokens: int
) -> Replies:
    """The loop one writes first."""
    import torch

    tokenizer, replies = model.tokenizer, []
    prompts = [
        tokenizer.apply_chat_template(
            [{"role": role, "content": content} for role, content in request.turns],
            add_generation_prompt=True,
            tokenize=False,
        )
        for request in requests
    ]
    for start in range(0, len(prompts), batch):
        given = tokenizer(
            prompts[start : start + batch],
            padding=True,
            padding_side="left",
            return_tensors="pt",
            return_token_type_ids=False,
        ).to(model.device)
        with torch.inference_mode():
            ids = model.model.generate(**given, max_new_tokens=new_tokens, do_sample=False)
        for row in ids[:, given["input_ids"].shape[1] :].tolist():
            end = row.index(tokenizer.eos_token_id) if tokenizer.eos_token_id in row else len(row)
            replies.append((tokenizer.decode(row[:end]).strip(), min(end + 1, len(row))))
    return replies


def ours(generator: Continuation, requests: Sequence[Request]) -> Replies:
    """The same by MedSift."""
    replies: list[Reply] = generator.generate(requests)
    return [(reply.text, reply.tokens) for reply in replies]


def timed(way: Way, asked: Sequence[Request]) -> tuple[float, Replies]:
    """Seconds of one way to ask, and the replies."""
    start = time.perf_counter()
    replies = way(asked)
    return time.perf_counter() - start, replies


def main() -> None:
    """Print both rates and their ratio, medians over the rounds; fail where replies differ."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--questions", type=int, default=48)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--tokens", type=int, default=32, help="most new tokens of a reply")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--data", type=Path, default=VQA_RAD if VQA_RAD.exists() else None)
    given = parser.parse_args()
    model = EmbeddedModelConfig().build()
    asked = questions(given.data, given.questions)
    config = GenerationConfig(max_new_tokens=given.tokens)
    generator = Continuation(model.model, AskInText(model), config, given.batch)
    ways: list[Way] = [
        lambda some: plain(model, some, given.batch, given.tokens),
        lambda some: ours(generator, some),
    ]
    for way in ways:
        way(asked[: given.batch])
    rounds = [[timed(way, asked) for way in ways] for _ in range(given.rounds)]
    wanted = rounds[0][0][1]
    runs = [replies for one in rounds for _, replies in one]
    same = sum(all(run[place] == reply for run in runs) for place, reply in enumerate(wanted))
    tokens = sum(count or 0 for _, count in wanted)
    text = "phantoms" if given.data is None else given.data.name
    print(
        f"{len(asked)} questions of {text}, {tokens} new tokens, batches of {given.batch}, "
        f"{given.rounds} rounds, medians, load {os.getloadavg()[0]:.1f}"
    )
    print(f"{'':24}{'seconds':>9}{'tokens/s':>10}")
    for place, name in enumerate(("plain generate loop", "medsift")):
        seconds = median(one[place][0] for one in rounds)
        print(f"{name:24}{seconds:>9.2f}{tokens / seconds:>10.1f}")
    ratio = median(loop / own for (loop, _), (own, _) in rounds)
    print(f"ratio {ratio:.2f}, {same} of {len(wanted)} replies the same in every round")
    if same < len(wanted):
        raise SystemExit("replies differ")


if __name__ == "__main__":
    main()
