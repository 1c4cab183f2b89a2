"""Adding one per cent of rows: processor time against that of a run over all, step by step.

    python benchmarks/increment.py [--rows 5000 10000 20000] [--share 0.01]
    python benchmarks/increment.py --whole 700 [--share 0.01]
    python -m benchmarks.increment --pool 10000 100000 [--exam-pictures 5]

Synthetic pools of pictures in views, each view with copies and strangers, and one question a
picture; vectors are drawn, so that nothing is encoded. The steps are those behind the encoder that
look at more than one row. Seconds are processor time of one process. The result of the increment
is compared with that of the whole.

With `--whole` phantoms of that many pictures are curated, all but a share of the rows first, then
all of them in the same run directory: encoding and everything else included, stage by stage.

With `--pool` synthetic pools of that many rows (`benchmarks/scale_pool.py`) go through every stage
behind the encoder: at once, and all but a share of them first, then all in the same run directory.
What becomes of the rows must be the same.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from curation.dedup import DedupConfig, deduplicate
from curation.matching.image_copies import find_copies, image_set
from curation.neighbors import NeighborsConfig, join
from medsift import records
from medsift.storage.vectors import ContentVectors

WIDTH = 256
VIEW = 200  # pictures of one view: near by cosine, different in pixels
SEARCH = NeighborsConfig(exact_up_to=10_000_000)
RECIPE = """
name: whole
sources:
  - {{name: p, reader: table, path: {rows}, image_root: {images}, columns: {{images: image}}}}
encoder: {{kind: embedded}}
failures: {{tolerance: 0.5}}
scores: {{scorers: [{{kind: density}}, {{kind: text_quality}}, {{kind: image_quality}}]}}
selections:
  - {{name: fifth, method: {{kind: facility_location}}, budget: {{fraction: 0.2}}}}
