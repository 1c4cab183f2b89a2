"""Add a selection to a finished run, made from the vectors and scores of that run."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import yaml
from pydantic import ValidationError

from curation.make_selection import MadeSelection, make_selection
from curation.probe.enough import Enough, probe_of
from curation.run_dir import FinishedRun, open_run
from curation.selection.config import EVERYTHING, SelectionConfig
from curation.selection.judged import read_judged
from curation.selection.load_inputs import read_candidates, read_scores
from curation.selection.method import Candidates
from curation.selection.quality import Scores
from curation.selection.select import Selection, resolve
from medsift.errors import UsageError
from medsift.execution import Executor, LocalExecutor
from medsift.manifest import append_tables, newest_version, read
from medsift.progress import Listener, StageAdvanced, StageStarted, silent
from medsift.storage.run_lock import claimed
from medsift.validation_errors import explain, invalid_paths
from medsift.vocabulary import MANIFEST_NAME
from medsift.yaml_text import read_yaml


@dataclass(frozen=True, slots=True)
class Added:
    """A selection that was added to a run, and why it has its size where a probe decided it."""

    run_id: str
    selection: Selection
    candidates: Candidates
    enough: Enough | None

    @property
    def strata_covered(self) -> int:
        """Number of strata with a selected sample."""
        return len(set(self.candidates.strata.code[self.selection.order].tolist()))


def parse_selection(settings: Mapping[str, Any], overrides: Sequence[str] = ()) -> SelectionConfig:
    """Return the settings of a selection, with `a.b=value` overrides.

    A key that is no key of the selection is one of its method.

    Raises:
        UsageError: an override is not of that form, or the settings are not valid.
    """
    merged = deepcopy({key: value for key, value in settings.items() if value is not None})
    for override in overrides:
        _override(merged, override)
    try:
        return SelectionConfig.model_validate(merged)
    except ValidationError as error:
        message = f"selection: {explain(error, SelectionConfig)}"
        raise UsageError(
            message, code="selection_invalid", paths=invalid_paths(error, SelectionConfig)
        ) from error


def _override(settings: dict[str, Any], override: str) -> None:
    dotted, separator, text = override.partition("=")
    if not separator or not dotted:
        message = f"--set {override!r} is not of the form key=value"
        raise UsageError(message, code="selection_invalid", override=override)
    keys = dotted.split(".")
    if keys[0] not in SelectionConfig.model_fields:
        keys = ["method", *keys]
    owner = settings
    for key in keys[:-1]:
        owner = owner.setdefault(key, {})
        if not isinstance(owner, dict):
            message = f"--set {override!r}: {key!r} has a value, not keys"
            raise UsageError(message, code="selection_invalid", override=override, key=key)
    try:
        owner[keys[-1]] = read_yaml(text)
    except yaml.YAMLError as error:
        message = f"--set {override!r}: the value is not YAML"
        raise UsageError(
            message, code="selection_invalid", override=override, value=text
        ) from error


def add_selection(
    run_dir: Path,
    config: SelectionConfig,
    *,
    replace: bool = False,
    executor: Executor = LocalExecutor(),  # noqa: B008 - frozen
    listener: Listener = silent,
) -> Added:
    """Add a selection to the newest run of a run directory, completely or not at all.

    Vectors, neighbours and scores are those of the run; nothing is encoded or scored again. Another
    run or selection in the directory is waited for, and the newest run is then looked up.

    Args:
        run_dir: The run directory.
        config: Settings of the selection.
        replace: Replace a selection of the same name.
        executor: How the work is spread.
        listener: Called with events of the probe that decides the budget `auto`.

    Raises:
        UsageError: the name is taken (unless `replace`), or the selection cannot be made from the
            run's pool.
        ManifestError: no manifest.
        InputError: a folder of the run is gone.
        StorageError: the disk refuses.
    """
    newest_version(run_dir / MANIFEST_NAME)  # refused before the lock would create the directory
    with claimed(run_dir, wait=True):
        run = open_run(run_dir)
        check_selected(run)
        ordinal = _next_ordinal(run, config.name, replace)
        candidates = read_candidates(run.run_dir, run.upstream, run.recipe, executor.run)
        if config.budget.auto is not None:
            listener(StageStarted("probe", probe_of(config).cells, "trainings"))
        made = make_selection(
            run.upstream,
            run.recipe,
            candidates,
            _scores(run),
            config,
            executor,
            lambda done: listener(StageAdvanced("probe", done)),
        )
        now = datetime.now(UTC).replace(tzinfo=None)
        append_tables(run.manifest, run.run_id, made.tables(candidates, ordinal, now))
        return Added(run.run_id, made.selection, candidates, made.enough)


def _scores(run: FinishedRun) -> Scores:
    """Return the scores of a run, and the grades that a judge gave its samples since."""
    return replace(read_scores(run.upstream), added=read_judged(run.manifest, run.run_id))


def ensure_selections(
    run_dir: Path,
    configs: Sequence[SelectionConfig],
    executor: Executor = LocalExecutor(),  # noqa: B008 - frozen
) -> dict[str, int]:
    """Make the selections that the newest run lacks; return name → number of samples of each.

    They are added as the oldest ones, so that the newest selection stays the newest. A selection
    that the run has already must have equal settings and is not changed.

    Raises:
        UsageError: a name is taken by another selection, or one cannot be made from the pool.
        ManifestError, InputError, StorageError: as `add_selection`.
    """
    newest_version(run_dir / MANIFEST_NAME)
    with claimed(run_dir, wait=True):
        run = open_run(run_dir)
        check_selected(run)
        sql = "SELECT * FROM selection_settings WHERE run_id = $1"
        rows = read(run.manifest, sql, [run.run_id]).to_pylist()
        known = {row["selection"]: row for row in rows}
        wanted = [resolve(config, run.recipe.seed) for config in configs]
        for config in wanted:
            if config.name in known and _stored(known[config.name]) != config:
                message = (
                    f"run {run.run_id} has another selection {config.name!r} already, with other "
                    "settings; choose another name, or take the change back"
                )
                raise UsageError(message, code="selection_name_taken", selection=config.name)
        lacking = [config for config in wanted if config.name not in known]
        made = _make_oldest(run, lacking, known, executor) if lacking else {}
        names = [config.name for config in wanted]
        return {name: made.get(name) or known[name]["selected"] for name in names}


def _stored(line: Mapping[str, Any]) -> SelectionConfig | None:
    """Return the settings of a line of `selection_settings`; None where they are none of today."""
    try:
        return SelectionConfig.from_stored(json.loads(line["settings"] or "{}"))
    except ValidationError:
        return None


def check_selected(run: FinishedRun) -> None:
    """Raise UsageError for a run that stopped before its stage `select`."""
    if "select" not in run.upstream:
        message = (
            f"run {run.run_id} stopped for a person to look at its review list; set "
            "decontaminate.unresolved to keep or drop and curate again"
        )
        raise UsageError(message, code="run_waits_for_review", run=run.run_id)


def _make_oldest(
    run: FinishedRun,
    configs: Sequence[SelectionConfig],
    known: Mapping[str, Mapping[str, Any]],
    executor: Executor,
) -> dict[str, int]:
    """Make selections that are older than all of the run; return name → number of samples.

    `known` are the run's rows of `selection_settings` by name.
    """
    candidates = read_candidates(run.run_dir, run.upstream, run.recipe, executor.run)
    scores = _scores(run)
    made = [
        (
            make_selection(run.upstream, run.recipe, candidates, scores, config, executor),
            candidates,
        )
        for config in configs
    ]
    _append_oldest(run, made, known)
    return {one.selection.config.name: len(one.selection.order) for one, _ in made}


def store_oldest(run: FinishedRun, made: Sequence[tuple[Selection, Candidates]]) -> None:
    """Add selections as the oldest ones of a run, so that its newest stays the newest.

    One of the same name is replaced. Raises ManifestError or StorageError.
    """
    with claimed(run.run_dir, wait=True):
        sql = "SELECT selection, ordinal, created_at FROM selection_settings WHERE run_id = $1"
        rows = read(run.manifest, sql, [run.run_id]).to_pylist()
        complete = [(MadeSelection(selection, None), candidates) for selection, candidates in made]
        _append_oldest(run, complete, {row["selection"]: row for row in rows})


def _append_oldest(
    run: FinishedRun,
    made: Sequence[tuple[MadeSelection, Candidates]],
    known: Mapping[str, Mapping[str, Any]],
) -> None:
    first = min(row["ordinal"] or 0 for row in known.values())
    oldest = min(row["created_at"] for row in known.values())
    parts = [
        one.tables(candidates, first - before, oldest - timedelta(microseconds=before))
        for before, (one, candidates) in zip(range(len(made), 0, -1), made, strict=True)
    ]
    names = dict.fromkeys(name for part in parts for name in part)
    tables = {
        name: pa.concat_tables([part[name] for part in parts if name in part]) for name in names
    }
    append_tables(run.manifest, run.run_id, tables)


def _next_ordinal(run: FinishedRun, name: str, replace: bool) -> int:
    """Return the ordinal after the run's other selections. Raises UsageError for a taken name."""
    sql = "SELECT DISTINCT selection FROM selections WHERE run_id = $1 ORDER BY 1"
    names: list[str] = read(run.manifest, sql, [run.run_id])["selection"].to_pylist()
    if name in names and not replace:
        taken = ", ".join(names)
        message = (
            f"run {run.run_id} has a selection {name!r} already (taken: {taken}); choose another "
            "--name, or --replace it"
        )
        raise UsageError(message, code="selection_name_taken", selection=name, taken=names)
    return len({*names, EVERYTHING} - {name})
