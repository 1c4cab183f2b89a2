"""A manifest: any held-out split of the user's own run."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Literal

from evaluation.benchmarks.benchmark import BenchmarkConfig
from evaluation.benchmarks.build import Benchmark, assemble
from evaluation.benchmarks.choices import gold_letter
from evaluation.benchmarks.dataset_files import Published
from evaluation.benchmarks.image_store import Gallery
from evaluation.benchmarks.item import Absent, Entry, Shown, Unusable
from medsift.errors import InputError
from medsift.images.blob_store import BlobStore
from medsift.images.references import stat
from medsift.options import split_options
from medsift.vocabulary import SplitName, stored_names

HELD_OUT: Final = """
    SELECT s.row_id, s.sample_id, s.question, s.answer, s.answer_type, s.images, s.extra,
           s.patient_id, s.modality, s.body_part, s.task_type, s.language,
           s.source, s.study_id, s.license,
           len(list_filter(s.messages, lambda turn: turn.role = 'user')) AS turns
    FROM samples s JOIN rows r ON r.run_id = s.run_id AND r.row_id = s.row_id
    WHERE s.run_id = {run} AND s.split IN ({splits}) AND (r.action = 'kept' OR r.stage = 'select')
    ORDER BY s.row_id
"""
"""Samples of a split that curation kept, selected or not."""


class ManifestSplit(BenchmarkConfig):
    """A split of a run, by default the newest: `path` is the manifest.

    Conversations of several turns cannot be asked at once and are counted as unusable.
    """

    kind: Literal["manifest"] = "manifest"
    split: SplitName = "test"
    run_id: str | None = None

    def own_name(self) -> str:
        """``manifest_`` and the split's name."""
        return f"manifest_{self.split}"

    def load(self, cache: Path) -> Benchmark:
        """Read the split; `cache` is not needed, pictures stay where the run found them.

        Raises:
            InputError: there is no such run or split, or pictures have gone.
            ManifestError: there is no manifest at `path`.
            StorageError: an object store refuses.
        """
        path = Path(self.path)
        lines = self._lines(path)
        refs = {picture["ref"] for line in lines for picture in line["images"] or ()}
        gone = {ref for ref, size, _ in stat(sorted(refs)) if size < 0}
        gallery = Gallery(Published(path.parent, source=self.path), BlobStore(cache))
        return assemble(self.name, [path.name], (_entry(line, gone) for line in lines), gallery)

    def questions(self) -> list[Entry]:
        """The split's items, whether or not their pictures are still there.

        Raises InputError where there is no such run or split, ManifestError where no manifest.
        """
        entries = (_entry(line, set()) for line in self._lines(Path(self.path)))
        return [entry for entry in entries if isinstance(entry, Entry)]

    def _lines(self, path: Path) -> list[dict[str, Any]]:
        # DuckDB is for those who read a manifest.
        from medsift.manifest import query
        from medsift.manifest.schema import quoted

        runs = query(path, "SELECT run_id FROM runs ORDER BY created_at, run_id")
        known: list[str] = runs["run_id"].to_pylist()
        run = self.run_id or (known[-1] if known else "")
        if run not in known:
            raise InputError(
                f"{path} holds no run {run!r}; it has {', '.join(known) or 'none'}",
                code="run_unknown",
            )
        splits = ", ".join(map(quoted, stored_names(self.split)))
        sql = HELD_OUT.format(run=quoted(run), splits=splits)
        lines: list[dict[str, Any]] = query(path, sql).to_pylist()
        if not lines:
            found = query(path, f"SELECT DISTINCT split FROM samples WHERE run_id = {quoted(run)}")
            splits = ", ".join(sorted(filter(None, found["split"].to_pylist())))
            raise InputError(
                f"run {run} has no split {self.split!r}; it has {splits or 'none: make one'}",
                code="split_unknown",
            )
        return lines


def _entry(line: Mapping[str, Any], gone: set[str]) -> Entry | Unusable:
    if line["turns"] != 1:
        return Unusable("a conversation of several turns")
    extra = json.loads(line["extra"]) if line["extra"] else {}
    question, options = line["question"], list[str]()
    gold: str | None = line["answer"]
    if line["answer_type"] == "choice":
        question, listed = split_options(question)
        options = extra.pop("options", None) or listed
        gold = gold_letter(line["answer"], options)
    if gold is None:
        return Unusable("its gold is none of the options")
    return Entry(
        item_id=line["row_id"],
        question=question,
        gold=gold,
        answer_type=line["answer_type"],
        options=options,
        pictures=_pictures(line["images"] or (), gone),
        patient_id=line["patient_id"],
        modality=line["modality"],
        body_part=line["body_part"],
        task_type=line["task_type"],
        language=line["language"],
        extra={**extra, **_tags(line), "sample_id": line["sample_id"]},
        text_only=not line["images"],
    )


def _tags(line: Mapping[str, Any]) -> dict[str, str]:
    """Tags that items have no column for: an evaluation may be broken down by them."""
    return {name: line[name] for name in ("source", "study_id", "license") if line[name]}


def _pictures(images: Sequence[Mapping[str, str]], gone: set[str]) -> list[Shown | Absent]:
    return [
        Absent(f"no file at {one['ref']}")
        if one["ref"] in gone
        else Shown(one["ref"], one["image_id"])
        for one in images
    ]
