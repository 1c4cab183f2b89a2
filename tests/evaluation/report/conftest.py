"""Evaluations of models that exist in arithmetic only, really scored and really summarised."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from evaluation.metrics_table import summarise
from evaluation.perturb.apply import find_variants, vary
from evaluation.records import ITEMS, PREDICTIONS
from evaluation.scoring.predictions import score_predictions
from medsift.manifest import RunRecord, append_tables, write_manifest
from medsift.statistics import FACETS, Resampling

BREAKOUT = "</script><script>document.documentElement.dataset.broken='yes'</script>"
HOSTILE = f"<b onclick=x>\"quoted\" & 'single'</b>{BREAKOUT}{{{{ 7 * 7 }}}}"
QUICK = Resampling(draws=199)
BY = (*FACETS, "modality / task_type")
VARIANTS = ("no_image", "blank", "noise", "rotation", "paraphrase", "typos", "mask_region",
            "mask_elsewhere")  # fmt: skip
MODALITIES = ("ct", "mr", "xray", "ultrasound", None)
ORGANS = ("liver", "left kidney", "spleen", "heart")
PLANES = ("axial", "coronal", "sagittal", "oblique")
QUESTIONS = {
    "presence": "Is there a fracture of the left clavicle?",
    "plane": "Which plane is shown?",
    "organ": "What organ is enlarged?",
    "side": "Is there an effusion on the right side?",
}


def draw(path: Path, seed: int) -> Path:
    """A grey disc on noise."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:180, :220]
    disc = np.hypot(rows - rng.uniform(60, 120), columns - rng.uniform(60, 160)) < 45
    pixels = disc * 130 + rng.normal(50, 12, disc.shape)
    Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(path)
    return path


