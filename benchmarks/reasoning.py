"""Make the sets of `study_reasoning` with a loopback teacher, train on each, and compare them.

    python -m benchmarks.reasoning DIR --images 300

Every step is a command of MedSift, printed as it runs; run again, it continues. Further words are
given to `medsift study`, such as `--set training.steps=20`.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

from benchmarks.teacher import PhantomTeacher

SETS = {
    "answers": ("plain", "answers.jsonl"),
    "plain": ("plain", "samples.jsonl"),
    "reflective": ("reflective", "samples.jsonl"),
    "shuffled": ("plain", "shuffled.jsonl"),
}
"""The construction and the file that each run of the study is curated from."""


def medsift(root: Path, *words: str) -> None:
    """Run a command of MedSift, with the study's folder and the phantoms named."""
    print("medsift", *words, flush=True)
    known = {"MEDSIFT_REASONING": str(root), "MEDSIFT_PHANTOMS": str(root / "phantoms")}
    environment = os.environ | known | {"NO_PROXY": "127.0.0.1"}
    subprocess.run([sys.executable, "-m", "ray_jobs", *words], check=True, env=environment)


def construct(root: Path, url: str, kind: str) -> None:
    """Ask the teacher for one kind of reasoning about the pool's training samples."""
    settings = {
        "name": kind,
        "run": str(root / "pool"),
        "kinds": f"[{kind}]",
        "teacher.url": url,
        "teacher.model": "phantom-teacher",
        "accepted": "1",
        # Every sample stays in every arm: the arms differ in their reasoning alone.
        "blind.share": "1.0",
    }
    changes = [word for key, value in settings.items() for word in ("--set", f"{key}={value}")]
    medsift(root, "construct", "construct_phantoms", *changes)


def main() -> None:
    """Make what is missing, and run the study."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("root", type=Path)
    parser.add_argument("--images", type=int, default=300)
    given, rest = parser.parse_known_args()
    root = given.root.absolute()
    medsift(root, "phantoms", str(root / "phantoms"), "--images", str(given.images))
    medsift(root, "curate", "pool_phantoms", "--run-dir", str(root / "pool"), "--local")
    with PhantomTeacher(root / "phantoms") as teacher:
        for kind in ("plain", "reflective"):
            construct(root, teacher.url, kind)
        print(f"{teacher.calls:,} calls", flush=True)
    for name, (kind, file) in SETS.items():
        folder = root / "pool" / "constructed" / kind
        changes = ["--set", f"name={name}", "--set", f"sources.0.path={folder / file}"]
        run = ["--run-dir", str(root / name), "--local"]
        medsift(root, "curate", str(folder / "curate.yaml"), *changes, *run)
    medsift(root, "study", "study_reasoning", "--local", *rest)


if __name__ == "__main__":
    main()
