"""Write a phantom set to a folder: pictures, samples.jsonl, captions.jsonl, truth.parquet."""

from __future__ import annotations

import json
import logging
import multiprocessing
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from curation.phantoms.alterations import altered
from curation.phantoms.captions import caption_rows
from curation.phantoms.defects import MIN_IMAGES, TRUTH, Job, PhantomPlan, plan_set
from curation.phantoms.noise import plant_noise
from curation.phantoms.pools import PoolShape, plan_pool
from medsift.errors import UsageError
from medsift.own_packages import put_first
from medsift.storage.atomic import atomic_file, atomic_folder

MARKER = "phantoms.json"
CAPTIONS = "captions.jsonl"
VERSION = 1
logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class PhantomSet:
    """A phantom set on disk: its folders and files, and how many of each it has."""

    root: Path
    images: Path
    samples: Path
    captions: Path
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
    shape: PoolShape | None = None,
) -> PhantomSet:
    """Make a phantom set of `images` base pictures under `out`; the same bytes every time.

    It writes ``images/**``, ``samples.jsonl``, ``captions.jsonl``, ``truth.parquet`` and a marker.
    The folder appears when it is complete; a folder that has the same set already is returned as it
    is, with captions where an earlier version wrote none.

    Args:
        out: The folder.
        images: Number of base pictures.
        seed: Seed of everything that is drawn.
        workers: Processes; their number changes only the time.
        wrong_answers: Training rows that get a wrong answer (see `plant_noise`).
        mismatched: Training rows that get another patient's picture.
        shape: Redundancy, wrong answers and imbalance of a pool without the usual defects, of
            `images` training pictures (see `plan_pool`); the usual set when not given.

    Raises:
        UsageError: a number is out of range, a shape is given with rows to spoil, or `out` has
            anything else.
        StorageError: the disk refuses.
    """
    for option, value, least in (
        ("images", images, MIN_IMAGES),
        ("seed", seed, 0),
        ("workers", workers, 1),
        ("wrong_answers", wrong_answers, 0),
        ("mismatched", mismatched, 0),
    ):
        if value < least:
            raise UsageError(
                f"{option}={value}: must be at least {least}; raise it",
                code="phantom_option_invalid",
                option=option,
                least=least,
            )
    noise = {"wrong_answers": wrong_answers, "mismatched": mismatched}
    order: dict[str, float] = {"version": VERSION, "images": images, "seed": seed}
    order |= {kind: rows for kind, rows in noise.items() if rows}
    if shape is None:
        plan = plan_set(images, seed)
        plant_noise(plan, **noise)
    elif any(noise.values()):
        raise UsageError(
            "a pool of known redundancy, wrong answers and imbalance has no other defects: give "
            "wrong_share instead of wrong_answers, and no mismatched",
            code="phantom_options_clash",
        )
    else:
        order |= asdict(shape)
        plan = plan_pool(images, seed, shape)
    elsewhere = "choose a writable folder with room"
    captions = out / CAPTIONS
    if _has_set(out, order):
        logger.info("phantoms are already in %s", out)
        if not captions.is_file():
            with atomic_file(captions.absolute(), elsewhere) as partial:
                partial.write_bytes(_lines(caption_rows(plan.bases, seed)))
    else:
        with atomic_folder(out.absolute(), elsewhere, "output_unwritable") as unfinished:
            _write(unfinished, plan, workers)
            (unfinished / MARKER).write_text(json.dumps(order) + "\n", encoding="utf-8")
    return PhantomSet(
        root=out,
        images=out / "images",
        samples=out / "samples.jsonl",
        captions=captions,
        truth=out / "truth.parquet",
        base_images=images,
        image_files=len(plan.jobs),
        rows=len(plan.rows),
        planted=len(plan.truth),
    )


def _has_set(out: Path, order: dict[str, float]) -> bool:
    """Return whether `out` is this very set. Raises UsageError when it has anything else."""
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


def _write(root: Path, plan: PhantomPlan, workers: int) -> None:
    for folder in sorted({Path(row["image"]).parent for row in plan.rows}):
        (root / "images" / folder).mkdir(parents=True)
    write = partial(_write_picture, root=root / "images", seed=plan.seed)
    if workers == 1:
        for job in plan.jobs:
            write(job)
    else:
        # Spawned processes inherit no threads, and search the folders for modules anew, that of
        # the user first: hence `put_first`.
        context = multiprocessing.get_context("spawn")
        size = max(1, min(64, len(plan.jobs) // (4 * workers)))
        with ProcessPoolExecutor(workers, mp_context=context, initializer=put_first) as pool:
            for _ in pool.map(write, plan.jobs, chunksize=size):
                pass
    (root / "samples.jsonl").write_bytes(_lines(plan.rows))
    (root / CAPTIONS).write_bytes(_lines(caption_rows(plan.bases, plan.seed)))
    pq.write_table(pa.Table.from_pylist(plan.truth, schema=TRUTH), root / "truth.parquet")


def _lines(rows: Iterable[dict[str, str]]) -> bytes:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()


def _write_picture(job: Job, *, root: Path, seed: int) -> None:
    (root / job.path).write_bytes(altered(job.alteration, job.case, seed))
