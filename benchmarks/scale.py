"""Synthetic pools of growing size from dedup to publish: seconds, peak memory, growth exponents.

    python -m benchmarks.scale [--rows 25000 50000 100000 200000] [--ray]
    python -m benchmarks.scale --decided [--rows 1000000]
    python -m benchmarks.scale --project docs/scale.md

A pool (`benchmarks/scale_pool.py`) is written as the stages `ingest`, `images` and `embed` would
leave it; nothing is decoded or encoded. Every later stage then runs in a process of its own.
`driver` is the most memory of its own that this process had at once (files that it maps aside, of
which the disk has a copy), some 400 MB of it the loaded code; `worker` is the largest resident size
of a child. `cpu` are the seconds of processor time of the driver, which a busy machine stretches
less than `seconds`. The exponent is log(time ratio) / log(row ratio) between neighbouring sizes, of
`cpu` in one process and of `seconds` on Ray: 1 is linear. A size counts only if every planted
duplicate, and every planted row of a benchmark, was found and no other.
"""

from __future__ import annotations

import argparse
import json
import math
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

if TYPE_CHECKING:
    from benchmarks.scale_pool import Part
    from curation.recipe import Recipe
    from curation.stages.stage import FinishedStage
    from medsift.arrays import Indices

STAGES: Final = ("dedup", "split", "decontaminate", "score", "select", "publish")
DECIDED: Final = ("score", "select")
ITEMS: Final = 50
"""Reports, and pictures, of the pool that a benchmark has too."""
REPORT_ROW: Final = 17
SEEN_ROW: Final = 9
"""Rows of a block: its fourth report, and the first on its fourth picture."""
PROJECTED: Final = (10**6, 10**7, 10**8, 10**9)
THUMB_BYTES: Final = 4096
TEXTS_PER_ROW: Final = 0.31
"""Distinct texts of this pool, nearly all of them reports."""
NPROBE: Final = 32
ROWS_PER_SHARD: Final = 25_000
RECIPE: Final = """
name: scale
sources:
  - {{name: pool, reader: table, path: {root}/pool.jsonl}}
encoder: {{kind: embedded}}
splits: {{assign: patient, shares: {{train: 0.9, test: 0.1}}{slices}}}
decontaminate:
  benchmarks: [{{name: exam, index: {root}/index}}]
scores:
  scorers: [{{kind: text_quality}}, {{kind: image_quality}}, {{kind: density}}]
  weights: {{text_quality: 1, image_quality: 1}}
selections:
  - {{name: small, budget: 10%, method: {{kind: facility_location}}}}
  - {{name: chance, budget: 10%, method: {{kind: random}}}}
"""


def recipe_of(folder: Path) -> Recipe:
    """Return the recipe of the pool in a folder."""
    from curation.recipe import parse_recipe

    slices = "" if (folder / "slices").exists() else ", slice_correlation: null"
    text = RECIPE.format(root=folder, slices=slices)
    return parse_recipe(text, [f"cache={folder / 'cache'}"])


