"""Describe one job: its command line, its settings and its fingerprint."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from medsift import records
from medsift.storage.mirror import location

DIGITS: Final = 8
"""Digits of the fingerprint in a job's id."""
FINGERPRINT: Final = "medsift_fingerprint"
VERB: Final = "medsift_verb"
RECIPE: Final = "medsift_recipe"
RUN_DIR: Final = "medsift_run_dir"
VERSION: Final = "medsift_version"


def place(run_dir: Path) -> str:
    """Return a run directory as commands on other machines take it."""
    return location(run_dir)


@dataclass(frozen=True, slots=True)
class JobSpec:
    """What a job runs: words after `medsift`, and settings for the file that they may name.

    Equal specs have equal fingerprints.
    """

    verb: str
    name: str
    settings: Mapping[str, Any]
    run_dir: Path
    words: tuple[str, ...]

    @property
    def fingerprint(self) -> str:
        """The digest of command, settings and run directory."""
        return records.fingerprint(
            {"words": self.words, "settings": self.settings, "run": place(self.run_dir)}
        )

    @property
    def id_prefix(self) -> str:
        """The beginning of the ids of this spec's jobs; a number follows."""
        plain = re.sub(r"[^A-Za-z0-9]+", "-", self.name).strip("-").lower()
        return f"medsift-{self.verb}-{plain}-{self.fingerprint[:DIGITS]}-"

    def next_id(self, ids: Iterable[str]) -> str:
        """Return the id of this spec's next job, given the ids that the cluster knows.

        Two who submit at the same moment choose the same id, and Ray accepts one of them.
        """
        numbers = (one.removeprefix(self.id_prefix) for one in ids if self.owns(one))
        return f"{self.id_prefix}{1 + max(map(int, numbers), default=0)}"

    def owns(self, job: str) -> bool:
        """Return whether a job's id is one of this spec's."""
        return job.startswith(self.id_prefix) and job.removeprefix(self.id_prefix).isdigit()

    @property
    def metadata(self) -> dict[str, str]:
        """What the cluster keeps about the job; it has no setting, so no secret."""
        return {
            "job_name": f"medsift {self.verb} {self.name}",
            VERB: self.verb,
            RECIPE: self.name,
            FINGERPRINT: self.fingerprint,
            RUN_DIR: place(self.run_dir),
            VERSION: version("medsift"),
        }


def entrypoint(python: str, spec: JobSpec, *, log_json: bool) -> str:
    """Return the shell line that the cluster's head runs in the packed folder.

    Args:
        python: the interpreter on the head.
        spec: the job.
        log_json: whether the job reports progress as JSON lines.
    """
    words = [python, "-m", "ray_jobs", *spec.words]
    return shlex.join([*words, *(["--log-json"] if log_json else [])])
