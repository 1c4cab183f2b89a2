"""`hf`: a folder for ``datasets.load_from_disk`` with the pictures inside and a filled card."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pyarrow as pa

from curation.exports.base import ExportFormat, Origin, picture_bytes
from curation.exports.card import card
from curation.exports.turns import FACTS, Line, facts, marked_turns, references

TALLIED: Final = ("modality", "task_type", "answer_type", "source", "license", "language")


def write(batches: Iterator[pa.Table], target: Path, origin: Origin) -> int:
    """Write data set and README.md; return the number of rows."""
    import datasets

    tallies: dict[str, Counter[str | None]] = {name: Counter() for name in TALLIED}
    cache = target.with_name(f"{target.name}.cache")
    try:
        rows, pieces = 0, []
        for number, batch in enumerate(batches):
            piece = cache / f"{number:05d}.arrow"
            rows += _write_piece(batch, piece, tallies)
            pieces.append(datasets.Dataset.from_file(str(piece)))
        datasets.concatenate_datasets(pieces).save_to_disk(target)
    finally:
        shutil.rmtree(cache, ignore_errors=True)
    (target / "README.md").write_text(card(rows, tallies, origin), encoding="utf-8")
    return rows


def _write_piece(batch: pa.Table, path: Path, tallies: dict[str, Counter[str | None]]) -> int:
    from datasets.arrow_writer import ArrowWriter

    path.parent.mkdir(parents=True, exist_ok=True)
    with ArrowWriter(features=_features(), path=str(path), writer_batch_size=100) as writer:
        for line in batch.to_pylist():
            writer.write(_entry(line))
            for name, tally in tallies.items():
                tally[line[name]] += 1
        writer.finalize()
    return int(batch.num_rows)


def _entry(line: Line) -> dict[str, Any]:
    pictures = [
        {"bytes": picture_bytes(ref, line["sample_id"]), "path": ref.rsplit("/", 1)[-1]}
        for ref in references(line)
    ]
    ids = [picture["image_id"] for picture in line["images"] or []]
    return {
        "messages": marked_turns(line),
        "images": pictures,
        "image_ids": ids,
        "question": line["question"],
        "answer": line["answer"],
        **facts(line),
    }


def _features() -> Any:
    from datasets import Features, Image, List, Value

    text = Value("string")
    return Features(
        {
            "messages": List({"role": text, "content": text}),
            "images": List(Image()),
            "image_ids": List(text),
            "question": text,
            "answer": text,
            **{name: Value("float64") if name == "weight" else text for name in FACTS},
        }
    )


FORMAT: Final = ExportFormat("hf", folder=True, write=write)
