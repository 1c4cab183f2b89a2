"""The CPU benchmarks of the README's table, each in a process of its own: `python -m benchmarks`.

Those that show how one step grows (`images_stage`, `one_view`, `offsets`, `target`, `replies`) and
the fuzzers (`fuzz_pictures`, `fuzz_rows`) run by name.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

CPU = (
    "vectors",
    "texts",
    "sameness",
    "selection",
    "images",
    "embedding",
    "ifd",
    "generate",
    "manifest",
    "intervals",
    "scoring",
    "readers",
    "train",
    "whole_run",
)


def main() -> None:
    """Run them in order; stop at the first that fails."""
    for name in CPU:
        print(f"\n== benchmarks/{name}.py", flush=True)
        subprocess.run([sys.executable, str(Path(__file__).with_name(f"{name}.py"))], check=True)


if __name__ == "__main__":
    main()
