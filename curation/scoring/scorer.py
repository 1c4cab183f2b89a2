"""Define a scorer: settings that name it, and one value for each sample of a pool."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

from curation.pool import KnnGraph, Pool
from medsift.arrays import Doubles
from medsift.config import Config
from medsift.execution import Executor


@dataclass(frozen=True)
class ScoringContext:
    """Everything a scorer may use.

    `folder` is the scorer's own, under the stage's: what it streams there is resumed when the
    stage was killed. `cache` is shared by runs. `make_graph` builds the pool's neighbours when a
    scorer first asks for them.
    """

    pool: Pool
    make_graph: Callable[[], KnnGraph]
    executor: Executor
    folder: Path
    cache: Path
    seed: int
    advance: Callable[[int], None]

    @cached_property
    def graph(self) -> KnnGraph:
        """Each sample's nearest others."""
        return self.make_graph()


class ScorerConfig(Config):
    """Settings of a scorer.

    A new scorer subclasses it in a file of its own, adds a `kind: Literal[...]` tag and `score`,
    and is listed in `AnyScorer`. The tag is also the scorer's name in the manifest.
    """

    higher_is_better: ClassVar[bool] = True
    """Where it is false, the combined score takes 1 - percentile."""
    within_modality: ClassVar[bool] = False
    """Whether percentiles are of one modality, also where the strata do not name it."""
    kind: str
    """Name of the scorer."""

    def fingerprint(self) -> Any:
        """Return a JSON-able identity: equal settings, code version and weights, equal scores.

        It does not load a model.

        Raises:
            ModelError: a model cannot be found, so that a run is refused before it starts.
        """
        return self.with_first_names(self.model_dump(mode="json"))

    def score(self, context: ScoringContext) -> Doubles:
        """Return one value (n,) for each sample of `context.pool`, NaN where there is none.

        Higher is better, or more of what the name says. A value depends on the pool alone, never
        on order, batches or workers.
        """
        raise NotImplementedError
