from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import imagehash
import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from curation.dedup import DedupConfig, DedupResult, deduplicate
from curation.dedup.leaks import strictness
from curation.matching.lettered_options import chosen
from medsift import records
from medsift.storage.vectors import ContentVectors
from medsift.text import normalise_answer

CHOICE = "Which organ is shown? (A) liver (B) kidney"
SWAPPED = "Which organ is shown? (A) kidney (B) liver"


def scan(seed: int, angle: float) -> Image.Image:
    random = np.random.default_rng(seed)
    small = Image.fromarray(random.integers(0, 255, (20, 20), dtype=np.uint8))
    large = small.resize((200, 200), Image.Resampling.BICUBIC)
    return large.rotate(angle, resample=Image.Resampling.BILINEAR)


# "a" and "c" are copies of "b", but too far apart to be copies of each other.
SCANS = {"a": (1, 0.0), "b": (1, 4.0), "c": (1, 8.0), "x": (2, 0.0), "y": (3, 0.0)}


def images() -> pa.Table:
    lines = [
        {
            "image_id": name,
            "byte_hash": name,
            "ref": name,
            "phash": str(imagehash.phash(scan(*how))),
            "thumb": scan(*how).resize((64, 64), Image.Resampling.BOX).tobytes(),
        }
        for name, how in SCANS.items()
    ]
    return pa.Table.from_pylist(lines, schema=records.IMAGES)


def image_vectors() -> ContentVectors:
    angle = np.radians([0.0, 10.0, 20.0, 200.0, 210.0])
    flat = np.stack([np.cos(angle), np.sin(angle)], axis=1).astype(np.float32)
    return ContentVectors(list(SCANS), flat)


def text_vector(text: str) -> np.ndarray:
    # Both forms of the question with choices lie together, everything else far apart.
    key = "choice" if text in (CHOICE, SWAPPED) else text
    noise = np.random.default_rng(int(records.text_id(key)[:8], 16)).normal(size=64)
    return (noise / np.linalg.norm(noise)).astype(np.float32)


def run(*rows: dict[str, Any]) -> DedupResult:
    samples = pa.Table.from_pylist([complete(row) for row in rows], schema=records.SAMPLES)
    texts = {turn["content"] for talk in samples["messages"].to_pylist() for turn in talk}
    listed = sorted(texts)
    vectors = np.stack([text_vector(text) for text in listed])
    text_vectors = ContentVectors([records.text_id(text) for text in listed], vectors)
    return deduplicate(samples, images(), image_vectors(), text_vectors, DedupConfig())


def complete(row: dict[str, Any]) -> dict[str, Any]:
    messages = [
        {"role": "user", "content": row["question"]},
        {"role": "assistant", "content": row["answer"]},
    ]
    shown = row.get("images", [])
    return {"source": "s", "messages": messages, "refs": shown, "images": shown} | (
        row | {"sample_id": records.sample_id(shown, messages)}
    )


def row(name: str, shown: str, question: str, answer: str, **tags: str) -> dict[str, Any]:
    return {"row_id": name, "images": list(shown), "question": question, "answer": answer} | tags


def in_conflict(result: DedupResult) -> list[set[str]]:
    groups: dict[str, set[str]] = {}
    for entry in result.conflicts.to_pylist():
        groups.setdefault(entry["group_id"], set()).add(entry["row_id"])
    return sorted(groups.values(), key=sorted)


def test_different_closed_answers_to_one_question_on_an_image_group_conflict_and_stay() -> None:
    result = run(
        row("1", "a", "Is it large?", "yes", answer_type="closed"),
        row("2", "c", "is it large", "no", answer_type="closed"),
        row("3", "a", "Is it large?", "no", answer_type="closed"),
        row("4", "x", "Is it large?", "no", answer_type="closed"),
        row("5", "a", "Is it small?", "no", answer_type="closed"),
        row("6", "a", "Is it large?", "maybe", answer_type="open"),
    )
    assert in_conflict(result) == [{"1", "2", "3"}]
    assert result.decisions.num_rows == 0


def test_a_letter_and_the_choice_it_stands_for_do_not_conflict() -> None:
    tags = {"answer_type": "choice"}
    assert chosen(CHOICE, "B") == chosen(SWAPPED, "(A) kidney") == chosen(CHOICE, "Kidney.")
    agreeing = [row("1", "a", CHOICE, "B", **tags), row("2", "a", SWAPPED, "A", **tags)]
    assert in_conflict(run(*agreeing)) == []
    apart = [row("1", "a", CHOICE, "A", **tags), row("2", "a", SWAPPED, "A", **tags)]
    assert in_conflict(run(*apart)) == [{"1", "2"}]


def leaks(result: DedupResult) -> set[tuple[str, str, str, str]]:
    return {
        (line["row_id"], line["benchmark"], line["item_id"], line["kind"])
        for line in result.leaks.to_pylist()
    }


