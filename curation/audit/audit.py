"""Count in the manifest what a data office asks about, and compare it with the recipe's limits."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from curation.audit.settings import AuditConfig
from medsift.licence_classes import excluding, licence_class, obligations
from medsift.manifest import resolve_run
from medsift.manifest.any_version import Line, ask, opened

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_KEPT: Final = """
WITH kept AS (
    SELECT * FROM samples s WHERE run_id = $run AND NOT EXISTS
        (FROM decisions d WHERE d.run_id = $run AND d.row_id = s.row_id)
)
"""
_RUN: Final = """
SELECT run_id, name, recipe, created_at, status, code_version FROM runs WHERE run_id = $run
"""
_ROWS: Final = """
SELECT count(*) AS rows, count(*) FILTER (action = 'kept') AS kept FROM rows WHERE run_id = $run
"""
_FINDINGS: Final = """
SELECT kind, action, count(*) FILTER (place <> 'picture') AS texts,
       count(DISTINCT row_id) AS rows, count(*) FILTER (place = 'picture') AS in_pictures,
       count(DISTINCT image_id) AS pictures
FROM privacy_findings WHERE run_id = $run GROUP BY ALL ORDER BY kind, action
"""
_MASKED: Final = """
SELECT verdict, count(*) AS pictures, avg(painted) AS painted, max(painted) AS most,
       max(readings) AS readings
FROM masked_images WHERE run_id = $run GROUP BY ALL ORDER BY verdict
"""
_LICENCES: Final = (
    f"{_KEPT} SELECT license, count(*) AS rows FROM kept GROUP BY ALL ORDER BY rows DESC, license"
)
_PATIENTS: Final = f"""
{_KEPT} SELECT list(DISTINCT split ORDER BY split) AS splits, count(*) AS rows FROM kept
WHERE patient_id IS NOT NULL GROUP BY source, patient_id HAVING count(DISTINCT split) > 1
"""
_NEAR: Final = """
SELECT benchmark, kind, verdict, count(*) AS rows FROM leaks_found WHERE run_id = $run GROUP BY ALL
ORDER BY benchmark, kind, verdict
"""
_LEFT: Final = """
SELECT count(*) AS n FROM privacy_findings f WHERE run_id = $run AND action = 'flag' AND NOT EXISTS
    (FROM decisions d WHERE d.run_id = $run AND d.row_id = f.row_id)
"""
_NOTED: Final = f"""
{_KEPT} SELECT count(*) AS n FROM kept
WHERE len(list_filter(notes, lambda note: contains(lower(note), $word))) > 0
"""
_WITHDRAWN: Final = "SELECT created_at, kind, rows, images FROM withdrawals ORDER BY created_at"
LABELS: Final = {
    "identifiers_left": "identifiers found and left",
    "pictures_for_review": "pictures for review",
    "rows_without_licence": "kept rows without a licence of known terms",
    "licence_conflicts": "pairs of licences that exclude each other",
    "laterality_conflicts": "kept rows with a conflict of left and right",
    "patients_across_splits": "patients in more than one split",
    "predicted_tags": "kept rows with predicted tags",
    "near_benchmark": "rows near a benchmark, undecided",
}


@dataclass(frozen=True, slots=True)
class Check:
    """One figure of an audit, and the most that the recipe accepts; None for any."""

    name: str
    found: int
    accepted: int | None

    @property
    def passed(self) -> bool:
        """Whether the figure is within its limit."""
        return self.accepted is None or self.found <= self.accepted


@dataclass(frozen=True, slots=True)
class Audit:
    """What an audit found; lists are lines of counts, `checks` are compared with the recipe."""

    run: Line
    rows: Line
    privacy: Line
    checks: list[Check]
    findings: list[Line]
    masked: list[Line]
    licences: list[Line]
    conflicts: list[tuple[str, str]]
    patients: list[Line]
    near: list[Line]
    withdrawals: list[Line]

    @property
    def passed(self) -> bool:
        """Whether every figure is within its limit."""
        return all(check.passed for check in self.checks)

    def to_dict(self) -> dict[str, Any]:
        """Return the audit as JSON-able values."""
        run = {key: str(value) for key, value in self.run.items() if key != "recipe"}
        checks = [
            {"check": check.name, "found": check.found, "accepted": check.accepted}
            | {"passed": check.passed}
            for check in self.checks
        ]
        withdrawn = [line | {"created_at": str(line["created_at"])} for line in self.withdrawals]
        return {
            **{"run": run, "rows": self.rows, "privacy": self.privacy, "passed": self.passed},
            **{"checks": checks, "findings": self.findings, "masked_images": self.masked},
            **{"licences": self.licences, "licence_conflicts": self.conflicts},
            **{"patients_across_splits": self.patients, "near_benchmark": self.near},
            "withdrawals": withdrawn,
        }


def audit(manifest: Path, run_id: str | None = None) -> Audit:
    """Return the audit of a run, the newest when None.

    Raises:
        ManifestError: the manifest cannot be read, or has no such run.
    """
    name = resolve_run(manifest, run_id)
    with opened(manifest) as con:
        [run] = ask(con, _RUN, run=name)
        recipe = json.loads(run["recipe"] or "{}")
        licences = ask(con, _LICENCES, run=name)
        for line in licences:
            line["asks"] = ", ".join(obligations([line["license"]]))
        conflicts = excluding(line["license"] for line in licences)
        parts = {
            "findings": ask(con, _FINDINGS, run=name),
            "masked": ask(con, _MASKED, run=name),
            "patients": _counted(ask(con, _PATIENTS, run=name)),
            "near": ask(con, _NEAR, run=name),
        }
        found = {
            "identifiers_left": ask(con, _LEFT, run=name)[0]["n"],
            "pictures_for_review": sum(
                line["pictures"] for line in parts["masked"] if line["verdict"] == "review"
            ),
            "rows_without_licence": sum(
                line["rows"] for line in licences if not licence_class(line["license"]).known
            ),
            "licence_conflicts": len(conflicts),
            "laterality_conflicts": _noted(con, name, "laterality"),
            "patients_across_splits": sum(line["patients"] for line in parts["patients"]),
            "predicted_tags": _noted(con, name, "predicted"),
            "near_benchmark": sum(
                line["rows"] for line in parts["near"] if line["verdict"].endswith("unresolved")
            ),
        }
        config = AuditConfig.model_validate(recipe.get("audit") or {})
        return Audit(
            run=run,
            rows=ask(con, _ROWS, run=name)[0],
            privacy={
                key: (recipe.get("privacy") or {}).get(key, "off") for key in ("text", "pictures")
            },
            checks=[Check(check, count, getattr(config, check)) for check, count in found.items()],
            licences=licences,
            conflicts=conflicts,
            withdrawals=ask(con, _WITHDRAWN),
            **parts,
        )


def _noted(con: DuckDBPyConnection, run: str, word: str) -> int:
    """Count the kept rows that have a note with a word."""
    return int(ask(con, _NOTED, run=run, word=word)[0]["n"])


def _counted(patients: list[Line]) -> list[Line]:
    """Count patients by the splits that they are in; who they are is nobody's business."""
    counts: dict[tuple[str, ...], list[int]] = {}
    for line in patients:
        counts.setdefault(tuple(line["splits"]), []).append(line["rows"])
    return [
        {"splits": " and ".join(splits), "patients": len(rows), "rows": sum(rows)}
        for splits, rows in sorted(counts.items())
    ]
