"""Run a construction as the command line and Python start it, with its heartbeat."""

from __future__ import annotations

from typing import TYPE_CHECKING

from medsift.progress import Listener
from ray_jobs.heartbeat import beating

if TYPE_CHECKING:
    from curation.construct.construct import Announce, ConstructResult
    from curation.construct.settings import ConstructRecipe


def construct_quietly(
    recipe: ConstructRecipe, listener: Listener, *, dry_run: bool, announce: Announce
) -> ConstructResult:
    """Construct, and report to the listener alone. Raises MedSiftError as `construct` does."""
    from curation.construct.construct import construct

    if dry_run:
        return construct(recipe, dry_run=True, announce=announce, listener=listener)
    with beating(recipe.run, "construct", listener) as beats:
        return construct(recipe, announce=announce, listener=beats)
