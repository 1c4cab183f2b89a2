"""Models are loaded once per process, and again when their weights change."""

from __future__ import annotations

from curation.encoders import EmbeddedConfig
from curation.pipeline import run_stages
from medsift.config import Config
from medsift.execution import LocalExecutor
from medsift.models.load_once import load_once

LOADS: list[str] = []


class Weights(Config):
    name: str
    version: int = 0

    def fingerprint(self) -> str:
        return f"{self.name}-{VERSION[self.name]}"

    def build(self) -> object:
        LOADS.append(self.name)
        return object()


VERSION = {"a": 1, "b": 1}


def test_equal_settings_share_one_model_until_its_weights_change():
    LOADS.clear()
    first, again = load_once(Weights(name="a")), load_once(Weights(name="a"))
    other = load_once(Weights(name="b"))
    assert first is again
    assert first is not other
    VERSION["a"] = 2
    assert load_once(Weights(name="a")) is not first
    assert LOADS == ["a", "b", "a"]


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
