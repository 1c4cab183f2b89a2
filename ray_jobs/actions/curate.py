"""One run, as the commands `curate` and `demo` start it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from ray_jobs.absolute_paths import anchored
from ray_jobs.console import Audience, audience

if TYPE_CHECKING:
    from curation.pipeline import RunResult
    from curation.recipe import Recipe
    from medsift.execution import Executor


@contextmanager
def executor(ray: bool, workers: int | None) -> Iterator[Executor]:
    """The engine of a run: Ray (see `connected`), or this process."""
    if not ray:
        from medsift.execution import LocalExecutor

        yield LocalExecutor()
        return
    from ray_jobs.cluster import connected

    with connected(workers):
        from ray_jobs.executor import RayExecutor

        yield RayExecutor()


@contextmanager
def held_ray(ray: bool) -> Iterator[None]:
    """Hold one Ray for several commands, which would otherwise start one each; or nothing."""
    if not ray:
        yield
        return
    from ray_jobs.cluster import connected

    with connected():
        yield


def run(recipe: Recipe, run_dir: Path, *, ray: bool, log_json: bool) -> RunResult:
    """Curate and say so; any MedSiftError of the pipeline is passed on after being announced.

    Relative paths are taken from here: the workers of a cluster stand in another directory.
    """
    recipe = anchored(recipe, Path.cwd())
    with audience(log_json) as listener:
        result = _curate(recipe, run_dir, ray, listener)
        listener.finished(result)
    return result


def _curate(recipe: Recipe, run_dir: Path, ray: bool, listener: Audience) -> RunResult:
    from curation.pipeline import curate
    from medsift.errors import MedSiftError

    try:
        with executor(ray, recipe.compute.workers) as engine:
            if ray:
                from ray_jobs.sharing import check_nodes, data_of

                check_nodes((run_dir, recipe.cache_dir), data_of(recipe))
            return curate(recipe, run_dir, engine, listener)
    except MedSiftError as error:
        listener.failed(error, error.exit_code)
        raise
    except KeyboardInterrupt as error:
        listener.failed(error, 130)
        raise
