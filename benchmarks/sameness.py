"""Precision and recall of the rules for texts, on labelled pairs in ten languages.

    python benchmarks/sameness.py [--pairs tests/curation/dedup/labelled_pairs.yaml] [--part both]

The duplicate search itself runs, with the embedded encoder. `questions` and `notes` count rows that
were dropped (as `paraphrase`, `same_sample` or `near_text`) against pairs labelled the same;
`answers` counts rows in `conflicts` against pairs that a reader says contradict each other.
"""

from __future__ import annotations

import argparse
import itertools
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import pyarrow as pa
import yaml

PAIRS: Final = Path(__file__).parents[1] / "tests/curation/dedup/labelled_pairs.yaml"
PARTS: Final = ("tuned", "kept_back")
KINDS: Final = ("questions", "notes", "answers")
POSITIVE: Final = ("same", "conflict")


@dataclass(frozen=True, slots=True)
class Pair:
    """Two texts with the label that a person gave them, and their question."""

    kind: str
    language: str
    part: str
    positive: bool
    one: str
    other: str
    question: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """A pair and the result of the search: the `reason` of a drop, "conflict", or None."""

    pair: Pair
    reason: str | None


def read_pairs(path: Path, parts: Iterable[str] = PARTS) -> list[Pair]:
    """All pairs of a file; a note's second text is the first with one edit."""
    pairs = []
    for language, kinds in yaml.safe_load(path.read_text("utf-8")).items():
        question = kinds["answers"]["question"]
        note = " ".join(kinds["notes"]["text"].split())
        for part, kind in itertools.product(parts, KINDS):
            for label, texts in kinds[kind][part].items():
                for one, other in texts:
                    both = (note, note.replace(one, other)) if kind == "notes" else (one, other)
                    pairs.append(Pair(kind, language, part, label in POSITIVE, *both, question))
    return pairs


def judge(
    pairs: list[Pair], *, vectors: Literal["embedded", "equal"] = "embedded", tagged: bool = False
) -> list[Verdict]:
    """Run the duplicate search on two rows a pair: one picture a pair, none for notes.

    With `equal` vectors every cosine is 1, so that words alone decide: the hardest case for
    precision, and what an encoder that reads every language could reach in recall. With `tagged`,
    rows name their language.
    """
    from curation.dedup import DedupConfig, deduplicate
    from curation.encoders import EmbeddedConfig
    from medsift import records
    from medsift.storage.vectors import ContentVectors

    rows = [row for number, pair in enumerate(pairs) for row in _rows(number, pair, tagged)]
    samples = pa.Table.from_pylist(rows, schema=records.SAMPLES)
    texts = sorted(
        {records.canonical_text(turn["content"]) for row in rows for turn in row["messages"]}
    )
    matrix = np.ones((len(texts), 1), np.float32)
    if vectors == "embedded":
        matrix = EmbeddedConfig().build().encode_texts(texts)
    images = [f"image{number}" for number in range(len(pairs))]
    random = np.random.default_rng(0)
    eyes = random.normal(size=(len(images), 256)).astype(np.float32)
    eyes /= np.linalg.norm(eyes, axis=1, keepdims=True)
    result = deduplicate(
        samples,
        pa.Table.from_pylist([_facts(image, random) for image in images], schema=records.IMAGES),
        ContentVectors(images, eyes),
        ContentVectors([records.text_id(text) for text in texts], matrix),
        DedupConfig(),
    )
    dropped = dict(
        zip(*(result.decisions[name].to_pylist() for name in ("row_id", "reason")), strict=True)
    )
    conflicts = set(result.conflicts["row_id"].to_pylist())
    verdicts = []
    for number, pair in enumerate(pairs):
        names = [f"{number:04}{side}" for side in "ab"]
        reason = next((dropped[name] for name in names if name in dropped), None)
        if pair.kind == "answers":
            reason = "conflict" if set(names) <= conflicts else None
        verdicts.append(Verdict(pair, reason))
    return verdicts


