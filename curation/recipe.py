"""Define the recipe: everything that decides a run, as one frozen, validated value."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationInfo, field_validator

from curation.audit.settings import AuditConfig
from curation.decontaminate.config import DecontaminateConfig
from curation.dedup.config import DedupConfig
from curation.encoders import AnyEncoder
from curation.filters import AnyFilter
from curation.ingest import IngestConfig
from curation.neighbors import NeighborsConfig
from curation.pool import GraphConfig
from curation.privacy.settings import PrivacyConfig
from curation.scoring.config import ScoresConfig
from curation.selection.config import SelectionConfig
from curation.sources import SourceConfig
from curation.splits.config import SplitsConfig
from medsift import recipe_yaml as yaml_recipe
from medsift import records
from medsift.config import Config
from medsift.images import ImagesConfig
from medsift.images.settings import DECODE_SECONDS
from medsift.licence_rules import LicencesConfig
from medsift.records import fingerprint
from medsift.storage.local_paths import AnyPath


class FailuresConfig(Config):
    """Settings that say when a run with failed rows is refused."""

    tolerance: float = Field(0.02, ge=0.0, le=1.0)
    """Share of all rows that may fail; with more, the run ends with exit status 4."""


class ComputeConfig(Config):
    """Settings of where and in which portions the work runs; they never decide what is kept.

    The one exception are pictures that are not decoded within `decode_seconds`.
    """

    ray: bool = True
    """Use Ray (a local one if there is no cluster); false runs in this process."""
    workers: int | None = Field(None, ge=1)
    """CPUs of a local Ray; all of them when not given. A user's own cluster is never resized."""
    rows_per_batch: int = Field(1_000, ge=1)
    """Texts, or samples of a filter, that a worker processes at a time."""
    rows_per_shard: int = Field(25_000, ge=1)
    """Rows that one process compares at a time; a pool of more is dealt to shards."""
    images_per_batch: int = Field(64, ge=1)
    """Images that a worker decodes, hashes and encodes at a time."""
    decode_seconds: int = Field(DECODE_SECONDS, ge=1)
    """Seconds that the decoding of one picture may take; what takes longer is tried once more, and
    then its rows fail. Such rows are tried again with `--retry failed:image_decoder_stalled`."""
    shared_disk: bool = False
    """Whether all nodes of a cluster have the folders named here under the same paths, as on a
    network disk. A cluster of several nodes needs that, or the URL of a store for the run; what is
    said here is proved before anything runs."""


class Recipe(Config):
    """A whole run: sources, rules and seed. Two equal recipes on equal data keep equal rows."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")
    """Name of the run, which is also that of its directory: letters, digits, `_`, `.` and `-`."""
    seed: int = Field(0, ge=0)
    """Seed of everything that is drawn: new splits, random selections, clusterings."""
    runs: AnyPath = Path("medsift-runs")
    """Folder or URL of run directories; a run without --run-dir goes to `runs/name`."""
    cache: AnyPath | None = None
    """Folder of vectors that runs share; `runs/cache` when not given."""
    sources: list[SourceConfig] = Field(min_length=1)
    """Data to read, each with a name of its own; `reader` says which layout it has."""
    ingest: IngestConfig = IngestConfig()
    """Rules that a row must meet to become a sample."""
    images: ImagesConfig = ImagesConfig()
    """Limits on pictures; a row whose picture exceeds them is dropped or failed."""
    privacy: PrivacyConfig = PrivacyConfig()
    """What is done about names, dates and numbers of patients in texts and pictures."""
    filters: tuple[AnyFilter, ...] = ()
    """Rows to drop by a SQL condition or a Python function, applied in order after pictures."""
    encoder: AnyEncoder
    """Model that turns pictures and texts into vectors; `kind` says which."""
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
    licences: LicencesConfig = LicencesConfig()
    """What is done where licences of a selection exclude each other."""
    audit: AuditConfig = AuditConfig()
    """What `medsift audit` accepts."""
    failures: FailuresConfig = FailuresConfig()
    """How many rows may fail."""
    compute: ComputeConfig = ComputeConfig()
    """Where the work runs: on Ray or in this process, and in which portions."""

    @field_validator("strata")
    @classmethod
    def _strata_are_tags(cls, strata: tuple[str, ...]) -> tuple[str, ...]:
        for tag in strata:
            if tag not in records.TAGS:
                close = difflib.get_close_matches(tag, records.TAGS, n=1)
                allowed = f"allowed: {', '.join(records.TAGS)}"
                remedy = f"did you mean {close[0]!r}?" if close else allowed
                raise ValueError(f"{tag!r} is no tag; {remedy}")
            if strata.count(tag) > 1:
                raise ValueError(f"tag {tag!r} is listed twice; keep one of them")
        return strata

    @field_validator("sources", "filters", "selections")
    @classmethod
    def _names_differ(cls, items: Sequence[Any], info: ValidationInfo) -> Sequence[Any]:
        names = [item.name for item in items]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(
                    f"two {info.field_name} are named {name!r}; give each its own name"
                )
        return items

    @field_validator("selections")
    @classmethod
    def _skills_are_made(
        cls, selections: Sequence[SelectionConfig], info: ValidationInfo
    ) -> Sequence[SelectionConfig]:
        for one in selections:
            by_skill = one.quotas is not None and one.quotas.by == "skill"
            if by_skill and "scores" in info.data and info.data["scores"].skills is None:
                raise ValueError(
                    f"{one.name!r} has quotas by skill, and the recipe makes no skills; add "
                    "`skills: {}` to `scores`, or leave out `quotas.by`"
                )
        return selections

    @property
    def run_dir(self) -> Path:
        """The run directory when the command line names none."""
        return self.runs / self.name

    @property
    def cache_dir(self) -> Path:
        """The folder of shared vectors."""
        return self.cache if self.cache is not None else self.runs / "cache"

    def fingerprint(self) -> str:
        """Return the digest of what decides the result.

        Folders, compute, and what only looks at a result are left out.
        """
        left_out = {"runs", "cache", "compute", "audit", "licences"}
        settings = self.model_dump(mode="json", exclude=left_out)
        return fingerprint(self.with_first_names(settings))


def load_recipe(path: Path, overrides: Sequence[str] = ()) -> Recipe:
    """Return the recipe of a YAML file; see `yaml_recipe.load`. Raises RecipeError."""
    return yaml_recipe.load(Recipe, path, overrides)


def parse_recipe(text: str, overrides: Sequence[str] = (), *, origin: str = "recipe") -> Recipe:
    """Return the recipe of YAML text, as `load_recipe` does of a file."""
    return yaml_recipe.parse(Recipe, text, overrides, origin=origin)
