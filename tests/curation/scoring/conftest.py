"""Pools made of a few lines, and phantoms with planted noise that were scored in a real run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from curation.phantoms import make_phantoms
from curation.phantoms.noise import MISMATCHED, WRONG_ANSWER
from curation.pipeline import RunResult, curate
from curation.pool import Pool, SampleVectors, load_pool, stratum_names
from curation.recipe import parse_recipe
from curation.scoring import ScoringContext
from medsift import records
from medsift.execution import LocalExecutor
from medsift.images import ImagesConfig, decode

RECIPE = """
name: noisy
sources: [{{name: p, reader: table, path: {root}/samples.jsonl, image_root: {root}/images}}]
encoder: {{kind: embedded}}
cache: {cache}
failures: {{tolerance: 0.25}}
scores:
  scorers:
    - kind: image_quality
    - kind: text_quality
    - kind: alignment
    - kind: density
    - kind: rarity
    - kind: tag_rarity
    - kind: label_noise
  weights: {{alignment: 2, image_quality: 1, label_noise: 0.5, text_quality: 0}}
"""
PoolMaker = Callable[..., Pool]
ContextMaker = Callable[..., ScoringContext]
Illustrations = Callable[..., ScoringContext]
COLOURS = {"red": (220, 20, 20), "green": (20, 220, 20), "blue": (20, 20, 220)}


@dataclass(frozen=True)
class Noisy:
    """A scored phantom set: its run, its pool, and which of its samples were spoiled."""

    run: RunResult
    pool: Pool
    wrong: np.ndarray
    mismatched: np.ndarray

    def stage(self, name: str) -> Path:
        return next(stage.outputs.folder for stage in self.run.stages if stage.stage == name)

    def table(self, name: str) -> pa.Table:
        return pq.read_table(self.stage("score") / name)

    def value(self, scorer: str) -> np.ndarray:
        scores = self.table("scores").filter(pa.compute.field("scorer") == scorer)
        assert scores["sample_id"].to_pylist() == self.pool.sample_ids
        return scores["value"].to_numpy(zero_copy_only=False)


@pytest.fixture(scope="session")
def make_noisy(tmp_path_factory: pytest.TempPathFactory, vectors: Path) -> Callable[[int], Noisy]:
    """Curate and score 120 phantoms of a seed, once each."""
    known: dict[int, Noisy] = {}

    def make(seed: int) -> Noisy:
        if seed not in known:
            known[seed] = _noisy(tmp_path_factory.mktemp(f"noisy{seed}"), vectors, seed)
        return known[seed]

    return make


@pytest.fixture(scope="session")
def noisy(make_noisy: Callable[[int], Noisy]) -> Noisy:
    return make_noisy(11)


def _noisy(folder: Path, cache: Path, seed: int) -> Noisy:
    made = make_phantoms(folder / "set", images=120, seed=seed, wrong_answers=24, mismatched=24)
    recipe = parse_recipe(RECIPE.format(root=made.root, cache=cache))
    run = curate(recipe, folder / "run", LocalExecutor())
    pool = load_pool(run.upstream, recipe.strata, shared_space=False)
    truth = pq.read_table(made.truth).to_pylist()
    kind = {f"p:samples.jsonl:{line['row_index']}": line["kind"] for line in truth}
    kinds = np.array([kind.get(row) for row in pool.samples["row_id"].to_pylist()], object)
    return Noisy(run, pool, kinds == WRONG_ANSWER, kinds == MISMATCHED)


def unit(vectors: np.ndarray) -> np.ndarray:
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.divide(vectors, norms, out=np.zeros_like(vectors), where=norms > 0).astype(np.float32)


@pytest.fixture(scope="session")
def make_pool() -> PoolMaker:
    """A pool of lines (question, answer, …); vectors of texts follow from the words' letters."""
    return _pool


def _pool(
    lines: list[dict[str, Any]],
    image: np.ndarray | None = None,
    question: np.ndarray | None = None,
    answer: np.ndarray | None = None,
    facts: dict[str, dict[str, float]] | None = None,
    shared_space: bool = False,
    strata: tuple[str, ...] = (),
) -> Pool:
    blank = {name: None for name in records.SAMPLES.names}
    rows = [
        {
            **blank,
            "sample_id": f"s{place:06d}",
            "row_id": f"p:f:{place}",
            "source": "p",
            "images": [],
            **line,
        }
        for place, line in enumerate(lines)
    ]
    samples = pa.Table.from_pylist(rows, schema=records.SAMPLES)
    shown = sorted({name for row in rows for name in row["images"]})
    pictures = [
        {"image_id": name, "group_id": name, **(facts or {}).get(name, {})} for name in shown
    ]
    n = len(rows)
    return Pool(
        samples=samples,
        images=pa.Table.from_pylist(pictures) if pictures else _no_pictures(),
        vectors=SampleVectors(
            image=unit(image if image is not None else np.zeros((n, 4))),
            question=unit(question if question is not None else _by_text(rows, "question")),
            answer=unit(answer if answer is not None else _by_text(rows, "answer")),
            shared_space=shared_space,
        ),
        mass=np.ones(n),
        strata=stratum_names(samples, strata),
    )


def _no_pictures() -> pa.Table:
    return pa.table({name: pa.array([], pa.string()) for name in ("image_id", "group_id")})


def _by_text(rows: list[dict[str, Any]], column: str) -> np.ndarray:
    """A random direction for each text: equal texts are equal, others far apart."""
    found = np.zeros((len(rows), 16))
    for place, row in enumerate(rows):
        if row[column]:
            seed = int(records.digest(row[column])[:8], 16)
            found[place] = np.random.default_rng(seed).standard_normal(16)
    return found


@pytest.fixture
def make_context(tmp_path: Path) -> ContextMaker:
    """A context of a pool; fields that are given replace the usual ones."""

    def make(pool: Pool, seed: int = 0, **fields: Any) -> ScoringContext:
        usual = {
            "make_graph": lambda: pytest.fail("this scorer needs no graph"),
            "executor": LocalExecutor(),
            "folder": tmp_path / "scorer",
            "cache": tmp_path / "cache",
            "advance": lambda samples: None,
        }
        return ScoringContext(pool=pool, seed=seed, **(usual | fields))

    return make


@pytest.fixture
def context(make_pool: PoolMaker, make_context: ContextMaker, tmp_path: Path) -> Illustrations:
    """Samples as (picture file or None, question, answer)."""

    def make(
        lines: Sequence[tuple[Path | None, str, str]], folder: str = "gain", **fields: Any
    ) -> ScoringContext:
        pool = make_pool([sample(*line) for line in lines])
        return make_context(pool, folder=tmp_path / folder, **fields)

    return make


def sample(file: Path | None, question: str, answer: str) -> dict[str, Any]:
    refs = [] if file is None else [str(file)]
    images = [decode(Path(ref).read_bytes(), ref, ImagesConfig()).image_id for ref in refs]
    turns = [("user", question), ("assistant", answer)]
    messages = [{"role": role, "content": content} for role, content in turns]
    return {"messages": messages, "refs": refs, "images": images}


@pytest.fixture
def coloured(tmp_path: Path) -> list[tuple[Path, str]]:
    """Pictures of one colour each, and its name."""
    made = []
    for place, (name, colour) in enumerate(list(COLOURS.items()) * 2):
        file = tmp_path / f"{place}.png"
        noise = np.random.default_rng(place).integers(-15, 16, (16, 16, 3))
        Image.fromarray((np.array(colour) + noise).clip(0, 255).astype(np.uint8)).save(file)
        made.append((file, name))
    return made
