"""Run the CPU benchmarks of docs/benchmarks.md, each in its own process: `python -m benchmarks`.

Those that show how one step grows (`increment`, `one_view`, `offsets`, `replies`) and the fuzzers
(`fuzz_pictures`, `fuzz_rows`) run by name.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

CPU = "vectors texts sameness selection images embedding ifd generate manifest intervals scoring"
CPU += " readers probe train whole_run"


def main() -> None:
    """Run them in order; stop at the first that fails."""
    for name in CPU.split():
        print(f"\n== benchmarks/{name}.py", flush=True)
        subprocess.run([sys.executable, str(Path(__file__).with_name(f"{name}.py"))], check=True)


if __name__ == "__main__":
    main()