def write_pool(folder: Path, options: argparse.Namespace) -> None:
    """Write a pool of about `rows` rows as three finished stages, and the index of a benchmark.

    With `options.exam_rows` the benchmark is that of a pool of so many rows, which this one begins
    with.
    """
    from benchmarks.scale_decided import write_decided
    from benchmarks.scale_pool import BLOCK, make_parts, text_vectors, vector_table
    from curation.ledger import Balance
    from curation.pipeline import mark_finished, planned_outputs
    from curation.stages import STAGES as ALL
    from curation.stages.stage import FinishedStage
    from curation.unread import Census

    folder.mkdir(parents=True, exist_ok=True)
    blocks = options.rows[0] // BLOCK
    exam_of = (getattr(options, "exam_rows", None) or options.rows[0]) // BLOCK
    # The file is never read: it names the pool.
    line = json.dumps({"question": f"Is it so in {blocks}?", "answer": "yes"})
    (folder / "pool.jsonl").write_text(line + "\n", encoding="utf-8")
    recipe = recipe_of(folder)
    seed, dimension = options.seed, options.dimension
    exam: list[tuple[pa.Table, pa.Table, pa.Table]] = []
    finished: list[FinishedStage] = []
    for stage in ALL:
        if stage.name in ("ingest", "images", "embed"):
            outputs = planned_outputs(stage, recipe, folder / "run", finished)
            balance = Balance(stage.name, blocks * BLOCK, blocks * BLOCK, 0, 0)
            finished.append(FinishedStage(outputs, balance, 0.0, False, ()))
    ingest, looked, embed = (done.outputs for done in finished)
    seen: set[str] = set()
    pictures, texts = recipe.compute.images_per_batch, recipe.compute.rows_per_batch
    counts = [0, 0]
    for number, part in enumerate(make_parts(blocks, seed, dimension)):
        ingest.rows.write(part.rows, number)
        ingest.samples.write(part.samples, number)
        looked.updates.write(part.updates, number)
        looked.images.write(part.images, number)
        exam.append(exam_part(part, exam_of, options.exam_pictures))
        of_images = vector_table(part.images["image_id"].to_pylist(), part.image_vectors)
        new = [text for text in part.texts if text not in seen]
        seen.update(text for text in new if len(text) < 100)
        of_texts = text_vectors(new, dimension)
        for place, (outputs, table, size) in enumerate(
            ((looked, of_images, pictures), (embed, of_texts, texts))
        ):
            for start in range(0, table.num_rows, size):
                outputs.vectors.write(table.slice(start, size), counts[place])
                counts[place] += 1
    embed.measures.write(Census(sum(counts), {}).measures())
    for done in finished:
        mark_finished(done.outputs, done.balance, 0.0, ())
    write_exam(folder, recipe, exam)
    if options.decided:
        write_decided(folder, recipe, blocks, seed)


def exam_blocks(blocks: int) -> Indices:
    """Return the blocks of which a benchmark has a report and a picture."""
    return np.unique(np.linspace(0, blocks - 1, min(ITEMS, blocks)).astype(np.int64))


def exam_part(part: Part, blocks: int, most: int) -> tuple[pa.Table, pa.Table, pa.Table]:
    """Return the samples, facts and vectors that a benchmark takes from a part of the pool."""
    from benchmarks.scale_pool import BLOCK, PICTURES, vector_table

    first = part.rows["index"][0].as_py() // BLOCK
    count = part.rows.num_rows // BLOCK
    wanted = exam_blocks(blocks)
    places = wanted[(wanted >= first) & (wanted < first + count)] - first
    rows, seen_in = places * BLOCK, places[np.isin(places + first, wanted[:most])]
    pictures = seen_in * PICTURES + 3
    images = part.images.take(pa.array(pictures))
    vectors = vector_table(images["image_id"].to_pylist(), part.image_vectors[pictures])
    reports = part.samples.take(pa.array(rows + REPORT_ROW))
    seen = part.samples.take(pa.array(seen_in * BLOCK + SEEN_ROW))
    empty = pa.array([[]] * len(places), pa.list_(pa.string()))
    shown = pa.array([[image] for image in images["image_id"].to_pylist()], empty.type)
    column = reports.schema.get_field_index("images")
    reports = reports.set_column(column, "images", empty)
    other = pa.array(["Which view is this?"] * len(seen_in), pa.string())
    seen = seen.set_column(seen.schema.get_field_index("question"), "question", other)
    none = pa.nulls(len(seen_in), reports.schema.field("messages").type)
    seen = seen.set_column(seen.schema.get_field_index("messages"), "messages", none)
    return pa.concat_tables([reports, seen.set_column(column, "images", shown)]), images, vectors


def write_exam(folder: Path, recipe: Recipe, parts: list[tuple[pa.Table, ...]]) -> None:
    """Write the index of the benchmark."""
    from curation.decontaminate.index import build_index, write_index
    from medsift.storage.vectors import ContentVectors

    samples, images, vectors = (pa.concat_tables(tables) for tables in zip(*parts, strict=True))
    column = vectors["vector"].combine_chunks()
    matrix = column.flatten().to_numpy().reshape(len(vectors), column.type.list_size)
    known = ContentVectors(vectors["content_id"].to_pylist(), matrix)
    encoder = recipe.encoder.fingerprint()
    gram = recipe.decontaminate.ngram_words
    write_index(build_index("exam", samples, images, known, encoder, gram=gram), folder / "index")


