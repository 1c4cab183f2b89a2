"""The recipe: everything that decides a run, as one frozen, validated value."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import Field, ValidationError, field_validator

from curation import records
from curation.config import Config
from curation.decontaminate.config import DecontaminateConfig
from curation.dedup.config import DedupConfig
from curation.encoders import AnyEncoder
from curation.errors import RecipeError
from curation.explain import explain
from curation.images import ImagesConfig
from curation.ingest import IngestConfig
from curation.neighbors import NeighborsConfig
from curation.pool import GraphConfig
from curation.records import fingerprint
from curation.scoring import ScoresConfig
from curation.selection import SelectionConfig
from curation.sources import SourceConfig
from curation.splits.config import SplitsConfig

VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)(?::([^}]*))?\}")


class FailuresConfig(Config):
    """When a run with failed rows still counts."""

    tolerance: float = Field(0.02, ge=0.0, le=1.0)
    """Share of all rows that may fail."""


class ComputeConfig(Config):
    """Where the work runs; never decides what is kept."""

    ray: bool = True
    """Use Ray (a local one if there is no cluster); false runs in this process."""
    workers: int | None = Field(None, ge=1)
    """CPUs of a local Ray; all of them when not given. A user's own cluster is never resized."""
    rows_per_batch: int = Field(1_000, ge=1)
    """Texts per unit of work."""
    images_per_batch: int = Field(64, ge=1)
    """Images per unit of work: decoded, hashed and encoded together."""


class Recipe(Config):
    """A whole run: sources, rules and seed. Two equal recipes on equal data keep equal rows."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")
    seed: int = Field(0, ge=0)
    runs: Path = Path("medsift-runs")
    """Folder of run directories; a run without --run-dir goes to `runs/name`."""
    cache: Path | None = None
    """Folder of vectors that runs share; `runs/cache` when not given."""
    sources: list[SourceConfig] = Field(min_length=1)
    ingest: IngestConfig = IngestConfig()
    images: ImagesConfig = ImagesConfig()
    encoder: AnyEncoder
    neighbors: NeighborsConfig = NeighborsConfig()
    dedup: DedupConfig = DedupConfig()
    splits: SplitsConfig = SplitsConfig()
    decontaminate: DecontaminateConfig = DecontaminateConfig()
    strata: tuple[str, ...] = records.STRATUM_TAGS
    """Tags that name a sample's stratum: scores are ranked, and selections balanced, within it."""
    graph: GraphConfig = GraphConfig()
    scores: ScoresConfig = ScoresConfig()
    selections: tuple[SelectionConfig, ...] = ()
    """Subsets to select, in order, the last the newest; `kept`, of everything, is always made."""
    failures: FailuresConfig = FailuresConfig()
    compute: ComputeConfig = ComputeConfig()

    @field_validator("sources")
    @classmethod
    def _names_differ(cls, sources: list[Any]) -> list[Any]:
        names = [source.name for source in sources]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"two sources are named {name!r}; row ids need different names")
        return sources

    @field_validator("strata")
    @classmethod
    def _strata_are_tags(cls, strata: tuple[str, ...]) -> tuple[str, ...]:
        for tag in strata:
            if tag not in records.TAGS:
                close = difflib.get_close_matches(tag, records.TAGS, n=1)
                mend = (
                    f"did you mean {close[0]!r}?"
                    if close
                    else f"allowed: {', '.join(records.TAGS)}"
                )
                raise ValueError(f"{tag!r} is no tag; {mend}")
            if strata.count(tag) > 1:
                raise ValueError(f"tag {tag!r} is listed twice; keep one of them")
        return strata

    @field_validator("selections")
    @classmethod
    def _selections_differ(cls, selections: tuple[Any, ...]) -> tuple[Any, ...]:
        names = [selection.name for selection in selections]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"two selections are named {name!r}; give each its own name")
        return selections

    @property
    def run_dir(self) -> Path:
        """The run directory when the command line names none."""
        return self.runs / self.name

    @property
    def cache_dir(self) -> Path:
        """The folder of shared vectors."""
        return self.cache if self.cache is not None else self.runs / "cache"

    def resolved(self) -> dict[str, Any]:
        """The recipe with every default written out, as JSON-able values."""
        return self.model_dump(mode="json")

    def fingerprint(self) -> str:
        """Digest of what decides the result: places and compute are left out."""
        return fingerprint(self.model_dump(mode="json", exclude={"runs", "cache", "compute"}))


