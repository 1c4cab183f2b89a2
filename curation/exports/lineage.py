"""Read once from the manifest where an exported selection comes from and what it contains."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from curation.selection.config import EVERYTHING
from medsift.manifest.any_version import Line, ask, opened
from medsift.manifest.schema import quoted

TALLIED: Final = ("modality", "body_part", "task_type", "answer_type", "language")

_RUN: Final = """
SELECT run_id, name, recipe, recipe_fingerprint, input_fingerprint, code_version, seed,
       created_at, finished_at FROM runs WHERE run_id = $run
"""
_SETTINGS: Final = "SELECT * FROM selection_settings WHERE run_id = $run AND selection = $selection"
_CHOSEN: Final = """
WITH chosen AS (
    SELECT s.weight, s.stratum AS selected_as, s.created_at, p.* FROM selections s
    JOIN samples p ON s.place = p.place WHERE s.run_id = $run AND s.selection = $selection {only}
)
"""
_COUNTS: Final = """
SELECT count(*) AS samples, coalesce(sum(weight), 0) AS weight, max(created_at) AS created_at,
       count(*) FILTER (len(images) IS NULL OR len(images) = 0) AS text_only,
       (SELECT count(DISTINCT image.image_id) FROM (SELECT unnest(images) AS image FROM chosen))
         AS images
FROM chosen
"""
_SOURCES: Final = """
SELECT source, license, count(*) AS samples FROM chosen GROUP BY ALL
ORDER BY samples DESC, source, license
"""
_STRATA: Final = """
SELECT stratum, pool, selected, weight FROM coverage
WHERE run_id = $run AND selection = $selection ORDER BY pool DESC, stratum
"""
_AGES: Final = """
SELECT coalesce(extra ->> '$.age_class', extra ->> '$.age', extra ->> '$.patient_age') AS value,
       count(*) AS samples FROM chosen GROUP BY ALL ORDER BY samples DESC, value NULLS LAST LIMIT 40
"""
_SEXES: Final = """
SELECT upper(coalesce(extra ->> '$.sex', extra ->> '$.gender', extra ->> '$.patient_sex')) AS value,
       count(*) AS samples FROM chosen GROUP BY ALL ORDER BY samples DESC, value NULLS LAST LIMIT 40
"""
_PATIENTS: Final = """
SELECT count(DISTINCT patient_id) AS patients, count(DISTINCT study_id) AS studies,
       count(*) FILTER (patient_id IS NULL) AS without_patient FROM chosen
"""
_REASONS: Final = """
SELECT stage, action, reason, count(*) AS rows FROM decisions WHERE run_id = $run GROUP BY ALL
ORDER BY rows DESC, stage, reason
"""
_FINDINGS: Final = """
SELECT kind, action, count(*) FILTER (place <> 'picture') AS texts,
       count(*) FILTER (place = 'picture') AS pictures
FROM privacy_findings WHERE run_id = $run GROUP BY ALL ORDER BY kind, action
"""
_MASKED: Final = """
SELECT count(*) AS pictures, avg(painted) AS painted, max(painted) AS most,
       count(*) FILTER (verdict = 'review') AS for_review FROM masked_images WHERE run_id = $run
