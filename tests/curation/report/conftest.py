"""A small run with one of everything, hostile names included, as a real manifest."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

Tables = dict[str, list[dict[str, Any]]]
MODALITIES = ("ct", "mr", "xray", "ultrasound")
QUESTIONS = (
    "Is there a fracture of the left clavicle?",
    "Which plane is shown? (A) axial (B) coronal",
    "How many lesions are there?",
)
BREAKOUT = "</script><script>document.documentElement.dataset.broken='yes'</script>"
HOSTILE = f"<b>\"quoted\" & 'single'</b>{BREAKOUT}"


def picture(path: Path, seed: int) -> None:
    """A grey disc on noise, different by seed."""
    generator = np.random.default_rng(seed)
    rows, columns = np.mgrid[:180, :200]
    middle = generator.uniform(60, 120, 2)
    disc = np.hypot(rows - middle[0], columns - middle[1]) < generator.uniform(30, 55)
    pixels = disc * 130 + generator.normal(50, 12, disc.shape)
    Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(path)


def run_tables(folder: Path, images: int = 40) -> Tables:
    """Tables of a run with duplicates, conflicts, leaks, failures, notes, scores, a selection."""
    generator = np.random.default_rng(7)
    tables: Tables = {name: [] for name in ("rows", "images", "samples", "decisions", "clusters")}
    for place in range(images):
        ref = folder / f"image-{place:03d}.png"
        picture(ref, place)
        _add_image(tables, str(ref), place, generator)
        for turn, question in enumerate(QUESTIONS):
            _add_sample(tables, place, turn, question, str(ref))
    _drop_copies(tables, images)
    _fail_rows(tables)
    return tables | _rest(tables, generator)


def _add_image(tables: Tables, ref: str, place: int, generator: np.random.Generator) -> None:
    angle = place % len(MODALITIES) * 1.6
    spread = generator.normal(0, 0.25, 2)
    tables["images"].append(
        {
            "image_id": f"im{place:04d}",
            "byte_hash": f"bytes{place}",
            "ref": ref,
            "width": 200,
            "height": 180,
            "format": "PNG",
            "contrast": float(generator.gamma(8, 6)),
            "entropy": float(generator.normal(6, 0.7)),
            "sharpness": float(10 ** generator.normal(2.4, 0.6)),
            "blank_share": float(generator.beta(2, 9)),
            "notes": ["named .png, is JPEG"] if place % 9 == 0 else [],
            "x": float(np.cos(angle) + spread[0]),
            "y": float(np.sin(angle) + spread[1]),
        }
    )


def _add_sample(tables: Tables, place: int, turn: int, question: str, ref: str) -> None:
    row = f"phantoms:samples.jsonl:{place * len(QUESTIONS) + turn}"
    hostile = place == 0 and turn == 0
    tables["rows"].append(
        {
            "row_id": row,
            "source": "phantoms",
            "file": "samples.jsonl",
            "index": place * len(QUESTIONS) + turn,
            "notes": ["answer: integer read as text"] if turn == 2 else [],
            "sample_id": f"s{row}",
        }
    )
    tables["samples"].append(
        {
            "sample_id": f"s{row}",
            "row_id": row,
            "source": "phantoms",
            "modality": HOSTILE if place == 0 else MODALITIES[place % len(MODALITIES)],
            "task_type": ("presence", "plane", "count")[turn],
            "answer_type": ("closed", "choice", "open")[turn],
            "question": HOSTILE if hostile else question,
            "answer": ("yes", "(A) axial", "2")[turn],
            "images": [{"image_id": f"im{place:04d}", "ref": ref}],
            "notes": [],
        }
    )


def _drop_copies(tables: Tables, images: int) -> None:
    """Images 1, 3, 5 … 19 copy their left neighbour: their samples are dropped."""
    for place in range(1, min(20, images), 2):
        similarity = 0.95 + place / 500
        tables["clusters"].append(
            _cluster("image_copy", f"g{place}", f"im{place:04d}", f"im{place - 1:04d}", similarity)
        )
        for turn in range(len(QUESTIONS)):
            row = f"phantoms:samples.jsonl:{place * len(QUESTIONS) + turn}"
            witness = f"phantoms:samples.jsonl:{(place - 1) * len(QUESTIONS) + turn}"
            for member in (witness, row):
                tables["clusters"].append(
                    _cluster("sample", f"s{place}-{turn}", member, witness, similarity)
                )
            tables["decisions"].append(_decision(row, "dropped", "image_copy", witness, similarity))


def _cluster(
    kind: str, group: str, member: str, survivor: str, similarity: float
) -> dict[str, Any]:
    return {
        "kind": kind,
        "group_id": group,
        "member": member,
        "survivor": survivor,
        "similarity": similarity,
    }


def _decision(
    row: str, action: str, reason: str, witness: str | None = None, value: float | None = None
) -> dict[str, Any]:
    failed = action == "failed"
    return {
        "row_id": row,
        "stage": "images" if failed else "dedup",
        "action": action,
        "reason": reason,
        "witness": witness,
        "value": value,
        "threshold": None if failed else 0.93,
        "detail": HOSTILE if failed else None,
    }


def _fail_rows(tables: Tables) -> None:
    for place, reason in enumerate(("image_truncated", "image_truncated", "image_missing")):
        row = f"phantoms:samples.jsonl:{9000 + place}"
        tables["rows"].append(
            {
                "row_id": row,
                "source": "phantoms",
                "file": "samples.jsonl",
                "index": 9000 + place,
                "notes": [],
                "sample_id": None,
            }
        )
        tables["decisions"].append(_decision(row, "failed", reason))


def _rest(tables: Tables, generator: np.random.Generator) -> Tables:
    rows, failed = len(tables["rows"]), 3
    dropped = len(tables["decisions"]) - failed
    valid, kept = rows - failed, rows - failed - dropped
    samples = tables["samples"]
    return {
        "stages": [
            _stage(0, "ingest", rows, rows, 0, 0, 1.2),
            _stage(1, "images", rows, valid, 0, failed, 4.5),
            _stage(2, "embed", valid, valid, 0, 0, 75.4),
            _stage(3, "dedup", valid, kept, dropped, 0, 0.8),
        ],
        "operators": [
            {"stage": "images", "operator": "decode", "seconds": 2.5, "rows": valid},
            {"stage": "images", "operator": "encode", "seconds": 2.0, "rows": valid},
        ],
        "scores": [
            {"sample_id": sample["sample_id"], "scorer": "difficulty", "value": float(value)}
            for sample, value in zip(samples, generator.normal(0, 1, len(samples)), strict=True)
        ],
        "sweep": [
            {
                "modality": modality,
                "threshold": round(0.8 + step / 100, 2),
                "images": round(weight * (20 - step) ** 1.5),
                "samples": round(3 * weight * (20 - step) ** 1.5),
                "confirmed": round(weight * min(10, 20 - step)),
            }
            for modality, weight in (("all", 4), *((name, 1) for name in MODALITIES))
            for step in range(20)
        ],
        "conflicts_found": [
            {
                "group_id": "c1",
                "sample_id": f"c{answer}",
                "question": QUESTIONS[0],
                "answer": answer,
            }
            for answer in ("yes", "no")
        ],
        "leaks_found": [
            {
                "sample_id": samples[place]["sample_id"],
                "benchmark": "split:test",
                "item_id": f"item {place}",
                "kind": "same_image",
                "similarity": 1.0,
                "verdict": "leak",
            }
            for place in range(min(25, len(samples)))
        ],
    }


def _stage(
    ordinal: int, stage: str, rows: int, kept: int, dropped: int, failed: int, seconds: float
) -> dict[str, Any]:
    return {
        "ordinal": ordinal,
        "stage": stage,
        "rows_in": rows,
        "kept": kept,
        "dropped": dropped,
        "failed": failed,
        "seconds": seconds,
        "reused": ordinal == 0,
    }


def selection_tables(tables: Tables, count: int) -> Tables:
    """A selection of the first samples, with the strata it is drawn from."""
    samples = tables["samples"]
    strata = sorted({str(sample["task_type"]) for sample in samples})
    return {
        "strata": [{"stratum": name, "pool": len(samples) // len(strata)} for name in strata],
        "selections": [
            {
                "selection": "facility-location",
                "created_at": datetime(2026, 1, 2),
                "rank": rank,
                "sample_id": sample["sample_id"],
                "row_id": sample["row_id"],
                "weight": 1.0,
                "gain": 1.0 / (rank + 1),
                "stratum": sample["task_type"],
            }
            for rank, sample in enumerate(samples[:count])
        ],
    }


def curation_tables(tables: Tables) -> Tables:
    """Scores that depend on each other and on length, and three selections; one name is hostile."""
    samples = [line for line in tables["samples"] if line["modality"] != HOSTILE]
    hostile = [line for line in tables["samples"] if line["modality"] == HOSTILE]
    samples = hostile + samples
    generator = np.random.default_rng(3)
    length = np.array([len(line["answer"]) for line in samples], float)
    noise = generator.normal(0, 1, (3, len(samples)))
    scores = {
        "alignment": noise[0],
        "quality": 0.8 * noise[0] + 0.4 * noise[1],
        "text_quality": length + 0.5 * noise[2],
    }
    return {
        "scores": [
            {"sample_id": line["sample_id"], "scorer": name, "value": float(value),
             "percentile": float(place) / len(samples), "stratum": line["task_type"]}
            for name, values in scores.items()
            for line, value, place in zip(
                samples, values, np.argsort(np.argsort(values)), strict=True
            )
        ],
        "correlations": _correlations(scores | {"answer_length": length}),
        "strata": [
            {"stratum": name, "pool": sum(stratum_of(line) == name for line in samples)}
            for name in sorted({stratum_of(line) for line in samples})
        ],
        **_selections(samples, generator),
    }  # fmt: skip


def stratum_of(line: dict[str, Any]) -> str:
    """Modality and task of a sample."""
    return f"{line['modality']} / {line['task_type']}"


def _correlations(values: dict[str, np.ndarray]) -> list[dict[str, Any]]:
    """Spearman's, of continuous values; ties of lengths by place, which is near enough here."""
    rank = {name: np.argsort(np.argsort(one, kind="stable")) for name, one in values.items()}
    return [
        {"scorer": a, "other": b, "rho": float(np.corrcoef(rank[a], rank[b])[0, 1]), "n": 120}
        for a in rank
        for b in rank
        if a != b and a != "answer_length"
    ]