def run_stage(folder: Path, stage: str, ray: bool) -> dict[str, Any]:
    """Run one stage in this process, and say what it took."""
    from curation.pipeline import curate, run_stages
    from ray_jobs.actions.curate import executor

    recipe, run_dir = recipe_of(folder), folder / "run"
    watch = PeakMemory()
    with executor(ray, None) as engine:
        start, cpu = time.perf_counter(), time.process_time()
        if stage == "publish":
            result = curate(recipe, run_dir, engine)
            operators: Sequence[Any] = ()
            assert all(done.reused for done in result.stages)
            seconds = time.perf_counter() - start
        else:
            *before, last = run_stages(recipe, run_dir, engine, until=stage).stages
            assert all(done.reused for done in before)
            assert not last.reused
            seconds, operators = last.seconds, last.operators
        cpu = time.process_time() - cpu
    worker = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    parts = {operator.operator: round(operator.seconds, 1) for operator in operators}
    took = {"seconds": seconds, "cpu": cpu, "driver": watch.stop(), "parts": parts}
    return took | {"worker": worker if ray else None}


class PeakMemory:
    """Samples this process's own memory (`RssAnon`) until it is stopped."""

    def __init__(self) -> None:
        self.peak = 0.0
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def _watch(self) -> None:
        while not self._done.wait(0.02):
            self.peak = max(self.peak, own_memory())

    def stop(self) -> float:
        """Return the largest size that was seen, in MB."""
        self._done.set()
        self._thread.join()
        return max(self.peak, own_memory())


