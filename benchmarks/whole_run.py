"""A whole phantom run at growing sizes: seconds, peak memory, growth exponent, defects found.

    python benchmarks/whole_run.py [--rows 10000 30000 100000] [--ray]

Every size runs in a process of its own. Memory is the peak of that process and, with Ray, of its
largest child. The exponent is log(time ratio) / log(row ratio) between neighbouring sizes: 1 is
linear. Phantoms are made beforehand and not timed.
"""

from __future__ import annotations

import argparse
import json
import math
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROWS_PER_IMAGE = 7.1  # of a phantom set, planted rows included

RECIPE = """
name: whole_run
sources:
  - {{name: phantoms, reader: table, path: {root}/samples.jsonl, image_root: {root}/images}}
encoder: {{kind: embedded}}
"""


def measure(rows: int, folder: Path, ray: bool) -> dict[str, Any]:
    """Make phantoms of about `rows` rows, curate them, and say what it took."""
    from curation.phantoms import make_phantoms
    from curation.recipe import parse_recipe
    from ray_jobs.actions.curate import executor

    made = make_phantoms(
        folder / "phantoms", images=round(rows / ROWS_PER_IMAGE), seed=0, workers=2
    )
    recipe = parse_recipe(RECIPE.format(root=made.root), [f"cache={folder / 'cache'}"])
    from curation.pipeline import curate

    with executor(ray, None) as engine:
        start = time.perf_counter()
        result = curate(recipe, folder / "run", engine)
        seconds = time.perf_counter() - start
    peak = max(
        resource.getrusage(who).ru_maxrss
        for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )
    stages = {stage.stage: round(stage.seconds, 1) for stage in result.stages}
    published = seconds - sum(stage.seconds for stage in result.stages)
    return {
        "rows": made.rows,
        "images": made.image_files,
        "seconds": seconds,
        "peak_mb": peak / 1024,
        "stages": stages | {"publish": round(published, 1)},
        "kept": result.stages[-1].balance.kept,
    }


def main() -> None:
    """Measure every size and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rows", type=int, nargs="+", default=[10_000, 30_000, 100_000])
    parser.add_argument("--ray", action="store_true", help="on a local Ray instead of in-process")
    parser.add_argument("--only", type=Path, help="measure one size in this folder, print JSON")
    options = parser.parse_args()
    if options.only is not None:
        print(json.dumps(measure(options.rows[0], options.only, options.ray)))
        return
    print(
        f"{'rows':>8} {'images':>7} {'seconds':>8} {'rows/s':>7} {'peak MB':>8} {'exponent':>8}"
        "  seconds by stage"
    )
    before: dict[str, Any] | None = None
    for rows in options.rows:
        with tempfile.TemporaryDirectory() as folder:
            command = [sys.executable, __file__, "--rows", str(rows), "--only", folder]
            command += ["--ray"] * options.ray
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        line: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        exponent = ""
        if before is not None:
            growth = math.log(line["seconds"] / before["seconds"])
            exponent = f"{growth / math.log(line['rows'] / before['rows']):.2f}"
        print(
            f"{line['rows']:>8,} {line['images']:>7,} {line['seconds']:>8.1f} "
            f"{line['rows'] / line['seconds']:>7.0f} {line['peak_mb']:>8.0f} {exponent:>8}  "
            + ", ".join(f"{stage} {seconds}" for stage, seconds in line["stages"].items()),
            flush=True,
        )
        before = line


if __name__ == "__main__":
    main()
