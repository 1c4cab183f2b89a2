"""Read a held-out split of the user's own run as a benchmark."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Literal

from evaluation.benchmarks.benchmark import BenchmarkConfig
from evaluation.benchmarks.build import Benchmark, assemble
from evaluation.benchmarks.dataset_files import Published
from evaluation.benchmarks.image_store import PictureFinder
from evaluation.benchmarks.item import TAGS, Entry, FoundPicture, MissingPicture, Unusable
from evaluation.benchmarks.published_values import gold_letter
from medsift.errors import InputError
from medsift.images.blob_store import BlobStore
from medsift.images.references import stat
from medsift.manifest.manifest_file import manifest_file
from medsift.options import split_options
from medsift.storage.local_paths import path_of
from medsift.vocabulary import SplitName, stored_names

EXTRA_TAGS: Final = ("source", "study_id", "license")
"""Tags that items have no column for: an evaluation may be broken down by them."""


class ManifestSplit(BenchmarkConfig):
    """A split of a curated run: `path` is its run directory or manifest.

    Conversations of several turns cannot be asked at once and are counted as unusable.
    """

    kind: Literal["manifest"] = "manifest"
    split: SplitName = "test"
    """Split of the run to ask about; samples that curation dropped are left out."""
    run_id: str | None = None
    """Run of the manifest; the newest when not given."""
    sample_ids: tuple[str, ...] = ()
    """Ids of the samples to ask about instead of a split."""

    def own_name(self) -> str:
        """``manifest_`` and the split's name, or ``manifest_samples``."""
        return f"manifest_{'samples' if self.sample_ids else self.split}"

    @property
    def manifest(self) -> Path:
        """The manifest, whether `path` names it or its run directory."""
        return manifest_file(path_of(self.path))

    def load(self, cache: Path) -> Benchmark:
        """Read the split; `cache` is not needed, pictures stay where the run found them.

        Raises:
            InputError: there is no such run or split, or pictures have gone.
            ManifestError: there is no manifest at `path`.
            StorageError: an object store refuses.
        """
        samples, manifest = self._samples(), self.manifest
        refs = {picture["ref"] for sample in samples for picture in sample["images"] or ()}
        gone = {ref for ref, size, _ in stat(sorted(refs)) if size < 0}
        finder = PictureFinder(Published(manifest.parent, source=self.path), BlobStore(cache))
        entries = (_entry(sample, gone) for sample in samples)
        return assemble(self.name, [manifest.name], entries, finder)

    def questions(self) -> list[Entry]:
        """Return the split's items, whether or not their pictures still exist.

        Raises InputError where there is no such run or split, ManifestError where no manifest.
        """
        entries = (_entry(sample, set()) for sample in self._samples())
        return [entry for entry in entries if isinstance(entry, Entry)]

    def _samples(self) -> list[dict[str, Any]]:
        # Other benchmarks need no DuckDB.
        from medsift.manifest import read
        from medsift.manifest.evaluation_queries import HELD_OUT, NAMED, SPLITS, run_ids

        known = run_ids(self.manifest)
        run = self.run_id or (known[0] if known else "")
        if run not in known:
            raise InputError(
                f"{self.manifest} holds no run {run!r}; it has {', '.join(known) or 'none'}",
                code="run_unknown",
                run=run,
                known=known,
            )
        if self.sample_ids:
            wanted: dict[str, Any] = {"run": run, "ids": list(self.sample_ids)}
            named: list[dict[str, Any]] = read(self.manifest, NAMED, wanted).to_pylist()
            return named
        wanted = {"run": run, "splits": stored_names(self.split)}
        samples: list[dict[str, Any]] = read(self.manifest, HELD_OUT, wanted).to_pylist()
        if not samples:
            splits = read(self.manifest, SPLITS, {"run": run})["split"].to_pylist()
            raise InputError(
                f"run {run} has no split {self.split!r}; it has "
                f"{', '.join(splits) or 'none: make one'}",
                code="split_unknown",
                split=self.split,
                known=splits,
            )
        return samples


def _entry(sample: Mapping[str, Any], gone: set[str]) -> Entry | Unusable:
    if sample["turns"] != 1:
        return Unusable("a conversation of several turns")
    extra = json.loads(sample["extra"]) if sample["extra"] else {}
    question, options, gold = sample["question"], list[str](), sample["answer"]
    if sample["answer_type"] == "choice":
        question, listed = split_options(question)
        options = extra.pop("options", None) or listed
        gold = gold_letter(gold, options)
    tags = {name: sample[name] for name in EXTRA_TAGS if sample[name]}
    pictures = [
        MissingPicture(f"no file at {one['ref']}")
        if one["ref"] in gone
        else FoundPicture(one["ref"], one["image_id"])
        for one in sample["images"] or ()
    ]
    return Entry(
        item_id=sample["row_id"],
        question=question,
        gold=gold,
        answer_type=sample["answer_type"],
        options=options,
        pictures=pictures,
        **{name: sample[name] for name in TAGS},
        extra=extra | tags | {"sample_id": sample["sample_id"]},
        text_only=not sample["images"],
    )