def _selections(samples: list[dict[str, Any]], generator: np.random.Generator) -> Tables:
    made: Tables = {name: [] for name in ("selections", "selection_settings", "curves")}
    orders = {
        "kept": samples,
        "minimal": samples[::4],
        f"random {HOSTILE}": [samples[place] for place in generator.permutation(len(samples))[:40]],
    }
    for ordinal, (name, chosen) in enumerate(orders.items()):
        made["selections"] += [
            {"selection": name, "created_at": datetime(2026, 1, 2, 4, ordinal), "rank": rank,
             "sample_id": line["sample_id"], "row_id": line["row_id"],
             "weight": len(samples) / len(chosen), "stratum": stratum_of(line)}
            for rank, line in enumerate(chosen)
        ]  # fmt: skip
        if name == "kept":
            continue
        pace = 0.03 if name == "minimal" else 0.017
        made["curves"] += [
            {"selection": name, "size": size, "tokens": 9 * size,
             "coverage": 1 - float(np.exp(-pace * size))}
            for size in range(1, len(chosen) + 1)
        ]  # fmt: skip
        made["selection_settings"].append(
            {"selection": name, "ordinal": ordinal, "created_at": datetime(2026, 1, 2, 4, ordinal),
             "method": "facility_location" if name == "minimal" else "random",
             "budget": f"{len(chosen)}", "seed": 7, "selected": len(chosen), "pool": len(samples),
             "coverage": 1 - float(np.exp(-pace * len(chosen)))}
        )  # fmt: skip
    return made


