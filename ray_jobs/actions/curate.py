"""Run a curation as the commands `curate`, `tune` and `demo` start it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from medsift.progress import Listener, RunFinished
from ray_jobs.absolute_paths import with_absolute_paths
from ray_jobs.heartbeat import beating
from ray_jobs.progress_views import announced

if TYPE_CHECKING:
    from curation.pipeline import RunResult
    from curation.recipe import Recipe
    from medsift.execution import Executor


@contextmanager
def executor(ray: bool, workers: int | None) -> Iterator[Executor]:
    """Yield the executor of a run: Ray (see `connected`), or this process."""
    if not ray:
        from medsift.execution import LocalExecutor

        yield LocalExecutor()
        return
    from ray_jobs.cluster import connected

    with connected(workers):
        from ray_jobs.cluster_room import Request, require_room
        from ray_jobs.executor import RayExecutor

        require_room(Request("task(s)"))
        yield RayExecutor()


def shared_ray(ray: bool) -> AbstractContextManager[None]:
    """Keep one Ray for several actions, each of which would otherwise start its own."""
    from ray_jobs.cluster import connected

    return connected() if ray else nullcontext()


@contextmanager
def said_changes(run_dir: Path, wanted: bool, log_json: bool) -> Iterator[None]:
    """Say, after a run that followed another one, which rows have another fate, by kind.

    Args:
        run_dir: The run directory.
        wanted: Whether to say it.
        log_json: Whether as one JSON object instead of text.

    Raises:
        ManifestError: it is wanted, and there is no earlier run.
    """
    if not wanted:
        yield
        return
    from curation.run import open_run

    before = open_run(run_dir)
    yield
    found = before.diff(open_run(run_dir))
    if log_json:
        typer.echo(json.dumps({"event": "fates_changed", **found.to_dict(limit=0)}))
    else:
        from curation.compare.difference import difference_table

        typer.echo(difference_table(found, limit=0), nl=False)


def curate_and_report(recipe: Recipe, run_dir: Path, *, ray: bool, log_json: bool) -> RunResult:
    """Curate, and show the progress. Raises MedSiftError as the pipeline does.

    Args:
        recipe: what is curated.
        run_dir: where the run is written.
        ray: whether the work runs on Ray instead of in this process.
        log_json: whether progress is JSON lines on stdout instead of a view on the terminal.
    """
    with announced(log_json) as listener:
        return curate_quietly(recipe, run_dir, ray, listener)


def curate_quietly(recipe: Recipe, run_dir: Path, ray: bool, listener: Listener) -> RunResult:
    """Curate, and report to the listener alone. Raises MedSiftError as the pipeline does.

    Relative paths are resolved here: the workers of a cluster stand in another directory.

    Args:
        recipe: what is curated.
        run_dir: where the run is written.
        ray: whether the work runs on Ray instead of in this process.
        listener: receives the progress, and the finished run last.
    """
    from curation.pipeline import curate

    recipe = with_absolute_paths(recipe, Path.cwd())
    with (
        beating(run_dir, "curate", listener) as listener,
        executor(ray, recipe.compute.workers) as engine,
    ):
        if ray:
            from ray_jobs.sharing import check_nodes, data_files

            shared = recipe.compute.shared_disk
            check_nodes((run_dir, recipe.cache_dir), data_files(recipe), shared=shared)
        result = curate(recipe, run_dir, engine, listener)
        listener(
            RunFinished(
                result.run_id, result.run_dir, result.manifest, result.report, result.warnings
            )
        )
    return result