def _rows(number: int, pair: Pair, tagged: bool) -> Iterator[dict[str, Any]]:
    from medsift import records

    for side, text in (("a", pair.one), ("b", pair.other)):
        asked, answer, images = pair.question, text, [f"image{number}"]
        if pair.kind == "questions":
            asked, answer = text, "1"
        if pair.kind == "notes":
            # The number keeps the notes of two pairs apart.
            asked, images = f"{pair.question} ({number})", []
        messages = [{"role": "user", "content": asked}, {"role": "assistant", "content": answer}]
        yield {
            "sample_id": records.sample_id(images, messages),
            "row_id": f"{number:04}{side}",
            "source": "pairs",
            "question": asked,
            "answer": answer,
            "messages": messages,
            "refs": images,
            "images": images,
            "answer_type": "open",
            "language": pair.language if tagged else None,
        }


def _facts(image: str, random: np.random.Generator) -> dict[str, Any]:
    from medsift import records

    return dict.fromkeys(records.IMAGES.names) | {
        "image_id": image,
        "byte_hash": image,
        "ref": image,
        "phash": random.bytes(8).hex(),
        "thumb": random.bytes(64 * 64),
    }


def shares(verdicts: Iterable[Verdict]) -> tuple[float, float, int, int]:
    """Precision, recall, count of drops or flags, and count of positive pairs."""
    counts = Counter((verdict.pair.positive, verdict.reason is not None) for verdict in verdicts)
    right = counts[True, True]
    flagged, wanted = right + counts[False, True], right + counts[True, False]
    return right / flagged if flagged else 1.0, right / wanted if wanted else 1.0, flagged, wanted


def print_table(verdicts: list[Verdict]) -> None:
    """Print a Markdown table of precision and recall by kind and language."""
    languages = sorted({verdict.pair.language for verdict in verdicts})
    print("| language | " + " | ".join(f"{kind}: precision | recall" for kind in KINDS) + " |")
    print("|---" * (1 + 2 * len(KINDS)) + "|")
    for language in (*languages, "all"):
        cells = []
        for kind in KINDS:
            chosen = [
                verdict for verdict in verdicts
                if verdict.pair.kind == kind and language in (verdict.pair.language, "all")
            ]  # fmt: skip
            precision, recall, flagged, wanted = shares(chosen)
            right = round(precision * flagged)
            cells += [
                f"{precision:.2f} ({right}/{flagged})" if flagged else "-",
                f"{recall:.2f} ({right}/{wanted})",
            ]
        print(f"| {language} | " + " | ".join(cells) + " |")
    reasons = Counter(v.reason for v in verdicts if v.reason)
    wrong = Counter(v.reason for v in verdicts if v.reason and not v.pair.positive)
    listed = (f"{name} {count - wrong[name]}/{count}" for name, count in sorted(reasons.items()))
    print("\nright of all by rule: " + ", ".join(listed))


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--pairs", type=Path, default=PAIRS)
    parser.add_argument("--part", choices=[*PARTS, "both"], default="both")
    parser.add_argument("--vectors", choices=["embedded", "equal"], default="embedded")
    parser.add_argument("--tagged", action="store_true", help="rows name their language")
    parser.add_argument("--errors", action="store_true", help="list wrong verdicts")
    chosen = parser.parse_args()
    for part in PARTS if chosen.part == "both" else (chosen.part,):
        verdicts = judge(
            read_pairs(chosen.pairs, [part]), vectors=chosen.vectors, tagged=chosen.tagged
        )
        print(f"\n{part}: {len(verdicts)} pairs, {chosen.vectors} vectors\n")
        print_table(verdicts)
        if chosen.errors:
            for verdict in verdicts:
                if verdict.pair.positive != (verdict.reason is not None):
                    print(verdict, file=sys.stderr)


if __name__ == "__main__":
    main()
