"""Writing a phantom set to a folder: pictures, samples.jsonl, truth.parquet."""

from __future__ import annotations

import json
import logging
import multiprocessing
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from curation.phantoms.alterations import altered
from curation.phantoms.defects import MIN_IMAGES, TRUTH, Job, Plan, plan_set
from curation.phantoms.noise import plant_noise
from medsift.errors import UsageError
from medsift.own_packages import put_first
from medsift.storage.atomic import atomic_folder

MARKER = "phantoms.json"
VERSION = 1
logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class PhantomSet:
    """A phantom set on disk: its folders and files, and how much they hold."""

    root: Path
    images: Path
    samples: Path
    truth: Path
    base_images: int
    image_files: int
    rows: int
    planted: int


def make_phantoms(
    out: Path,
    *,
    images: int,
    seed: int,
    workers: int = 1,
    wrong_answers: int = 0,
    mismatched: int = 0,
) -> PhantomSet:
    """Make a phantom set of `images` base pictures under `out`; the same bytes every time.

    Writes ``images/**``, ``samples.jsonl``, ``truth.parquet`` and a marker. A folder that holds
    the same set already is returned as it is; the number of `workers` (processes) changes
    nothing but the time. The folder appears when it is complete. `wrong_answers` and `mismatched`
    training rows without another defect are spoiled on top (see `noise`).

    Raises UsageError when a number is out of range or `out` holds anything else, StorageError
    when the disk refuses.
    """
    _check(images, seed, workers, wrong_answers, mismatched)
    noise = {"wrong_answers": wrong_answers, "mismatched": mismatched}
    order = {"version": VERSION, "images": images, "seed": seed}
    order |= {kind: rows for kind, rows in noise.items() if rows}
    plan = plan_set(images, seed)
    plant_noise(plan, **noise)
    if _holds(out, order):
        logger.info("phantoms are already in %s", out)
        return _describe(out, plan, images)
    elsewhere = "choose a writable folder with room"
    with atomic_folder(out.absolute(), elsewhere, "output_unwritable") as unfinished:
        _write(unfinished, plan, workers)
        (unfinished / MARKER).write_text(json.dumps(order) + "\n", encoding="utf-8")
    return _describe(out, plan, images)


def _check(images: int, seed: int, workers: int, wrong_answers: int, mismatched: int) -> None:
    for name, value, least in (
        ("images", images, MIN_IMAGES),
        ("seed", seed, 0),
        ("workers", workers, 1),
        ("wrong_answers", wrong_answers, 0),
        ("mismatched", mismatched, 0),
    ):
        if value < least:
            raise UsageError(
                f"{name}={value}: must be at least {least}; raise it",
                code="phantom_option_invalid",
                option=name,
                least=least,
            )


def _holds(out: Path, order: dict[str, int]) -> bool:
    """Whether `out` is this very set. Raises UsageError when it holds anything else."""
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return False
    marker = out / MARKER
    if marker.is_file() and marker.read_text(encoding="utf-8") == json.dumps(order) + "\n":
        return True
    raise UsageError(
        f"{out} is not empty and not this phantom set: name a new folder or remove that one",
        code="phantom_folder_in_the_way",
        path=str(out),
    )


def _describe(out: Path, plan: Plan, images: int) -> PhantomSet:
    return PhantomSet(
        root=out,
        images=out / "images",
        samples=out / "samples.jsonl",
        truth=out / "truth.parquet",
        base_images=images,
        image_files=len(plan.jobs),
        rows=len(plan.rows),
        planted=len(plan.truth),
    )


def _write(root: Path, plan: Plan, workers: int) -> None:
    for folder in sorted({Path(row["image"]).parent for row in plan.rows}):
        (root / "images" / folder).mkdir(parents=True)
    write = partial(_write_picture, root=root / "images", seed=plan.seed)
    _drain(plan.jobs, write, workers)
    lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in plan.rows)
    (root / "samples.jsonl").write_bytes(lines.encode())
    pq.write_table(pa.Table.from_pylist(plan.truth, schema=TRUTH), root / "truth.parquet")


def _drain(jobs: list[Job], write: partial[None], workers: int) -> None:
    """Write every picture, in this process or in spawned ones, which inherit no threads."""
    results: Iterable[None]
    if workers == 1:
        results = map(write, jobs)
        _finish(results)
        return
    context = multiprocessing.get_context("spawn")
    # A spawned process searches the folders of this one anew, that of the user first.
    with ProcessPoolExecutor(workers, mp_context=context, initializer=put_first) as pool:
        results = pool.map(write, jobs, chunksize=max(1, min(64, len(jobs) // (4 * workers))))
        _finish(results)


def _finish(results: Iterable[None]) -> None:
    for _ in results:
        pass


def _write_picture(job: Job, *, root: Path, seed: int) -> None:
    (root / job.path).write_bytes(altered(job.alteration, job.case, seed))
