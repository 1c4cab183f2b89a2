"""Processor time of volumes by the slices shown, and of the plain path before and after a change.

Run: python -m benchmarks.volumes [--slices 200] [--side 512]. With --against FOLDER, another
checkout, it instead runs both in turn over plain pictures and rows, and prints the ratio.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

SHOWN = (1, 8, 50, 200)
PICTURES, ROWS = 60, 2_000
PLAIN = """
import io, sys, time
import numpy as np
from pathlib import Path
from PIL import Image
from curation.ingest import IngestConfig, ingest
from medsift.images.inspect_image import inspect
from curation.sources.table import TableReader
from medsift.images import ImagesConfig
from medsift.images.blob_store import BlobStore
folder, config = Path(sys.argv[1]), ImagesConfig()
paths = sorted(folder.glob("*.*g")) + sorted(folder.glob("*.dcm"))
files = [(str(path), path.read_bytes()) for path in paths]
reader = TableReader(name="s", path=str(folder / "rows.jsonl"))
shards = reader.shards()
for _ in sys.stdin:
    start = time.process_time()
    for ref, data in files:
        row, _ = inspect(ref, data, config)
        assert row["error"] is None, row
    pictures = time.process_time() - start
    start = time.process_time()
    for shard in shards:
        for table in reader.read(shard, BlobStore(folder / "blobs")):
            assert ingest(table, IngestConfig()).samples.num_rows
    print(pictures, time.process_time() - start, flush=True)
"""


def plain_folder(folder: Path) -> None:
    """Write JPEG, 16-bit PNG and DICOM pictures, and rows that show them."""
    import json

    import pydicom
    from PIL import Image
    from pydicom.data import get_testdata_file

    from benchmarks.images import jpeg, picture

    random = np.random.default_rng(0)
    head = pydicom.dcmread(str(get_testdata_file("MR_small.dcm", download=False)))
    for number in range(PICTURES):
        image = picture(random)
        (folder / f"{number:04d}.jpg").write_bytes(jpeg(image))
        if number % 3 == 0:
            deep = np.asarray(image).astype(np.uint16) * 200
            Image.fromarray(deep).save(folder / f"d{number:04d}.png")
            head.Rows, head.Columns, head.PixelData = *deep.shape, deep.tobytes()
            head.save_as(folder / f"m{number:04d}.dcm")
    with (folder / "rows.jsonl").open("w") as file:
        for number in range(ROWS):
            line = {"question": f"What is seen at {number}?", "answer": f"organ {number % 97}"}
            file.write(json.dumps({**line, "images": [f"{number % PICTURES:04d}.jpg"]}) + "\n")


def compare(other: Path, rounds: int) -> None:
    """Print the processor time of both trees on plain pictures and rows, run in turn."""
    here = Path(__file__).resolve().parent.parent
    with tempfile.TemporaryDirectory() as name:
        plain_folder(Path(name))
        asked = {
            tree: subprocess.Popen(
                [sys.executable, "-c", PLAIN, name],
                env={**os.environ, "PYTHONPATH": str(tree), "OMP_NUM_THREADS": "1"},
                cwd=tree,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            for tree in (other, here)
        }
        spent: dict[Path, list[list[float]]] = {other: [], here: []}
        for number in range(rounds + 1):
            # In turn, and each first in every other round, because other work shares the machine.
            for tree in (other, here) if number % 2 else (here, other):
                process = asked[tree]
                process.stdin.write("again\n")
                process.stdin.flush()
                seconds = [float(word) for word in process.stdout.readline().split()]
                if number:  # the first round loads modules
                    spent[tree].append(seconds)
        for process in asked.values():
            process.communicate()
    print(f"{'plain path':<20}{'before s':>10}{'after s':>10}{'ratio':>8}   median of {rounds}")
    for part, what in enumerate((f"{PICTURES * 5 // 3} pictures", f"{ROWS:,} rows")):
        before, after = (
            statistics.median(run[part] for run in spent[one]) for one in (other, here)
        )
        print(f"{what:<20}{before:>10.2f}{after:>10.2f}{after / before:>8.3f}")


def by_slices(slices: int, side: int) -> None:
    """Print the processor time of a volume by the number of slices that a sample shows."""
    import nibabel as nib

    from medsift.images.volumes import VolumesConfig, read_volume
    from tests.medsift.images.dicom_files import write_series

    random = np.random.default_rng(0)
    values = random.integers(-1000, 1000, (side, side)).astype(np.int16)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_series(folder / "series", [float(at) for at in range(slices)], pixels=values)
        stack = np.repeat(values[:, :, None], slices, axis=2)
        for suffix in ("nii", "nii.gz"):
            nib.Nifti1Image(stack, np.eye(4)).to_filename(folder / f"a.{suffix}")
        print(f"{slices} slices of {side} x {side}; seconds of processor time")
        shown = [count for count in SHOWN if count <= slices]
        print(f"{'shown':<16}" + "".join(f"{count:>10}" for count in shown))
        for what in ("series", "a.nii", "a.nii.gz"):
            spent = []
            for count in shown:
                config = VolumesConfig(slices=f"uniform:{count}", window="0/2000", max_slices=count)
                start = time.process_time()
                read_volume(str(folder / what), config, {}, None)
                spent.append(time.process_time() - start)
            print(f"{what:<16}" + "".join(f"{seconds:>10.2f}" for seconds in spent))


def main() -> None:
    """Print one of the two tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--slices", type=int, default=200)
    parser.add_argument("--side", type=int, default=512)
    parser.add_argument("--against", type=Path)
    parser.add_argument("--rounds", type=int, default=7)
    asked = parser.parse_args()
    if asked.against is not None:
        compare(asked.against.resolve(), asked.rounds)
    else:
        by_slices(asked.slices, asked.side)


if __name__ == "__main__":
    main()