@pytest.fixture(scope="session")
def curated_manifest(tmp_path_factory: pytest.TempPathFactory, write_small: Any) -> Path:
    """The full run with scores, correlations, curves and three selections."""
    folder = tmp_path_factory.mktemp("curated")
    tables = run_tables(folder)
    return write_small(folder / "manifest.duckdb", tables | curation_tables(tables))


@pytest.fixture(scope="session")
def write_small() -> Callable[..., Path]:
    """Write tables given as lists of mappings as a manifest of one run."""
    from medsift.manifest import RunRecord, write_manifest

    def write(path: Path, tables: Tables, name: str = "demo", run_id: str = "run-1") -> Path:
        run = RunRecord(
            run_id=run_id,
            name=name,
            created_at=datetime(2026, 1, 2, 3, 4, 5),
            status="balanced",
            recipe={"name": name, "seed": 7},
            packages={"medsift": "0.1.0", "ray": "2.60.0"},
            seed=7,
        )
        arrow = {table: pa.Table.from_pylist(lines) for table, lines in tables.items() if lines}
        write_manifest(path, arrow, run)
        return path

    return write


@pytest.fixture(scope="session")
def full_manifest(tmp_path_factory: pytest.TempPathFactory, write_small: Any) -> Path:
    """The full run, named with markup."""
    folder = tmp_path_factory.mktemp("full")
    return write_small(folder / "manifest.duckdb", run_tables(folder), name=f"demo {HOSTILE}")


@pytest.fixture(scope="session")
def hostile() -> str:
    """Text that breaks a page which does not escape it."""
    return HOSTILE


@pytest.fixture(scope="session")
def breakout() -> str:
    """The part of `hostile` that would end a script element."""
    return BREAKOUT


@pytest.fixture(scope="session")
def full_run() -> Callable[..., Tables]:
    """Make the tables of a run with one of everything, its images in a folder."""
    return run_tables


@pytest.fixture(scope="session")
def selection_of() -> Callable[[Tables, int], Tables]:
    """Make a selection of a run's first samples."""
    return selection_tables


@pytest.fixture(scope="session")
def draw_picture() -> Callable[[Path, int], None]:
    """Draw one picture file, different by seed."""
    return picture