def test_training_rows_on_held_out_images_or_their_copies_leak_each_with_one_witness() -> None:
    result = run(
        row("1", "a", "q1", "yes", split="train"),
        row("2", "b", "q2", "yes", split="train"),
        row("3", "x", "q3", "yes"),
        row("4", "y", "q4", "yes", split="train"),
        row("5", "a", "q5", "yes", split="test"),
        row("6", "a", "q6", "yes", split="test"),
        row("7", "x", "q7", "yes", split="validation"),
        row("8", "xc", "q8", "yes", split="train"),
    )
    best = min(("5", "6"), key=lambda name: result_sample(result, name))
    assert leaks(result) == {
        ("1", "split:test", best, "same_image"),
        ("2", "split:test", best, "image_copy"),
        ("3", "split:validation", "7", "same_image"),
        ("8", "split:validation", "7", "same_image"),
        ("8", "split:test", best, "image_copy"),
    }
    similarity = {(e["row_id"], e["benchmark"]): e["similarity"] for e in result.leaks.to_pylist()}
    assert similarity["1", "split:test"] == 1.0
    assert 0.9 < similarity["2", "split:test"] < 1.0
    # "c" is a copy of a copy of "a".
    assert similarity["8", "split:test"] is None


def result_sample(result: DedupResult, name: str) -> str:
    kept = result.kept.select(["row_id", "sample_id"]).to_pylist()
    return next(line["sample_id"] for line in kept if line["row_id"] == name)


def test_equal_texts_without_a_picture_leak_and_validation_leaks_from_test() -> None:
    result = run(
        row("1", "", "What is flu?", "A virus.", split="train"),
        row("2", "", "what is flu", "a virus", split="test"),
        row("3", "", "What is flu?", "Not known.", split="train"),
        row("4", "", "What is flu?", "A  virus.", split="dev"),
    )
    assert leaks(result) == {
        ("1", "split:test", "2", "same_text"),
        ("1", "split:dev", "4", "same_text"),
        ("4", "split:test", "2", "same_text"),
    }
    assert strictness("train") < strictness("dev") < strictness("test")


def test_the_sweep_counts_images_with_an_earlier_neighbour_at_each_threshold() -> None:
    result = run(
        row("1", "a", "q1", "yes", modality="ct"),
        row("2", "b", "q2", "yes", modality="ct"),
        row("3", "b", "q3", "yes", modality="ct"),
        row("4", "x", "q4", "yes", modality="mr"),
        row("5", "y", "q5", "yes"),
        row("6", "bx", "q6", "yes", modality="mr"),
    )
    found = {(s["modality"], round(s["threshold"], 2)): s for s in result.sweep.to_pylist()}
    assert {modality for modality, _ in found} == {"all", "ct", "mr", "unknown"}
    assert len(found) == 4 * 20

    def at(modality: str, threshold: float) -> tuple[int, int, int]:
        line = found[modality, threshold]
        return line["images"], line["samples"], line["confirmed"]

    # Neighbours are 10 degrees apart (cosine 0.985); image c belongs to no sample.
    assert at("all", 0.98) == (3, 4, 2)
    assert at("ct", 0.98) == (1, 3, 1)
    assert at("mr", 0.98) == (0, 0, 0)
    assert at("unknown", 0.98) == (2, 1, 1)
    assert at("all", 0.99) == (0, 0, 0)
    for modality in ("all", "ct", "mr", "unknown"):
        counts = [found[modality, round(t / 100, 2)]["images"] for t in range(80, 100)]
        assert counts == sorted(counts, reverse=True)


@pytest.fixture(scope="module")
def questions(vqa_rad: Path) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in (vqa_rad / "vqa_rad.jsonl").open(encoding="utf-8")]
    return [line | {"answer": str(line["answer"])} for line in lines]


def test_on_real_questions_exact_rows_go_and_no_contradiction_is_merged(
    questions: list[dict[str, Any]],
) -> None:
    names = sorted({line["image_name"] for line in questions})
    rows = [
        complete(
            {
                "row_id": f"v:{place}",
                "images": [line["image_name"]],
                "question": line["question"],
                "answer": line["answer"],
                "answer_type": line["answer_type"].strip().lower(),
                "split": "test" if line["phrase_type"].startswith("test") else "train",
            }
        )
        for place, line in enumerate(questions)
    ]
    samples = pa.Table.from_pylist(rows, schema=records.SAMPLES)
    facts = pa.Table.from_pylist([image_line(name, seed) for seed, name in enumerate(names)])
    texts = sorted({turn["content"] for one in rows for turn in one["messages"]})
    vectors = np.stack([text_vector(text) for text in texts])
    distinct = {records.text_id(text): vector for text, vector in zip(texts, vectors, strict=True)}
    text_vectors = ContentVectors(list(distinct), np.stack(list(distinct.values())))
    eyes = ContentVectors(names, np.eye(len(names), dtype=np.float32))
    result = deduplicate(samples, facts, eyes, text_vectors, DedupConfig())
    words = {one["row_id"]: (one["images"], normalise_answer(one["answer"])) for one in rows}
    dropped = result.decisions.to_pylist()
    assert sum(entry["reason"] == "exact_copy" for entry in dropped) == 4
    assert result.kept.num_rows + len(dropped) == 2248
    for entry in dropped:
        assert words[entry["row_id"]] == words[entry["witness"]]


def image_line(name: str, seed: int) -> dict[str, Any]:
    random = np.random.default_rng(seed)
    return dict.fromkeys(records.IMAGES.names) | {
        "image_id": name,
        "phash": random.bytes(8).hex(),
        "thumb": random.bytes(64 * 64),
    }
