"""Write a batch script that runs a command on a Ray cluster of its own inside a SLURM job."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Annotated, Final

from pydantic import AfterValidator, Field

from medsift.config import Config

FIRST_PORT: Final = 20_000
"""Ray gives lower ones to its workers."""
PORTS: Final = 10_000
START_SECONDS: Final = 300
"""How long nodes wait for each other; Ray's own 30 seconds are short for a busy file system."""


def _one_line(text: str) -> str:
    if not text.isprintable():
        raise ValueError("has a line break or another control character")
    return text


Word = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.,:@+-]*$")]
Line = Annotated[str, AfterValidator(_one_line)]


class SlurmJob(Config):
    """What a SLURM job runs, on which nodes, for how long."""

    name: Word
    command: tuple[str, ...]
    """Words of the command line that the first node runs."""
    folder: Path
    """The current folder of the command, which all nodes share."""
    binaries: Path
    """The folder with `ray` and `medsift`, which all nodes share."""
    nodes: int = Field(1, ge=1)
    cpus: int = Field(8, ge=1)
    """CPUs of each node."""
    gpus: int = Field(0, ge=0)
    """GPUs of each node."""
    memory: str | None = Field(None, pattern=r"^\d+[KMGT]?$")
    """Memory of each node, such as 64G."""
    time: str = Field("04:00:00", pattern=r"^(\d+-)?\d+(:\d+){0,2}$")
    """Time limit of one element, such as 1-00:00:00."""
    partition: Word | None = None
    account: Word | None = None
    attempts: int = Field(1, ge=1)
    """Elements of the array, one after another: each continues where the last was cut off."""
    before: tuple[Line, ...] = ()
    """Lines of shell that run first, such as `module load cuda`."""


def slurm_script(job: SlurmJob) -> str:
    """Return the text of a script for `sbatch`."""
    name = re.sub(r"[^A-Za-z0-9_.-]", "-", job.name)
    settings = {
        "job-name": name,
        "nodes": job.nodes,
        "ntasks-per-node": 1,
        "cpus-per-task": job.cpus,
        "gpus-per-node": job.gpus or None,
        "mem": job.memory,
        "time": job.time,
        "partition": job.partition,
        "account": job.account,
        "array": f"1-{job.attempts}%1" if job.attempts > 1 else None,
        "output": f"{name}-%j.log",
    }
    lines = [
        "#!/bin/bash",
        "# Written by `medsift slurm`. Submit it with sbatch; its log lies where it was submitted.",
        *(f"#SBATCH --{key}={value}" for key, value in settings.items() if value is not None),
        # Ray is stopped on the node at the end: another job's must not be there.
        "#SBATCH --exclusive",
        "set -euo pipefail",
        f"cd {shlex.quote(str(job.folder))}",
        *job.before,
        f"export PATH={shlex.quote(str(job.binaries))}:$PATH",
        "",
        "# Whoever reaches a node may run code through Ray, so the cluster wants a token.",
        "export RAY_AUTH_MODE=token",
        "RAY_AUTH_TOKEN=$(python3 -c 'import secrets; print(secrets.token_hex(32))')",
        "export RAY_AUTH_TOKEN",
        "export RAY_USAGE_STATS_ENABLED=0",
        f"export RAY_SYMMETRIC_RUN_CLUSTER_WAIT_TIMEOUT={START_SECONDS}",
        "# The nodes of a SLURM job never become more: what does not fit is refused at once.",
        "export MEDSIFT_SCALE_UP_SECONDS=0",
        "",
        'names=$(scontrol show hostnames "$SLURM_JOB_NODELIST")',
        "first=${names%%$'\\n'*}",
        'addresses=$(srun --nodes=1 --ntasks=1 --nodelist="$first" hostname -I)',
        "ip=${addresses%% *}",
        f'address="$ip:$(({FIRST_PORT} + SLURM_JOB_ID % {PORTS}))"',
        "",
        "# Ray starts on every node; the command runs on the first, and its status is the job's.",
        'srun --nodes="$SLURM_JOB_NUM_NODES" --ntasks="$SLURM_JOB_NUM_NODES" \\',
        '  ray symmetric-run --address "$address" --min-nodes "$SLURM_JOB_NUM_NODES" \\',
        f"  --num-cpus {job.cpus} --num-gpus {job.gpus} -- \\",
        f'  env RAY_ADDRESS="$address" {shlex.join(job.command)}',
    ]
    return "\n".join(lines) + "\n"