def own_memory() -> float:
    """Return the memory that belongs to this process alone, in MB."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.partition("RssAnon:")[2].split()[0]) / 1024


def check(folder: Path, options: argparse.Namespace) -> None:
    """Make sure that every planted row was found. Raises AssertionError."""
    from benchmarks.scale_pool import BLOCK, planted, row_name
    from curation.pipeline import run_stages
    from medsift.execution import LocalExecutor

    blocks = options.rows[0] // BLOCK
    recipe, run_dir = recipe_of(folder), folder / "run"
    upstream = run_stages(recipe, run_dir, LocalExecutor(), until="decontaminate").upstream
    gone = set(upstream.dedup.decisions.read(["row_id"])["row_id"].to_pylist())
    copies, originals = planted(np.arange(blocks))
    pairs = [
        (row_name(copy) in gone) + (row_name(original) in gone)
        for copy, original in zip(copies.tolist(), originals.tolist(), strict=True)
    ]
    assert pairs == [1] * len(pairs), f"{pairs.count(0)} planted duplicates were missed"
    assert len(gone) == len(pairs), f"{len(gone)} rows were dropped, {len(pairs)} are planted"
    leaks = upstream.decontaminate.leaks_found.read(["row_id", "verdict"]).to_pylist()
    leaked = {leak["row_id"] for leak in leaks if leak["verdict"] != "near"}
    updates = upstream.split.updates.read()
    train = updates.filter(pc.equal(updates["split"], "train"))["row_id"].to_pylist()
    first = exam_blocks(blocks) * BLOCK
    seen = first[: options.exam_pictures, None] + SEEN_ROW + np.arange(3)
    exam = {row_name(row) for row in [*seen.ravel().tolist(), *(first + REPORT_ROW).tolist()]}
    expected = exam.intersection(train)
    assert leaked == expected, f"{len(leaked)} rows leaked, {len(expected)} are planted"


def measure(rows: int, options: argparse.Namespace) -> dict[str, Any]:
    """Make a pool and measure every stage on it, each in a process of its own."""
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        command = [sys.executable, "-m", "benchmarks.scale", "--rows", str(rows)]
        command += ["--at", folder, "--seed", str(options.seed)]
        command += ["--dimension", str(options.dimension), *(["--ray"] * options.ray)]
        command += ["--exam-pictures", str(options.exam_pictures)]
        command += ["--decided"] * options.decided
        stages = {}
        for stage in ("make", *(DECIDED if options.decided else (*STAGES, "check"))):
            done = subprocess.run(
                [*command, "--only", stage],
                check=True, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[1],
            )  # fmt: skip
            if stage in STAGES:
                stages[stage] = json.loads(done.stdout.splitlines()[-1])
                print(rows, stage, stages[stage], file=sys.stderr, flush=True)
    return stages


def main() -> None:
    """Measure every size and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rows", type=int, nargs="+", default=[25_000, 50_000, 100_000, 200_000])
    parser.add_argument("--dimension", type=int, default=64, help="of the vectors")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--exam-pictures",
        type=int,
        default=0,
        help=f"of the benchmark, 0 to {ITEMS}: with any, every picture of the pool is registered",
    )
    parser.add_argument(
        "--decided",
        action="store_true",
        help="run score and select alone, with what comes before them written as planted",
    )
    parser.add_argument("--ray", action="store_true", help="on a local Ray instead of in-process")
    parser.add_argument(
        "--project", type=Path, help="compute larger sizes from the table in this file"
    )
    parser.add_argument("--folder", type=Path, help="where the pools are made")
    parser.add_argument("--at", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--only", choices=("make", *STAGES, "check"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.project is not None:
        print(projection(options.project.read_text(encoding="utf-8"), options.dimension))
    elif options.only == "make":
        write_pool(options.at, options)
    elif options.only == "check":
        check(options.at, options)
    elif options.only is not None:
        print(json.dumps(run_stage(options.at, options.only, options.ray)))
    else:
        report(options)


def report(options: argparse.Namespace) -> None:
    """Print a line for each size and stage."""
    print(
        "| rows | stage | seconds | cpu s | exponent | driver MB | worker MB |\n" + "|---" * 7 + "|"
    )
    before: dict[str, Any] = {}
    last, timed = 0, "seconds" if options.ray else "cpu"
    for rows in options.rows:
        stages = measure(rows, options)
        for stage, took in stages.items():
            exponent = ""
            if stage in before:
                growth = math.log(took[timed] / before[stage][timed])
                exponent = f"{growth / math.log(rows / last):.2f}"
            print(
                f"| {rows:,} | {stage} | {took['seconds']:.1f} | {took['cpu']:.1f} | {exponent} "
                f"| {took['driver']:.0f} | {took['worker'] or 0:.0f} |",
                flush=True,
            )
        before, last = stages, rows


def projection(table: str, dimension: int) -> str:
    """Return a table of cost at larger sizes, from the largest size of a table of measurements.

    Every stage is taken as linear but for the neighbours of `score`: an exact search compares all
    pairs; one by cells compares a row with the cells that it looks into. A task is a shard. Sizes
    are those of the pool of this benchmark, at its dimension.
    """
    lines = [line.strip("| ").split(" | ") for line in table.splitlines() if line.startswith("| ")]
    measured = [line for line in lines if len(line) >= 4 and line[1] in STAGES]
    most = max(int(line[0].replace(",", "")) for line in measured)
    cpu = {line[1]: float(line[3]) for line in measured if line[0] == f"{most:,}"}
    linear = sum(seconds for stage, seconds in cpu.items() if stage != "score") / most
    # All products of the joint vectors, which are three parts wide, of each pair once.
    width = 3 * dimension
    rate = most**2 * width / cpu["score"]
    listed = ["| rows | vectors and miniatures | products, exact | products, by cells | tasks "]
    listed[0] += "| core hours, linear stages | core hours, exact | core hours, by cells |"
    listed.append("|---" * 8 + "|")
    for rows in PROJECTED:
        size = rows * (0.25 * (4 * dimension + THUMB_BYTES) + TEXTS_PER_ROW * 4 * dimension)
        exact = rows**2 * width
        cells = 2 * rows * NPROBE / (4 * rows**0.5) * rows * width
        hours = [rows * linear / 3600, exact / rate / 3600, cells / rate / 3600]
        listed.append(
            f"| {rows:,} | {size / 1e9:,.0f} GB | {exact:.1e} | {cells:.1e} "
            f"| {-(-rows // ROWS_PER_SHARD):,} | "
            + " | ".join(f"{one:,.1f}" for one in hours)
            + " |"
        )
    return "\n".join(listed)


if __name__ == "__main__":
    main()
