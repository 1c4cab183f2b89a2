"""Models are loaded once per process, and again when their weights change."""

from __future__ import annotations

import threading
import time
import weakref
from concurrent.futures import ThreadPoolExecutor

import pytest

from curation.encoders import EmbeddedConfig
from curation.pipeline import run_stages
from medsift.config import Config
from medsift.execution import LocalExecutor
from medsift.models.load_once import MOST_KEPT, forget_models, load_once

LOADS: list[str] = []


@pytest.fixture(autouse=True)
def _nothing_loaded():
    forget_models()
    LOADS.clear()


class Model:
    """A thing that a weak reference can follow."""


class Weights(Config):
    name: str
    version: int = 0

    def fingerprint(self) -> str:
        return f"{self.name}-{VERSION[self.name]}"

    def build(self) -> Model:
        LOADS.append(self.name)
        time.sleep(0.05)
        return Model()


class Nested(Weights):
    """A model that loads another one while it is built."""

    def build(self) -> Model:
        load_once(Weights(name="b"))
        return super().build()


VERSION = {"a": 1, "b": 1}


def test_equal_settings_share_one_model_until_its_weights_change():
    first, again = load_once(Weights(name="a")), load_once(Weights(name="a"))
    other = load_once(Weights(name="b"))
    assert first is again
    assert first is not other
    VERSION["a"] = 2
    assert load_once(Weights(name="a")) is not first
    assert LOADS == ["a", "b", "a"]


def test_threads_that_ask_at_once_load_a_model_once():
    gate = threading.Barrier(4)

    def ask(_: int) -> Model:
        gate.wait()
        return load_once(Weights(name="a"))

    with ThreadPoolExecutor(4) as pool:
        models = list(pool.map(ask, range(4)))
    assert LOADS == ["a"]
    assert len({id(model) for model in models}) == 1


def test_a_model_may_load_its_parts():
    load_once(Nested(name="a"))
    assert LOADS == ["b", "a"]


def test_the_models_used_last_are_kept():
    for version in range(MOST_KEPT):
        load_once(Weights(name="a", version=version))
    load_once(Weights(name="a", version=0))
    load_once(Weights(name="a", version=MOST_KEPT))  # the oldest use is now that of version 1
    LOADS.clear()
    load_once(Weights(name="a", version=0))
    assert LOADS == []
    load_once(Weights(name="a", version=1))
    assert LOADS == ["a"]


def test_forgotten_models_are_freed_and_loaded_again():
    model = weakref.ref(load_once(Weights(name="a")))
    assert model() is not None
    forget_models()
    assert model() is None
    load_once(Weights(name="a"))
    assert LOADS == ["a", "a"]


def test_two_runs_in_one_process_load_the_encoder_once(
    phantoms, phantom_recipe, tmp_path, monkeypatch
):
    loads = []
    build = EmbeddedConfig.build
    monkeypatch.setattr(EmbeddedConfig, "build", lambda self: loads.append(self) or build(self))
    # Threads are part of the settings: no other test shares this encoder.
    for name in ("one", "two"):
        recipe = phantom_recipe("encoder.threads=3", cache=tmp_path / f"cache-{name}")
        run_stages(recipe, tmp_path / name, LocalExecutor(), until="embed")
    assert len(loads) == 1
