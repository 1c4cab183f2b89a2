"""Read what Ray tells the entrypoint of a job about it."""

from __future__ import annotations

import json
import os
from typing import Any, Final

JOB_CONFIG: Final = "RAY_JOB_CONFIG_JSON_ENV_VAR"


def submission_id() -> str:
    """Return the id of the Ray or SLURM job that runs this process; empty outside of one."""
    job = str(_group(_job_config(), "metadata").get("job_submission_id", ""))
    slurm = os.environ.get("SLURM_JOB_ID")
    return job or (f"slurm {slurm}" if slurm else "")


def job_variables() -> dict[str, Any]:
    """Return the environment variables that the job's runtime environment sets on its workers."""
    return _group(_group(_job_config(), "runtime_env"), "env_vars")


def _job_config() -> dict[str, Any]:
    try:
        config = json.loads(os.environ.get(JOB_CONFIG, ""))
    except json.JSONDecodeError:
        return {}
    return config if isinstance(config, dict) else {}


def _group(settings: dict[str, Any], name: str) -> dict[str, Any]:
    group = settings.get(name)
    return group if isinstance(group, dict) else {}
