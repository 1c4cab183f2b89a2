"""A selection of a run as Python sees it: its samples and weights, and what it covers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from curation.table_html import html_table

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

    from curation.compare import Comparison
    from curation.exports.write_export import ExportResult

_SAMPLES = "SELECT rank, sample_id, weight FROM selections"


@dataclass(frozen=True, slots=True)
class RunSelection:
    """An ordered, weighted subset of a run's pool. Nothing is read until it is used."""

    manifest: Path
    run_id: str
    name: str

    @property
    def table(self) -> pa.Table:
        """The selected samples in rank order, with the columns of the view `selected_samples`."""
        from medsift.manifest import selected

        return selected(self.manifest, self.name, self.run_id)

    @property
    def ids(self) -> list[str]:
        """Sample ids in rank order."""
        return list(self._read(_SAMPLES)["sample_id"].to_pylist())

    @property
    def weights(self) -> NDArray[np.float64]:
        """Weights (n,) in rank order."""
        weights: NDArray[np.float64] = self._read(_SAMPLES)["weight"].to_numpy()
        return weights

    @property
    def coverage(self) -> float | None:
        """Share of the pool's neighbour graph that the selection covers."""
        settings = self._read("SELECT coverage FROM selection_settings")
        return settings["coverage"][0].as_py() if settings.num_rows else None

    @property
    def explanation(self) -> str | None:
        """Why the selection has its size, where a probe decided it (budget `auto`)."""
        settings = self._read("SELECT explanation FROM selection_settings")
        return settings["explanation"][0].as_py() if settings.num_rows else None

    @property
    def strata(self) -> pa.Table:
        """Candidates, selected samples, weight and share: one line for each stratum of the pool."""
        sql = "SELECT stratum, pool, selected, weight, share FROM coverage"
        return self._read(sql, "pool DESC, stratum")

    def compare(self, other: RunSelection | str) -> Comparison:
        """Compare with another selection of the same run; print the result to read it.

        Raises:
            ManifestError: the run has no such selection.
        """
        from curation.compare import compare_selections

        name = other if isinstance(other, str) else other.name
        return compare_selections(self.manifest, (self.name, name), self.run_id)

    def export(self, format: str, output: str | Path) -> ExportResult:
        """Write the selection for a trainer, in one of `curation.exports.FORMATS`.

        Raises:
            UsageError: an unknown format, or an output that is in the way.
        """
        from curation.exports.write_export import export

        return export(self.manifest, format, Path(output), self.name, run_id=self.run_id)

    def to_dataset(self) -> Any:
        """Return a `datasets.Dataset` of chat messages and pictures, as the export `hf` writes it.

        It is kept in memory; `export("hf", folder)` writes one of any size.
        """
        from datasets import Dataset

        from curation.exports.write_export import export

        with TemporaryDirectory(prefix="medsift-dataset-") as folder:
            target = Path(folder) / "data"
            done = export(self.manifest, "hf", target, self.name, run_id=self.run_id, record=False)
            files = [str(path) for path in done.files if path.suffix == ".parquet"]
            return Dataset.from_parquet(files, keep_in_memory=True, cache_dir=folder)

    def _read(self, select: str, order: str = "1") -> pa.Table:
        from medsift.manifest import read

        sql = f"{select} WHERE run_id = $run AND selection = $selection ORDER BY {order}"
        return read(self.manifest, sql, {"run": self.run_id, "selection": self.name})

    def __len__(self) -> int:
        return int(self._read(_SAMPLES).num_rows)

    def __repr__(self) -> str:
        coverage = self.coverage
        covers = "" if coverage is None else f", covers {coverage:.3f} of the pool"
        return f"Selection {self.name!r} of run {self.run_id}: {len(self):,} samples{covers}"

    def _repr_html_(self) -> str:
        return html_table(self.strata, repr(self))
