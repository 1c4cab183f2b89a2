"""Lets a cluster run the command line from a bare working directory: `python -m ray_jobs`."""

from __future__ import annotations

from ray_jobs.cli import main

if __name__ == "__main__":
    main()
