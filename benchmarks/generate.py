"""Replies of the embedded language model: tokens a second next to a plain batched `generate` loop.

Run: python benchmarks/generate.py [--questions 48] [--batch 8] [--tokens 32] [--rounds 3]
[--data FILE].

Both ask the same batches with the same model, each batch one after the other in turn, so that a
machine whose speed drifts is fair to both; MedSift also weighs yes against no. The batches are
those that MedSift makes of its questions, by length. The loop over batches in input order is timed
too: a batch lasts as long as its longest reply, and between two orders of a few dozen questions
luck decides. Questions are those of a VQA-RAD-like JSON Lines file, else of phantoms made on the
spot. Replies must be the same.
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

from evaluation.generators import GenerationConfig, Reply, Request
from evaluation.prompts import PromptConfig, ask, candidates
from medsift.models import EmbeddedModelConfig, LanguageModel
from medsift.models.generation.asking import AskInText
from medsift.models.generation.continuation import Continuation, batches

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
    usable = [line for line in lines if line.get("question") and line.get("answer")]
    return [request(line) for line in usable[:: max(1, len(usable) // count)][:count]]


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


def in_batches(model: LanguageModel, requests: Sequence[Request], size: int) -> list[list[int]]:
    """Places of the requests that MedSift asks together."""
    prompts = AskInText(model).prompts(requests)
    return batches({k: one.size for k, one in enumerate(prompts) if one is not None}, size)


def ours(generator: Continuation, requests: Sequence[Request]) -> Replies:
    """The same by MedSift."""
    replies: list[Reply] = generator.generate(requests)
    return [(reply.text, reply.tokens) for reply in replies]


def timed(way: Way, asked: Sequence[Request]) -> tuple[float, Replies]:
    """Seconds of one way to ask, and the replies."""
    start = time.perf_counter()
    replies = way(asked)
    return time.perf_counter() - start, replies


def in_turn(
    ways: Sequence[Way], asked: Sequence[Request], together: Sequence[Sequence[int]]
) -> tuple[list[float], list[dict[int, tuple[str | None, int | None]]]]:
    """Seconds of each way over all batches, and its replies by place; who begins alternates."""
    seconds = [0.0] * len(ways)
    replies: list[dict[int, tuple[str | None, int | None]]] = [{} for _ in ways]
    for turn, places in enumerate(together):
        for way in sorted(range(len(ways)), key=lambda one: (one + turn) % len(ways)):
            took, batch = timed(ways[way], [asked[place] for place in places])
            seconds[way] += took
            replies[way].update(zip(places, batch, strict=True))
    return seconds, replies


def main() -> None:
    """Print all rates and ratios, medians over the rounds; fail where replies differ."""
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
    together = in_batches(model, asked, given.batch)
    _, (wanted, *_) = in_turn(ways[:1], asked, together)
    rounds = []
    for _ in range(given.rounds):
        seconds, replies = in_turn(ways, asked, together)
        alone, in_order = timed(ways[0], asked)
        rounds.append((alone, *seconds))
        if any(one != wanted for one in (*replies, dict(enumerate(in_order)))):
            raise SystemExit("replies differ")
    tokens = sum(count or 0 for _, count in wanted.values())
    text = "phantoms" if given.data is None else given.data.name
    print(
        f"{len(asked)} questions of {text}, {tokens} new tokens, batches of {given.batch}, "
        f"{given.rounds} rounds, medians, load {os.getloadavg()[0]:.1f}; replies the same in all"
    )
    print(f"{'':24}{'seconds':>9}{'tokens/s':>10}{'medsift is':>12}")
    for place, name in enumerate(("plain, input order", "plain, same batches", "medsift")):
        took = median(one[place] for one in rounds)
        ratio = median(one[place] / one[-1] for one in rounds)
        print(f"{name:24}{took:>9.2f}{tokens / took:>10.1f}{ratio:>12.2f}")


if __name__ == "__main__":
    main()
