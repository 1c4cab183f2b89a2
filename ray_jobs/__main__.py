"""Run the command line by `python -m ray_jobs`, as a cluster does from a bare folder of code."""

from __future__ import annotations

import sys

from ray_jobs.interpreter import CODE, EXIT_CODE, complaint, with_fix


def _refuse(fault: str) -> None:
    sys.stderr.write(f"error[{CODE}]: {fault}\n")
    sys.exit(EXIT_CODE)


if __name__ == "__main__":
    fault = complaint()
    if fault is not None:
        _refuse(fault)
    from medsift.own_packages import ROOMS, put_first

    # `python -m` puts the current folder first, where users have an `evaluation.py` of their own.
    put_first()
    try:
        from ray_jobs.cli import main
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] in ("medsift", *ROOMS):
            raise  # a fault of ours
        _refuse(with_fix(f"has no {error.name}"))
    main()
