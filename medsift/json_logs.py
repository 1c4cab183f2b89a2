"""Write the log as one JSON object a line, with run, stage and shard, for programs that read it.

MEDSIFT_LOG_FORMAT=json asks for it, in commands and in Ray's workers.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

VARIABLE: Final = "MEDSIFT_LOG_FORMAT"
STAGES: Final = "stages"
"""The folder of a run directory that has a folder for each stage."""
ROOMS: Final = ("medsift", "curation", "training", "evaluation", "ray_jobs")

_context: dict[str, str | int] = {}


def wanted() -> bool:
    """Return whether the environment asks for JSON."""
    return os.environ.get(VARIABLE, "").lower() == "json"


def note(**context: str | int) -> None:
    """Set what later lines of this process say about where they come from: run, stage, shard."""
    _context.update(context)


@contextmanager
def shard_of(out: Path, ordinal: int) -> Iterator[None]:
    """Let lines inside the block name the shard, and the run and stage of the folder `out`."""
    before = dict(_context)
    parts = out.parts
    if STAGES in parts[1:-1]:
        place = len(parts) - 1 - parts[::-1].index(STAGES)
        note(run=parts[place - 1], stage=parts[place + 1].rpartition("-")[0])
    note(shard=ordinal)
    try:
        yield
    finally:
        _context.clear()
        _context.update(before)


class JsonFormatter(logging.Formatter):
    """Format a record as a JSON object without line breaks."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line of a record."""
        moment = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        fields = {
            "time": moment,
            "level": record.levelname.lower(),
            "logger": record.name,
            **_context,
            "message": record.getMessage(),
        }
        if record.exc_info:
            fields["exception"] = self.formatException(record.exc_info)
        return json.dumps(fields, ensure_ascii=False, default=str)


def install_on_worker() -> None:
    """Send this worker's log to its stderr as JSON, where the environment asks for that."""
    root = logging.getLogger()
    if not wanted() or any(isinstance(one.formatter, JsonFormatter) for one in root.handlers):
        return
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter())
    root.addHandler(handler)
    for room in ROOMS:
        logging.getLogger(room).setLevel(logging.INFO)