"""


def pool(rows: int, seed: int = 0) -> dict[str, Any]:
    """Return samples, image facts and vectors of `rows` pictures, a tenth of them copies."""
    draw = np.random.default_rng(seed)
    views = draw.standard_normal((max(rows // VIEW, 1), WIDTH)).astype(np.float32)
    view = np.arange(rows) % len(views)
    vectors = views[view] + np.float32(0.45) * draw.standard_normal((rows, WIDTH), np.float32)
    copies = np.arange(rows - rows // 10, rows)
    vectors[copies] = vectors[copies - rows // 2]
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    shapes = draw.integers(0, 256, (len(views), 8, 8)).repeat(8, 1).repeat(8, 2)
    ids = [records.digest("picture", str(row)) for row in range(rows)]
    thumbs, hashes = [], []
    for row in range(rows):
        origin = row - rows // 2 if row >= copies[0] else row
        own = np.random.default_rng([seed, origin])
        noise = own.integers(-60, 60, (16, 16)).repeat(4, 0).repeat(4, 1)
        thumbs.append(np.clip(shapes[view[origin]] + noise, 0, 255).astype(np.uint8).tobytes())
        hashes.append(f"{int(own.integers(0, 2**63)):016x}")
    questions = [f"What is seen in region {row % 977} of view {view[row]}?" for row in range(rows)]
    answers = [f"finding {row % 1009} of grade {row % 7}" for row in range(rows)]
    samples = [
        {
            "sample_id": records.digest("sample", ids[row]),
            "row_id": f"s:f:{row:08d}",
            "source": "s",
            "modality": f"m{row % 5}",
            "answer_type": "open",
            "question": questions[row],
            "answer": answers[row],
            "messages": [
                {"role": "user", "content": questions[row]},
                {"role": "assistant", "content": answers[row]},
            ],
            "refs": [ids[row]],
            "images": [ids[row]],
        }
        for row in range(rows)
    ]
    texts = sorted({*questions, *answers})
    words = draw.standard_normal((len(texts), WIDTH), np.float32)
    words /= np.linalg.norm(words, axis=1, keepdims=True)
    return {
        "samples": pa.Table.from_pylist(samples, schema=records.SAMPLES),
        "images": pa.table({"image_id": ids, "phash": hashes, "thumb": thumbs}),
        "vectors": ContentVectors(ids, vectors),
        "texts": ContentVectors([records.text_id(text) for text in texts], words),
    }


def part(whole: dict[str, Any], rows: int) -> dict[str, Any]:
    """Return the pool of its first rows."""
    vectors = whole["vectors"]
    return {
        "samples": whole["samples"].slice(0, rows),
        "images": whole["images"].slice(0, rows),
        "vectors": ContentVectors(vectors.ids[:rows], vectors.matrix[:rows]),
        "texts": whole["texts"],
    }


def timed(function: Callable[[], Any]) -> tuple[float, Any]:
    """Return the processor seconds of a call, and its result."""
    start = time.process_time()
    result = function()
    return time.process_time() - start, result


def dedup(given: dict[str, Any], earlier: Any = None) -> Any:
    """Run the whole search for duplicates."""
    names = ("samples", "images", "vectors", "texts")
    return deduplicate(
        *(given[name] for name in names), DedupConfig(), neighbors=SEARCH, earlier=earlier
    )


def measure(rows: int, share: float) -> list[tuple[str, float, float]]:
    """Return (step, seconds of a run over all, seconds of the increment)."""
    whole = pool(rows)
    before = part(whole, rows - max(1, round(rows * share)))
    earlier = dedup(before).search
    lines = []
    pictures = image_set(whole["images"], whole["vectors"])
    config = DedupConfig().image
    full, expected = timed(lambda: find_copies(pictures, config, SEARCH))
    more, found = timed(lambda: find_copies(pictures, config, SEARCH, earlier=earlier))
    assert found.pairs.left.tolist() == expected.pairs.left.tolist()
    assert found.candidates == expected.candidates
    lines.append(("copies of pictures", full, more))
    full, expected = timed(lambda: dedup(whole))
    more, found = timed(lambda: dedup(whole, earlier))
    assert found.decisions.column("row_id").equals(expected.decisions.column("row_id"))
    lines.append(("duplicates, all of the stage", full, more))
    full, _ = timed(lambda: join(whole["vectors"].matrix, k=32))
    lines.append(("32 neighbours of each (made anew)", full, full))
    return lines


def whole(images: int, share: float, folder: Path) -> list[tuple[str, float, float]]:
    """Return (stage, seconds for all rows but a share, seconds for all of them after that)."""
    from curation.phantoms import make_phantoms
    from curation.pipeline import curate
    from curation.recipe import parse_recipe
    from medsift.execution import LocalExecutor

    made = make_phantoms(folder / "phantoms", images=images, seed=0)
    lines = made.samples.read_text(encoding="utf-8").splitlines(keepends=True)
    cut = len(lines) - max(1, round(len(lines) * share))
    rows = folder / "rows"
    rows.mkdir()
    recipe = parse_recipe(
        RECIPE.format(rows=rows, images=made.images), [f"cache={folder / 'cache'}"]
    )
    seconds: list[dict[str, float]] = []
    for name, part in (("first.jsonl", lines[:cut]), ("more.jsonl", lines[cut:])):
        (rows / name).write_text("".join(part), encoding="utf-8")
        seconds.append({})
        mark = time.process_time()

        def finished(event: Any) -> None:
            nonlocal mark
            if type(event).__name__ == "StageFinished":
                now = time.process_time()
                seconds[-1][event.stage] = now - mark
                mark = now

        start = time.process_time()
        curate(recipe, folder / "run", LocalExecutor(), finished)
        seconds[-1]["manifest and report"] = time.process_time() - mark
        seconds[-1][f"all of {len(lines):,} rows"] = time.process_time() - start
    return [(stage, seconds[0][stage], seconds[1][stage]) for stage in seconds[0]]


def grown(rows: int, share: float, folder: Path, exam: int) -> list[tuple[str, float, float]]:
    """Return (stage, seconds for all rows at once, seconds for all of them after the others)."""
    from benchmarks.scale import write_pool
    from benchmarks.scale_pool import BLOCK

    first = rows - max(1, round(rows * share / BLOCK)) * BLOCK
    runs = []
    for name, sizes in (("at-once", [rows]), ("in-parts", [first, rows])):
        for size in sizes:
            made = {"rows": [size], "exam_rows": first, "exam_pictures": exam}
            write_pool(
                folder / name, argparse.Namespace(**made, seed=0, dimension=64, decided=False)
            )
            seconds = staged(folder / name, rows)
        runs.append((folder / name / "run", seconds))
    (at_once, full), (in_parts, more) = runs
    expected, found = fates(at_once), fates(in_parts)
    apart = [name for name in expected if found[name] != expected[name]]
    assert not apart, f"differ: {', '.join(apart)}"
    return [(stage, full[stage], more[stage]) for stage in full]


def staged(folder: Path, rows: int) -> dict[str, float]:
    """Curate the pool of a folder; return the processor seconds of each stage and of all."""
    from benchmarks.scale import ROWS_PER_SHARD, recipe_of
    from curation.pipeline import curate
    from medsift.execution import LocalExecutor
    from medsift.progress import Event, StageFinished

    recipe = recipe_of(folder)
    shard = {"rows_per_shard": min(ROWS_PER_SHARD, rows // 4)}
    recipe = recipe.model_copy(update={"compute": recipe.compute.model_copy(update=shard)})
    seconds: dict[str, float] = {}
    start = mark = time.process_time()

    def finished(event: Event) -> None:
        nonlocal mark
        if isinstance(event, StageFinished):
            now = time.process_time()
            if not event.reused:
                seconds[event.stage] = now - mark
            mark = now

    curate(recipe, folder / "run", LocalExecutor(), finished)
    now = time.process_time()
    return seconds | {"publish": now - mark, "all": now - start}


def fates(run_dir: Path) -> dict[str, int]:
    """Return a digest of what the newest run found out about every row, whatever the order.

    Measured values count to two places: registrations differ in the sixth by their batches.
    """
    from curation.run_dir import open_run

    upstream = open_run(run_dir).upstream
    tables = {
        "decisions": upstream.dedup.decisions,
        "clusters": upstream.dedup.clusters,
        "conflicts": upstream.dedup.conflicts_found,
        "groups": upstream.dedup.groups,
        "updates": upstream.split.updates,
        "leaks": upstream.decontaminate.leaks_found,
        "gone": upstream.decontaminate.decisions,
        "scores": upstream.score.scores,
        "selections": upstream.select.selections,
    }

    def shown(value: Any) -> str:
        return f"{value:.2f}" if isinstance(value, float) else str(value)

    return {
        name: sum(hash(tuple(map(shown, row.values()))) for row in table.read().to_pylist())
        for name, table in tables.items()
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, nargs="+", default=[5_000, 10_000, 20_000])
    parser.add_argument("--share", type=float, default=0.01)
    parser.add_argument("--whole", type=int, help="phantom pictures of a whole run instead")
    parser.add_argument("--pool", type=int, nargs="+", help="rows of synthetic pools instead")
    parser.add_argument("--exam-pictures", type=int, default=0, help="of the pool's benchmark")
    parser.add_argument("--folder", type=Path, help="where the pools are made")
    options = parser.parse_args(arguments)
    print(f"| rows | step | all, s | +{options.share:.0%}, s | ratio |")
    print("|---|---|---|---|---|")
    if options.whole is not None:
        with tempfile.TemporaryDirectory() as folder:
            for step, full, more in whole(options.whole, options.share, Path(folder)):
                print(f"| | {step} | {full:.2f} | {more:.2f} | {more / max(full, 1e-9):.1%} |")
        return
    for rows in options.pool or ():
        with tempfile.TemporaryDirectory(dir=options.folder) as folder:
            found = grown(rows, options.share, Path(folder), options.exam_pictures)
        for step, full, more in found:
            ratio = f"{more / max(full, 1e-9):.1%}"
            print(f"| {rows:,} | {step} | {full:.2f} | {more:.2f} | {ratio} |", flush=True)
    for rows in () if options.pool else options.rows:
        for step, full, more in measure(rows, options.share):
            print(
                f"| {rows:,} | {step} | {full:.2f} | {more:.2f} | {more / full:.1%} |", flush=True
            )


if __name__ == "__main__":
    main()
