"""A further selection of a finished run, from the vectors and scores that the run left behind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import yaml
from pydantic import ValidationError

from curation.claim import claimed
from curation.errors import UsageError
from curation.execution import Executor, LocalExecutor
from curation.explain import explain
from curation.finished import MANIFEST, FinishedRun, open_run
from curation.manifest import append_tables, newest_version, query
from curation.selection.base import Candidates
from curation.selection.config import EVERYTHING, SelectionConfig
from curation.selection.select import Selection, select
from curation.selection.stored import read_candidates, read_scores
from curation.selection.tables import curve_table, selection_table, settings_table


@dataclass(frozen=True, slots=True)
class Added:
    """What was added to which run."""

    run_id: str
    selection: Selection
    candidates: Candidates

    @property
    def strata_covered(self) -> int:
        """Strata with a selected sample."""
        return len(set(self.candidates.strata.code[self.selection.order].tolist()))


def parse_selection(settings: Mapping[str, Any], overrides: Sequence[str] = ()) -> SelectionConfig:
    """Settings of a selection, with `a.b=value` overrides; a bare key may be one of the method's.

    Raises:
        UsageError: an override that is not of the form, or settings that are not valid.
    """
    given = {key: value for key, value in settings.items() if value is not None}
    whole: dict[str, Any] = deepcopy(given)
    for override in overrides:
        _set(whole, override)
    try:
        return SelectionConfig.model_validate(whole)
    except ValidationError as error:
        raise UsageError(f"selection: {explain(error, SelectionConfig)}") from error


def _set(settings: dict[str, Any], override: str) -> None:
    dotted, separator, text = override.partition("=")
    if not separator or not dotted:
        raise UsageError(f"--set {override!r} is not of the form key=value")
    keys = dotted.split(".")
    if keys[0] not in SelectionConfig.model_fields:
        keys = ["method", *keys]
    place = settings
    for key in keys[:-1]:
        place = place.setdefault(key, {})
        if not isinstance(place, dict):
            raise UsageError(f"--set {override!r}: {key!r} holds a value, not keys")
    try:
        place[keys[-1]] = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise UsageError(f"--set {override!r}: the value is not YAML") from error


def add_selection(
    run_dir: Path,
    config: SelectionConfig,
    *,
    replace: bool = False,
    executor: Executor = LocalExecutor(),  # noqa: B008 - frozen
) -> Added:
    """Select from the newest run of a run directory; the manifest takes the selection whole or not.

    Vectors, neighbours and scores are those of the run; nothing is encoded or scored again. A run
    or selection that is at work in the directory is waited for: the run it ends with is the newest.

    Raises:
        UsageError: the name is taken (unless `replace`), or the selection cannot be made from the
            run's pool.
        ManifestError: no manifest.
        InputError: a folder of the run is gone.
        StorageError: the disk refuses.
    """
    newest_version(run_dir / MANIFEST)  # a claim would make the directory
    with claimed(run_dir, wait=True):
        return _add(open_run(run_dir), config, replace, executor)


def _add(run: FinishedRun, config: SelectionConfig, replace: bool, executor: Executor) -> Added:
    if "select" not in run.folders:
        raise UsageError(
            f"run {run.run_id} stopped for a person to look at its review list; set "
            "decontaminate.unresolved to keep or drop and curate again"
        )
    ordinal = _next_ordinal(run, config.name, replace)
    recipe, folders = run.recipe, run.folders
    candidates = read_candidates(
        run.run_dir, folders, recipe.strata, recipe.graph, recipe.neighbors, executor.run
    )
    found = select(candidates, read_scores(folders), config, recipe.seed, executor)
    append_tables(run.manifest, run.run_id, _tables(found, candidates, ordinal))
    return Added(run.run_id, found, candidates)


def _next_ordinal(run: FinishedRun, name: str, replace: bool) -> int:
    """Place after the run's other selections. Raises UsageError when the name is taken."""
    sql = f"SELECT DISTINCT selection FROM selections WHERE run_id = '{run.run_id}' ORDER BY 1"
    names: list[str] = query(run.manifest, sql)["selection"].to_pylist()
    if name in names and not replace:
        taken = ", ".join(names)
        raise UsageError(
            f"run {run.run_id} has a selection {name!r} already (taken: {taken}); choose another "
            "--name, or --replace it"
        )
    return len({*names, EVERYTHING} - {name})


def _tables(found: Selection, candidates: Candidates, ordinal: int) -> dict[str, pa.Table]:
    now = datetime.now(UTC).replace(tzinfo=None)
    return {
        "selections": selection_table(found, candidates),
        "curves": curve_table(found),
        "selection_settings": settings_table(found, len(candidates), ordinal, now),
    }
