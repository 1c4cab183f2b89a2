"""One million predictions scored by `strict`, and every figure of them with its interval.

    python benchmarks/scoring.py [--rows 1000000] [--seed 0]

Four benchmarks on 50,000 pictures, their items asked in five variants by one model; replies are
written from templates as models write them (bare words, sentences, reasoning, boxes, letters with
text, lists, Chinese, empty), a few hundred thousand of them different. Time and memory are of
`score_predictions` and of `breakdown` over all facets and modality by task, clustered on picture,
in a process that holds the table already. The target is 60 s on two cores.
"""

from __future__ import annotations

import argparse
import os
import platform
import resource
import time
from random import Random
from typing import Any

import pyarrow as pa

from evaluation.records import PREDICTIONS
from evaluation.scoring.predictions import score_predictions
from medsift.statistics import FACETS, breakdown

BENCHMARKS = ("open_vqa", "closed_vqa", "exam", "mixed")
VARIANTS = ("original", "noise", "blank", "swapped_image", "paraphrase")
PICTURES = 50_000
FINDINGS = (
    "pleural effusion", "pneumothorax", "midline shift", "infarct", "hepatic cysts", "mass",
    "cardiomegaly", "atelectasis", "rib fracture", "renal calculi", "ascites", "free air",
    "hydrocephalus", "subdural haematoma", "lymphadenopathy", "aneurysm", "consolidation",
)  # fmt: skip
PLACES = (
    "left lower lobe", "right upper lobe", "left hemithorax", "basal ganglia", "right kidney",
    "liver dome", "aortic arch", "fourth ventricle", "pelvis", "left costophrenic angle",
    "splenic flexure", "right parietal lobe", "mediastinum", "pancreatic tail", "sella turcica",
)  # fmt: skip
HOW = ("large", "small", "subtle", "acute", "chronic", "bilateral", "mild", "marked", "old")
TAGS = {
    "modality": ("ct", "mr", "xray", "us", "pathology", "endoscopy", "fundus", "other"),
    "body_part": ("head", "chest", "abdomen", "pelvis", "spine", "limb", "neck", "eye", "skin"),
    "task_type": ("presence", "position", "size", "plane", "organ", "modality", "count", "other"),
}


def predictions(rows: int, seed: int = 0) -> pa.Table:
    """PREDICTIONS rows in the order of their items, whole items only."""
    rng = Random(seed)
    items = max(rows // len(VARIANTS), 1)
    blocks = []
    for start in range(0, items, 10_000):
        made = [_item(rng, number, items) for number in range(start, min(start + 10_000, items))]
        lines = [
            {**item, "variant": variant, "reply": _reply(rng, item)}
            for item in made
            for variant in VARIANTS
        ]
        blocks.append(pa.Table.from_pylist(lines, schema=PREDICTIONS))
    return pa.concat_tables(blocks).combine_chunks()


def _item(rng: Random, number: int, items: int) -> dict[str, Any]:
    [kind] = rng.choices(("closed", "open", "choice"), (45, 30, 25))
    answers = {
        "closed": rng.choice(("yes", "no")),
        "open": _phrase(rng),
        "choice": rng.choice("ABCD"),
    }
    return {
        "evaluation_id": "e",
        "benchmark": BENCHMARKS[number % len(BENCHMARKS)],
        "item_id": f"i{number:07d}",
        "image_id": f"p{number * PICTURES // max(items, PICTURES)}",
        "answer_type": kind,
        "gold": answers[kind],
        "options": [_phrase(rng) for _ in range(4)] if kind == "choice" else None,
        "language": "zh" if rng.random() < 0.1 else "en",
        **{tag: rng.choice(values) for tag, values in TAGS.items()},
    }


def _phrase(rng: Random) -> str:
    return f"{rng.choice(HOW)} {rng.choice(FINDINGS)} in the {rng.choice(PLACES)}"


def _reply(rng: Random, item: dict[str, Any]) -> str | None:
    """A reply that is right three times in five, in one of the forms that models choose."""
    if rng.random() < 0.01:
        return rng.choice((None, "", "I cannot tell from this image."))
    write = {"closed": _closed, "open": _open, "choice": _choice}[item["answer_type"]]
    said = write(rng, item, rng.random() < 0.6)
    form = rng.random()
    if form < 0.05:
        return f"<think>{_phrase(rng)}? {_phrase(rng)}.</think>\n{said}"
    if form < 0.1:
        return f"Let us look at the image. It shows {_phrase(rng)}.\n\n**Answer:** {said}"
    return f"\\boxed{{{said}}}" if form < 0.12 else said


def _closed(rng: Random, item: dict[str, Any], right: bool) -> str:
    pole = (item["gold"] == "yes") is right
    if item["language"] == "zh":
        return rng.choice(("是的。", "有") if pole else ("否。", "没有"))
    word, there = ("Yes", "there is") if pole else ("No", "there is no")
    forms = (word, word.lower(), f"{word}.", f"{word}, {there} {_phrase(rng)}.")
    return rng.choices(forms, (35, 20, 10, 35))[0]


def _open(rng: Random, item: dict[str, Any], right: bool) -> str:
    said = str(item["gold"]) if right else _phrase(rng)
    forms = (said, f"The image shows {said}.", f"{said}, most likely {_phrase(rng)}")
    return rng.choices(forms, (60, 20, 20))[0]


def _choice(rng: Random, item: dict[str, Any], right: bool) -> str:
    letter = item["gold"] if right else rng.choice("ABCD")
    text = item["options"]["ABCD".index(letter)]
    forms = (letter, f"({letter})", f"{letter}. {text}", text, f"The answer is {letter}: {text}.")
    return rng.choices(forms, (40, 10, 30, 10, 10))[0]


def measure(rows: int, seed: int) -> None:
    """Print seconds, memory and counts of scoring and of the intervals."""
    table = predictions(rows, seed)
    facets: list[str | tuple[str, ...]] = [*FACETS, ("modality", "task_type")]
    names = ["benchmark", "answer_type", "gold", "reply"]
    different = table.select(names).group_by(names).aggregate([]).num_rows
    size = f"{table.nbytes / 2**20:,.0f} MB"
    print(f"{table.num_rows:,} predictions, {different:,} different, {size}")
    before, start = _peak(), _now()
    scored = score_predictions(table, "strict")
    middle = _now()
    print(f"score     {_between(start, middle)}")
    figures = breakdown(scored, facets)
    end = _now()
    print(f"intervals {_between(middle, end)}, {figures.num_rows:,} figures")
    print(
        f"both      {_between(start, end)}, {_peak() - before:,.0f} MB more than the table, "
        f"load {os.getloadavg()[0]:.1f}"
    )


def _now() -> tuple[float, float]:
    return time.perf_counter(), time.process_time()


def _between(start: tuple[float, float], end: tuple[float, float]) -> str:
    return f"{end[0] - start[0]:6.1f} s ({end[1] - start[1]:.1f} CPU s)"


def _peak() -> float:
    """Return the peak memory of the process so far, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    print(f"{platform.machine()}, {os.cpu_count()} CPUs, Python {platform.python_version()}")
    measure(chosen.rows, chosen.seed)


if __name__ == "__main__":
    main()