def load_recipe(path: Path, overrides: Sequence[str] = ()) -> Recipe:
    """Read a YAML recipe, apply `a.b=c` overrides, fill in `${VAR:default}`, validate.

    Raises RecipeError naming the path in the recipe, the value and what is allowed.
    """
    return parse_recipe(_read(path), overrides, origin=str(path))


def parse_recipe(text: str, overrides: Sequence[str] = (), *, origin: str = "recipe") -> Recipe:
    """As `load_recipe`, from YAML text."""
    try:
        settings = yaml.load(text, Loader=_NoRepeatsLoader)
    except yaml.YAMLError as error:
        raise RecipeError(f"{origin} is not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(settings, dict):
        raise RecipeError(
            f"{origin} holds {type(settings).__name__}; a recipe is a mapping of keys"
        )
    for override in overrides:
        _override(settings, override)
    try:
        return Recipe.model_validate(_fill(settings, os.environ))
    except ValidationError as error:
        raise RecipeError(f"{origin}: {explain(error, Recipe)}") from error


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise RecipeError(f"no recipe at {path}; name a YAML file, or see recipes/") from error
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(f"cannot read the recipe {path}: {error}") from error


def _override(settings: dict[str, Any], override: str) -> None:
    """Set one dotted path, for example `dedup.image.cosine=0.97` or `sources.0.path=x`."""
    dotted, separator, text = override.partition("=")
    if not separator or not dotted:
        raise RecipeError(f"--set {override!r} is not of the form a.b=value")
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise RecipeError(f"--set {override!r}: the value is not YAML") from error
    *parents, last = dotted.split(".")
    place: Any = settings
    for key in parents:
        place = _descend(place, key, override)
    if isinstance(place, list):
        place[_index(place, last, override)] = value
    elif isinstance(place, dict):
        place[last] = value
    else:
        raise RecipeError(f"--set {override!r}: {'.'.join(parents)} holds a value, not keys")


def _descend(place: Any, key: str, override: str) -> Any:
    if isinstance(place, list):
        return place[_index(place, key, override)]
    if isinstance(place, dict):
        if place.get(key) is None:
            place[key] = {}
        return place[key]
    raise RecipeError(f"--set {override!r}: {key!r} lies under a value that has no keys")


def _index(place: list[Any], key: str, override: str) -> int:
    if not key.isdigit() or int(key) >= len(place):
        raise RecipeError(f"--set {override!r}: {key!r} is no index from 0 to {len(place) - 1}")
    return int(key)


def _fill(value: Any, variables: Mapping[str, str]) -> Any:
    """Replace `${VAR}` and `${VAR:default}` in every string."""
    if isinstance(value, dict):
        return {key: _fill(item, variables) for key, item in value.items()}
    if isinstance(value, list):
        return [_fill(item, variables) for item in value]
    if isinstance(value, str):
        return VARIABLE.sub(lambda match: _variable(match, variables), value)
    return value


def _variable(match: re.Match[str], variables: Mapping[str, str]) -> str:
    name, default = match.group(1), match.group(2)
    if name in variables:
        return variables[name]
    if default is None:
        raise RecipeError(
            f"the recipe needs the environment variable {name}: set it, or give it a default "
            f"as in ${{{name}:default}}"
        )
    return default


class _NoRepeatsLoader(yaml.SafeLoader):
    """A safe loader that refuses a key given twice, which YAML would silently overwrite."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key_node, _ in node.value:
            key = str(self.construct_object(key_node, deep=True))
            if key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key!r} is given twice", key_node.start_mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep=deep)