"""
_WITHDRAWALS: Final = "SELECT created_at, kind, rows, images FROM withdrawals ORDER BY created_at"
_FUNNEL: Final = """
SELECT stage, rows_in, kept, dropped, failed FROM funnel WHERE run_id = $run ORDER BY ordinal
"""


@dataclass(frozen=True, slots=True)
class Lineage:
    """Facts of one selection; `settings` is None for one that was not made to a budget.

    `sources` are lines (source, license, samples), `strata` (stratum, pool, selected, weight);
    `tallies` count the values of each tag, commonest first; `readers` name each source's reader.
    `reasons` are lines (stage, action, reason, rows) of all rows that left, `findings` (kind,
    action, texts, pictures) of identifiers; `withdrawals` (created_at, kind, rows, images).
    """

    run: Line
    selection: str
    counts: Line
    settings: Line | None
    sources: list[Line]
    readers: dict[str, str]
    strata: list[Line]
    tallies: dict[str, list[tuple[str | None, int]]]
    funnel: list[Line]
    patients: Line
    reasons: list[Line]
    findings: list[Line]
    masked: Line
    withdrawals: list[Line]

    @property
    def licences(self) -> list[str | None]:
        """Licences of the samples, sorted; None last where a sample has none."""
        names = {line["license"] for line in self.sources}
        return [*sorted(name for name in names if name), *([None] if None in names else [])]

    @property
    def languages(self) -> list[str]:
        """Language codes of the samples, sorted."""
        return sorted(value for value, _ in self.tallies["language"] if value)

    def identity(self) -> dict[str, Any]:
        """Return what repeats this selection, by name: fingerprints, method, budget and seeds."""
        keys = ("run_id", "recipe_fingerprint", "input_fingerprint", "code_version", "seed")
        facts = {key: self.run[key] for key in keys} | {"selection": self.selection}
        for key in ("method", "budget", "fingerprint", "seed"):
            facts[f"selection_{key}"] = (self.settings or {}).get(key)
        return {key: value for key, value in facts.items() if value is not None}

    def made(self) -> str:
        """Say in one sentence how many samples were selected, of how many, and by what method."""
        count = f"{self.counts['samples']:,}"
        if self.selection == EVERYTHING:
            return f"{count} samples: all that curation kept and that may be trained on."
        if self.settings is None:
            return f"{count} samples."
        pool, method, budget = (self.settings[key] for key in ("pool", "method", "budget"))
        of = "" if pool is None else f" of {pool:,}"
        by = "" if method is None else f", selected by {method}"
        to = "" if budget is None else f" to a budget of {budget}"
        return f"{count} samples{of}{by}{to}."


def read_lineage(
    manifest: Path, run_id: str, selection: str, licences: Sequence[str | None] | None = None
) -> Lineage:
    """Read everything that a card or a Croissant file says from the manifest.

    Args:
        manifest: The manifest.
        run_id: The run.
        selection: The selection.
        licences: The licences of a part of it; None for all of it. The strata of a part are not
            known.
    """
    bound = {"run": run_id, "selection": selection}
    listed = ", ".join(quoted(name or "") for name in licences or ())
    chosen = _CHOSEN.format(
        only="" if licences is None else f"AND coalesce(p.license, '') IN ({listed})"
    )
    with opened(manifest) as con:
        run = ask(con, _RUN, run=run_id)[0]
        recipe = json.loads(run["recipe"] or "{}")
        settings = ask(con, _SETTINGS, **bound)
        tallies = {}
        for name in TALLIED:
            sql = f"{chosen} SELECT {name} AS value, count(*) AS samples FROM chosen GROUP BY ALL"
            lines = ask(con, f"{sql} ORDER BY samples DESC, value NULLS LAST", **bound)
            tallies[name] = [(line["value"], line["samples"]) for line in lines]
        for name, more in (("age", _AGES), ("sex", _SEXES)):
            lines = ask(con, chosen + more, **bound)
            tallies[name] = [(line["value"], line["samples"]) for line in lines]
        return Lineage(
            run=run,
            selection=selection,
            counts=ask(con, chosen + _COUNTS, **bound)[0],
            settings=settings[0] if settings else None,
            sources=ask(con, chosen + _SOURCES, **bound),
            # Only the readers: a source's path would reveal a machine.
            readers={source["name"]: source["reader"] for source in recipe.get("sources") or []},
            strata=ask(con, _STRATA, **bound) if licences is None else [],
            tallies=tallies,
            funnel=ask(con, _FUNNEL, run=run_id),
            patients=ask(con, chosen + _PATIENTS, **bound)[0],
            reasons=ask(con, _REASONS, run=run_id),
            findings=ask(con, _FINDINGS, run=run_id),
            masked=ask(con, _MASKED, run=run_id)[0],
            withdrawals=ask(con, _WITHDRAWALS),
        )
