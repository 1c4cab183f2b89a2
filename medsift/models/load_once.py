"""Load an encoder or a model once per process, for all code that only reads it."""

from __future__ import annotations

import threading
from typing import Any, Final, Protocol, TypeVar

Loaded = TypeVar("Loaded", covariant=True)

MOST_KEPT: Final = 4
"""An encoder, its successor and two scorers' models are the most that one run uses."""
_kept: dict[tuple[Any, Any], Any] = {}
# Reentrant, because a model may load the parts that it is made of.
_lock = threading.RLock()


class Loadable(Protocol[Loaded]):
    """Frozen settings of something costly to load."""

    def fingerprint(self) -> Any:
        """Return the identity of what is loaded."""
        ...

    def build(self) -> Loaded:
        """Load it."""
        ...


def load_once(settings: Loadable[Loaded]) -> Loaded:
    """Return what the settings load, shared by all callers in this process.

    At most `MOST_KEPT` models are kept, those used last. Code that changes a model (training,
    adapters, generation settings) calls `build` for a copy of its own. Raises ModelError as `build`
    does.
    """
    # The fingerprint covers the weights: a folder whose content changed is loaded again.
    key = settings, settings.fingerprint()
    # Loading inside the lock lets a second thread wait for the model instead of loading it twice.
    with _lock:
        loaded: Loaded = _kept.pop(key) if key in _kept else settings.build()
        _kept[key] = loaded
        while len(_kept) > MOST_KEPT:
            del _kept[next(iter(_kept))]
    return loaded


def forget_models() -> None:
    """Let go of all kept models, to free their memory; code that still uses one keeps it alive."""
    with _lock:
        _kept.clear()
