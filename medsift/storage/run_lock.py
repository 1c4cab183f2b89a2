"""Lock a run directory, so that only one process writes to it at a time.

A folder of this machine is locked by a file, which ends with the process however that ends. A run
directory in an object store is also leased there, against processes of other machines.
"""

from __future__ import annotations

import fcntl
import logging
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from medsift.errors import StorageError, UsageError
from medsift.storage.lease import Lease, leased
from medsift.storage.lock_file import open_lock
from medsift.storage.mirror import here, key_of, location
from medsift.storage.refusals import next_step

logger = logging.getLogger(__name__)
_leases: dict[Path, Lease] = {}
"""The leases of this process on run directories of a store, by the path of their mirrors."""


@contextmanager
def claimed(run_dir: Path, *, wait: bool = False, what: str = "run or selection") -> Iterator[None]:
    """Lock a run directory inside the block; it is created where it is missing.

    With `wait`, a directory that another process has locked is waited for. `what` names the work in
    messages.

    Raises:
        UsageError: another process has locked it and `wait` is off, or it cannot be used.
        StorageError: the disk or the store refuses.
    """
    run_dir = here(run_dir)
    if "?" in str(run_dir.absolute()):
        # DuckDB looks for the log of a database "a?b/m.duckdb" under "a.wal?b/m.duckdb".
        message = (
            f"{str(run_dir)!r} contains a question mark, where DuckDB cannot keep a database; "
            "choose another --run-dir"
        )
        raise UsageError(message, code="run_directory_unusable", path=str(run_dir))
    try:
        run_dir.mkdir(parents=True, exist_ok=True)
        lock = open_lock(run_dir / "lock")
    except (FileExistsError, NotADirectoryError, PermissionError) as error:
        message = f"cannot use {run_dir} as run directory: {error}"
        raise UsageError(message, code="run_directory_unusable", path=str(run_dir)) from error
    except OSError as error:
        raise StorageError(
            f"cannot write to {run_dir}: {error}; {next_step(error, 'choose another --run-dir')}",
            code="disk_refused",
            path=str(run_dir),
        ) from error
    with lock, ExitStack() as leases:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            if not wait:
                message = (
                    f"another {what} is at work in {location(run_dir)}: wait for it, or choose "
                    "another --run-dir"
                )
                raise UsageError(message, code="run_directory_busy", path=str(run_dir)) from error
            logger.warning("another %s is at work in %s: waiting for it", what, location(run_dir))
            fcntl.flock(lock, fcntl.LOCK_EX)
        key = key_of(run_dir / "lease.json")
        if key is not None:
            lease = leased(key.store, key.key, wait=wait, what=what)
            _leases[run_dir] = leases.enter_context(lease)
            leases.callback(_leases.pop, run_dir)
        yield


def check_claim(run_dir: Path) -> None:
    """Raise StorageError where this process claimed a run directory and lost it to another one."""
    lease = _leases.get(here(run_dir))
    if lease is not None:
        lease.check()
