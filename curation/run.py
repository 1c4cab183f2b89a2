"""Open a run from Python: its rows and their fates, SQL over its manifest, its selections."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from curation.run_selection import RunSelection
from curation.table_html import html_table
from medsift.errors import UsageError
from medsift.extras import names_missing_extra

if TYPE_CHECKING:
    import pyarrow as pa

    from curation.compare.difference import Difference
    from curation.probe.probe import ProbeResult


@dataclass(frozen=True, slots=True)
class Fate:
    """What happened to one row, with the row that it duplicates where there is one."""

    row_id: str
    sample_id: str | None
    action: str
    stage: str
    reason: str | None
    witness: str | None
    value: float | None
    threshold: float | None
    explanation: str
    question: str | None
    answer: str | None
    witness_question: str | None
    witness_answer: str | None

    def __str__(self) -> str:
        lines = [f"{self.row_id}: {self.explanation}"]
        if self.question is not None:
            lines.append(f"  row:     {self.question} → {self.answer}")
        if self.witness_question is not None:
            lines.append(f"  witness: {self.witness_question} → {self.witness_answer}")
        return "\n".join(lines)


def open_run(path: str | Path, run_id: str | None = None) -> Run:
    """Open a run directory or a manifest file, here or in a store; the newest run without `run_id`.

    Raises:
        UsageError, InputError: the path is a URL of a kind that is not served.
        ManifestError: there is no manifest or no such run.
    """
    from medsift.manifest import resolve_run
    from medsift.manifest.manifest_file import manifest_file
    from medsift.storage.local_paths import path_of

    manifest = manifest_file(path_of(path).absolute())
    return Run(manifest, resolve_run(manifest, run_id))


@names_missing_extra
def probe(run: Run | str | Path, *methods: str, **settings: Any) -> ProbeResult:
    """Compare selections of a run, or of the newest run of a directory; see `Run.probe`.

    Raises:
        MedSiftError: as `open_run` and `Run.probe`.
    """
    return (run if isinstance(run, Run) else open_run(run)).probe(*methods, **settings)


def diff(
    first: Run | str | Path,
    second: Run | str | Path | None = None,
    selection: str | None = None,
    other_selection: str | None = None,
) -> Difference:
    """Return which rows have another fate in another run or selection; print it to read it.

    Args:
        first: A run, a run directory or a manifest; of the latter two the newest run.
        second: The one to compare with. When neither it nor a selection is given, the newest run
            of `first` is compared with the one before.
        selection: Tells rows of this selection of `first` from other kept rows.
        other_selection: The same of `second`.

    Raises:
        UsageError: there is nothing to compare: a single run.
        ManifestError: no such manifest or selection.
    """
    from curation.compare.difference import last_two_runs

    before = first if isinstance(first, Run) else open_run(first)
    if second is not None:
        after = second if isinstance(second, Run) else open_run(second)
    elif selection is None and other_selection is None:
        before, after = (Run(before.manifest, run) for run in last_two_runs(before.manifest))
    else:
        after = before
    return before.diff(after, selection, other_selection)


@dataclass(frozen=True, slots=True)
class Run:
    """One run of a manifest. Nothing is read until it is used."""

    manifest: Path
    run_id: str

    @property
    def report(self) -> Path:
        """The run's HTML report."""
        from medsift.storage.mirror import fetch

        return fetch(self.manifest.with_name("report.html"))

    @property
    def kept(self) -> pa.Table:
        """The rows that were kept, with question, answer and tags."""
        return self._rows("kept")

    @property
    def dropped(self) -> pa.Table:
        """The rows that were dropped, with stage, reason, witness, value and threshold."""
        return self._rows("dropped")

    @property
    def failed(self) -> pa.Table:
        """The rows that could not become samples, with stage, reason and detail."""
        return self._rows("failed")

    @property
    def funnel(self) -> pa.Table:
        """Rows in, kept, dropped and failed, and seconds: one line for each stage."""
        columns = "stage, rows_in, kept, dropped, failed, seconds"
        return self._read(f"SELECT {columns} FROM funnel WHERE run_id = $run", {})

    @property
    def selections(self) -> list[str]:
        """Names of the run's selections, the newest last."""
        sql = "SELECT selection FROM selection_settings WHERE run_id = $run"
        sql += " ORDER BY created_at, ordinal"
        return list(self._read(sql, {})["selection"].to_pylist())

    def sql(self, query: str) -> pa.Table:
        """Answer one reading statement over the manifest, for example ``"FROM funnel"``.

        A manifest may hold several runs: `WHERE run_id = '…'` names one. No file can be reached.

        Raises:
            ManifestError: a mistake in the SQL, or a statement that would write.
        """
        from medsift.manifest import query as answer

        return answer(self.manifest, query)

    def why(self, row: str) -> Fate:
        """Return the fate of a row by its row id or its sample id; print it to read it.

        Raises:
            UsageError: the run has no such row.
        """
        sql = (
            "SELECT w.row_id, w.sample_id, w.action, w.stage, w.reason, w.witness, w.value, "
            "w.threshold, w.explanation, s.question, s.answer, t.question AS witness_question, "
            "t.answer AS witness_answer FROM why w "
            "LEFT JOIN samples s ON s.run_id = w.run_id AND s.row_id = w.row_id "
            "LEFT JOIN samples t ON t.run_id = w.run_id AND t.row_id = w.witness "
            "WHERE w.run_id = $run AND (w.row_id = $row OR w.sample_id = $row) "
            "ORDER BY w.row_id LIMIT 1"
        )
        lines = self._read(sql, {"row": row}).to_pylist()
        if not lines:
            raise UsageError(
                f"run {self.run_id} has no row or sample {row!r}; row ids are "
                "source:file:index, see run.kept and run.dropped",
                code="row_unknown",
                row=row,
            )
        return Fate(**lines[0])

    def selection(self, name: str | None = None) -> RunSelection:
        """Return a selection by name, the newest when not named.

        Raises:
            ManifestError: the run has no such selection.
        """
        from medsift.manifest import resolve_selection

        _, selection = resolve_selection(self.manifest, name, self.run_id)
        return RunSelection(self.manifest, self.run_id, selection)

    @names_missing_extra
    def select(
        self,
        name: str,
        budget: int | float | str,
        method: str = "facility_location",
        *,
        quality: str | None = None,
        seed: int | None = None,
        replace: bool = False,
        **settings: Any,
    ) -> RunSelection:
        """Add a selection to the run; nothing is encoded or scored again.

        Args:
            name: Name of the selection.
            budget: Samples (500), a share (0.1, "10%"), tokens ("100000tokens"),
                "coverage:0.9" (just enough to cover that share of the pool), or "auto" (just enough
                to teach a probe as much as all rows, within 0.02 of its accuracy, or 0.05 of it
                with "auto:0.05"; it takes minutes).
            method: One of the methods of docs/selection.md.
            quality: The scorer that says how good a sample is; the combined score when not given.
            seed: The run's when not given.
            replace: Replace a selection of this name.
            settings: Further settings of the method.

        Raises:
            UsageError: the name is taken, a setting is not valid, or a newer run is in the
                manifest: selections are added to the newest.
        """
        from curation.add_selection import add_selection, parse_selection

        newest = open_run(self.manifest).run_id
        if newest != self.run_id:
            raise UsageError(
                f"run {self.run_id} is not the newest of {self.manifest}, which is {newest}; "
                "selections are added to the newest run",
                code="run_not_newest",
                run_id=self.run_id,
                newest=newest,
            )
        asked = {"name": name, "budget": budget, "quality": quality, "seed": seed}
        config = parse_selection({**asked, "method": {"kind": method, **settings}})
        add_selection(self.manifest.parent, config, replace=replace)
        return RunSelection(self.manifest, self.run_id, name)

    @names_missing_extra
    def probe(self, *methods: str, **settings: Any) -> ProbeResult:
        """Compare selections with random ones by a small learner on the pool's frozen vectors.

        Args:
            methods: Names of methods; the usual ones when none is given.
            settings: Further settings, for example `draws=40`; docs/probe.md lists them.

        Raises:
            RecipeError: a setting that is not valid.
            UsageError: the pool has nothing that a probe could ask about.
        """
        from curation.probe.probe import probe
        from curation.probe.settings import ProbeConfig
        from medsift.recipe_yaml import validated

        arms: dict[str, Any] = {"arms": list(methods)} if methods else {}
        config = validated(ProbeConfig, arms | settings, origin="probe")
        return probe(self.manifest.parent, config, run_id=self.run_id)

    @names_missing_extra
    def to_dataset(self, selection: str | None = None) -> Any:
        """Return a selection, the newest when not named, as a `datasets.Dataset`."""
        return self.selection(selection).to_dataset()

    def diff(
        self, other: Run, selection: str | None = None, other_selection: str | None = None
    ) -> Difference:
        """Return which rows have another fate in another run, and why; print it to read it.

        Args:
            other: The run to compare with, such as the one after rows were added.
            selection: Tells rows of this selection of this run from other kept rows.
            other_selection: The same of the other run.

        Raises:
            ManifestError: no such selection.
        """
        from curation.compare.difference import difference
        from medsift.manifest.fate_changes import Side

        return difference(
            Side(self.manifest, self.run_id, selection),
            Side(other.manifest, other.run_id, other_selection),
        )

    def compare(self, other: Run) -> pa.Table:
        """Return the rows whose fate differs between this run and another, with both fates."""
        names = ("action", "stage", "reason", "witness")
        columns = ["row_id", *names, *(f"other_{name}" for name in names)]
        return self.diff(other).rows.select(columns)

    def _rows(self, action: str) -> pa.Table:
        sql = (
            "SELECT r.row_id, r.sample_id, r.source, r.stage, r.reason, r.witness, r.value, "
            "r.threshold, r.detail, s.question, s.answer, s.split, s.modality, s.body_part, "
            "s.task_type, s.answer_type "
            "FROM rows r LEFT JOIN samples s ON s.run_id = r.run_id AND s.row_id = r.row_id "
            "WHERE r.run_id = $run AND r.action = $action ORDER BY r.row_id"
        )
        return self._read(sql, {"action": action})

    def _read(self, sql: str, values: dict[str, Any]) -> pa.Table:
        from medsift.manifest import read

        return read(self.manifest, sql, {"run": self.run_id, **values})

    def __repr__(self) -> str:
        stages = self.funnel.to_pylist()
        dropped, failed = (sum(stage[fate] for stage in stages) for fate in ("dropped", "failed"))
        rows = stages[0]["rows_in"] if stages else 0
        return (
            f"Run {self.run_id} in {self.manifest.parent}: {rows:,} rows in, "
            f"{rows - dropped - failed:,} kept, {dropped:,} dropped, {failed:,} failed; "
            f"selections {', '.join(self.selections)}"
        )

    def _repr_html_(self) -> str:
        return html_table(self.funnel, f"Run {self.run_id}: {', '.join(self.selections)}")