def benchmark_items(folder: Path, name: str, images: int, hostile: bool = False) -> pa.Table:
    """Three or four questions about each picture; the first picture's file is gone."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(images)
    rows = []
    for image in range(images):
        ref = folder / f"{name}-{image:03d}.png"
        if image:
            draw(ref, image)
        modality = MODALITIES[min(int(rng.geometric(0.4)) - 1, 4)]
        for task, question in QUESTIONS.items():
            # A side is asked of every other picture, and never of an MR: a cell stays empty.
            if task == "side" and (image % 2 == 0 or modality == "mr"):
                continue
            kind = {"plane": "choice", "organ": "open"}.get(task, "closed")
            gold = {"choice": "ABCD"[rng.integers(4)], "open": ORGANS[rng.integers(4)],
                    "closed": ("yes", "no")[rng.integers(2)]}[kind]  # fmt: skip
            rows.append(
                dict.fromkeys(ITEMS.names)
                | {
                    "benchmark": name,
                    "item_id": f"{image:03d}-{task}",
                    "question": HOSTILE if hostile and not rows else question,
                    "options": list(PLANES) if kind == "choice" else None,
                    "gold": gold,
                    "answer_type": kind,
                    "images": [str(ref)],
                    "image_id": f"{name} {image}",
                    "modality": HOSTILE if hostile and image == 1 else modality,
                    "body_part": ("chest", "abdomen", None)[image % 3],
                    "task_type": None if image % 7 == 6 else task,
                    "language": "en",
                    "extra": json.dumps({"boxes": [[0.1, 0.1, 0.4, 0.4]]}) if image % 2 else None,
                }
            )
    return pa.Table.from_pylist(rows, schema=ITEMS)


class Model:
    """Knows a share of the answers, and less without the picture; sometimes says nothing usable."""

    def __init__(self, name: str, known: float, sure: bool = True, seed: int = 0) -> None:
        self.name = name
        self.known = known
        self.sure = sure
        self.rng = np.random.default_rng(seed)

    def answer(self, item: Mapping[str, Any]) -> dict[str, Any]:
        """Columns of a prediction."""
        loss = {"no_image": 0.45, "blank": 0.4, "mask_region": 0.25, "noise": 0.1}
        family = str(item["variant"]).partition("@")[0]
        knows = self.rng.random() < self.known - loss.get(family, 0.03)
        wrong = {"choice": list("ABCD"), "open": list(ORGANS), "closed": ["yes", "no"]}
        said = item["gold"] if knows else str(self.rng.choice(wrong[item["answer_type"]]))
        luck = self.rng.random()
        reply = None if luck < 0.01 else "I cannot tell, yes or no" if luck < 0.06 else said
        return {
            "reply": reply,
            "error": "the endpoint gave no answer in 60 s" if reply is None else None,
            "probabilities": self._probabilities(said, item) if self.sure else None,
            "tokens": 3,
        }

    def _probabilities(self, said: str, item: Mapping[str, Any]) -> list[float] | None:
        names = {"choice": "ABCD", "closed": ("yes", "no")}.get(item["answer_type"])
        if names is None:
            return None
        rest = self.rng.dirichlet(np.ones(len(names))) * (1 - self.rng.beta(5, 2))
        rest[list(names).index(said)] += 1 - rest.sum()
        return [float(one) for one in rest]


def predict(items: pa.Table, model: Model, variants: Sequence[str] = VARIANTS) -> pa.Table:
    """Replies to every item in every variant, unscored."""
    wanted = find_variants(["original", *variants], items)
    rows = [
        {
            **item,
            **model.answer(item),
            "evaluation_id": f"{model.name}-1",
            "model_hash": "0" * 16,
        }
        for item in vary(items, wanted, seed=3).items.to_pylist()
    ]
    known = [{name: row.get(name) for name in PREDICTIONS.names} for row in rows]
    return pa.Table.from_pylist(known, schema=PREDICTIONS)


def evaluation_line(scored: pa.Table, model: str, benchmark: str, **more: Any) -> dict[str, Any]:
    """The line of `evaluations` about some predictions."""
    originals = [one for one in scored.to_pylist() if one["variant"] == "original"]
    return {
        "evaluation_id": scored["evaluation_id"][0].as_py(),
        "model": model,
        "model_hash": "0123456789abcdef",
        "training_id": None,
        "benchmark": benchmark,
        "files": [f"{benchmark}_test.json"],
        "items": len(originals),
        "images": len({one["image_id"] for one in originals}),
        "content_hash": f"{benchmark}{'ab' * 24}",
        "variants": sorted(set(scored["variant"].to_pylist())),
        "asked": scored.num_rows,
        "left_out": json.dumps({"rotation@1": {"it has 0 options": 12}}),
        "unanswered": scored["reply"].null_count,
        "protocol": "strict",
        "settings": json.dumps({"prompts": {"system": None}, "model": {"max_new_tokens": 64}}),
        "seed": 3,
        "contaminated": None,
        "packages": json.dumps({"medsift": "0.1.0", "numpy": "2.4.0"}),
        "created_at": datetime(2026, 1, 2, 3, 4, 5),
        "seconds": 61.0,
        "tokens": 1234,
    } | more


def summarised(
    predictions: pa.Table, model: str, protocol: str = "strict", **more: Any
) -> dict[str, pa.Table]:
    """The manifest's tables about one model's predictions on one benchmark or more."""
    scored = score_predictions(predictions, protocol)
    metrics, reliability = summarise(scored, BY, QUICK)
    benchmarks = sorted(set(scored["benchmark"].to_pylist()))
    lines = []
    for name in benchmarks:
        own = scored.filter(pa.compute.equal(scored["benchmark"], name))
        lines.append(evaluation_line(own, model, name, protocol=protocol, **more))
    return {
        "evaluations": pa.Table.from_pylist(lines),
        "predictions": scored,
        "metrics": metrics,
        "reliability": reliability,
    }


def write(path: Path, parts: Sequence[Mapping[str, pa.Table]], run_id: str = "run-1") -> Path:
    """A manifest with a run that holds these evaluations."""
    record = RunRecord(run_id=run_id, name="evaluation", created_at=datetime(2026, 1, 2))
    write_manifest(path, {}, record)
    names = {name for tables in parts for name in tables}
    whole = {
        name: pa.concat_tables(
            [tables[name] for tables in parts if name in tables], promote_options="permissive"
        )
        for name in names
    }
    append_tables(path, run_id, whole)
    return path


class Page(HTMLParser):
    """The text of each section, its tables as rows of cells, and every element."""

    def __init__(self, markup: str) -> None:
        super().__init__()
        self.text: dict[str, str] = {"": ""}
        self.tables: dict[str, list[list[list[str]]]] = {"": []}
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self._section, self._silent, self._inside = "", 0, False
        self.feed(markup)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self._silent += tag in ("script", "style")
        tables = self.tables[self._section]
        if tag == "section":
            self._section = dict(attrs)["id"] or ""
            self.text[self._section], self.tables[self._section] = "", []
        elif tag == "table":
            tables.append([])
        elif tag == "tr":
            tables[-1].append([])
        elif tag in ("td", "th"):
            tables[-1][-1].append("")
            self._inside = True
        elif tag in ("br", "span") and self._inside:
            tables[-1][-1][-1] += " "

    def handle_endtag(self, tag: str) -> None:
        self._silent -= tag in ("script", "style")
        self._inside = self._inside and tag not in ("td", "th")

    def handle_data(self, data: str) -> None:
        if self._silent:
            return
        self.text[self._section] += data
        if self._inside:
            self.tables[self._section][-1][-1][-1] += data

    def words(self, section: str) -> str:
        """The text of a section with single spaces."""
        return " ".join(self.text[section].split())

    def rows(self, section: str, table: int) -> list[list[str]]:
        """The cells of a table of a section, with single spaces."""
        return [[" ".join(one.split()) for one in row] for row in self.tables[section][table]]


@pytest.fixture(scope="session")
def read_page() -> Callable[[Path], Page]:
    """Read a page as its reader would."""
    return lambda path: Page(path.read_text(encoding="utf-8"))


@pytest.fixture(scope="session")
def items_of() -> Callable[..., pa.Table]:
    """Make the items of a benchmark, with pictures in a folder."""
    return benchmark_items


@pytest.fixture(scope="session")
def tables_of() -> Callable[..., dict[str, pa.Table]]:
    """Ask a model that knows a share of the answers, score and summarise."""

    def made(
        items: pa.Table, name: str, known: float = 0.7, sure: bool = True,
        variants: Sequence[str] = (), seed: int = 0, **more: Any,
    ) -> dict[str, pa.Table]:  # fmt: skip
        said = predict(items, Model(name, known, sure, seed), variants)
        return summarised(said, name, **more)

    return made


@pytest.fixture(scope="session")
def write_evaluations() -> Callable[..., Path]:
    """Write a manifest of some evaluations."""
    return write


@pytest.fixture(scope="session")
def full_manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two models on two benchmarks: variants, probabilities, hostile texts, a long reply."""
    folder = tmp_path_factory.mktemp("evaluations")
    items = pa.concat_tables(
        [
            benchmark_items(folder, "vqa", 40, hostile=True),
            benchmark_items(folder, "plain_set", 20),
        ]
    )
    looker = predict(items, Model(f"looker {HOSTILE}", 0.85, seed=1))
    rows = predict(items, Model("guesser", 0.55, sure=False, seed=2), ()).to_pylist()
    rows[0] |= {"reply": f"{HOSTILE} neither", "probabilities": None}
    rows[1] |= {"reply": "no way to know " * 7_000, "probabilities": None}
    guesser = pa.Table.from_pylist(rows, schema=PREDICTIONS)
    return write(
        folder / "manifest.duckdb",
        [
            summarised(looker, f"looker {HOSTILE}"),
            summarised(guesser, "guesser", training_id="t1", contaminated=True),
        ],
    )


@pytest.fixture(scope="session")
def hostile() -> str:
    """Text that breaks a page which does not escape it."""
    return HOSTILE


@pytest.fixture(scope="session")
def breakout() -> str:
    """The part of `hostile` that would end a script element."""
    return BREAKOUT


@pytest.fixture(scope="session")
def summarise_rows() -> Callable[[list[dict[str, Any]]], dict[str, pa.Table]]:
    """Score and summarise predictions of one model given as rows."""

    def made(rows: list[dict[str, Any]]) -> dict[str, pa.Table]:
        known = {"evaluation_id": "e1", "benchmark": "vqa", "variant": "original", "question": "?"}
        whole = [dict.fromkeys(PREDICTIONS.names) | known | row for row in rows]
        return summarised(pa.Table.from_pylist(whole, schema=PREDICTIONS), "model")

    return made
