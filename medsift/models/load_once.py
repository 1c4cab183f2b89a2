"""Load an encoder or a model once per process, for everyone who only reads it."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Protocol, TypeVar

Loaded = TypeVar("Loaded", covariant=True)


class Loadable(Protocol[Loaded]):
    """Frozen settings of something costly to load."""

    def fingerprint(self) -> Any:
        """Return the identity of what is loaded."""
        ...

    def build(self) -> Loaded:
        """Load it."""
        ...


def load_once(settings: Loadable[Loaded]) -> Loaded:
    """Return what the settings load, shared by all who ask in this process.

    Whoever changes a model (training, adapters, generation settings) calls `build` for a copy of
    its own. Raises ModelError as `build` does.
    """
    # The fingerprint covers the weights: a folder whose content changed is loaded again.
    frozen: Any = settings
    loaded: Loaded = _load(frozen, settings.fingerprint())
    return loaded


# An encoder, its successor and two scorers' models are the most that one run uses.
@lru_cache(maxsize=4)
def _load(settings: Any, fingerprint: str) -> Any:
    return settings.build()
