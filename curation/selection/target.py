"""Pick the samples most similar to a few that show what the model is wanted for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

import numpy as np
import pyarrow as pa
from pydantic import Field, model_validator

from curation.selection.method import MethodConfig, Picked, Picker, SelectionContext
from curation.selection.quotas import QuotasConfig
from curation.selection.turns import Rankings, take_turns
from medsift.arrays import Indices
from medsift.errors import UsageError


class TargetConfig(MethodConfig):
    """Settings of `target`: the targets take turns, each its nearest sample that is still free.

    RDS+ (Ivison et al. 2025, "Large-scale data selection for instruction tuning", arXiv
    2503.01807): cosine to each query, then round-robin, so that no query takes all. The
    paper's vector is a language model's hidden state; here it is the joint vector. Targets are
    samples of the pool, and first in its order: held-out rows decide nothing. `gain` is the cosine.
    """

    usual_quotas: ClassVar[QuotasConfig] = QuotasConfig(kind="none")

    renamed_keys: ClassVar[Mapping[str, str]] = {"most": "max_targets"}

    kind: Literal["target"] = "target"
    where: str | None = None
    """SQL condition over the columns of samples that targets meet, such as `modality = 'ct'`."""
    sample_ids: tuple[str, ...] = ()
    """Or the sample ids of the targets themselves."""
    max_targets: int = Field(default=1_000, ge=1)
    """Targets at most, since each is compared with the whole pool; more are refused."""

    @model_validator(mode="after")
    def _some_target(self) -> TargetConfig:
        if (self.where is None) == (not self.sample_ids):
            raise ValueError("give either `where` or `sample_ids`, to say what the targets are")
        return self

    def depends_on_seed(self, samples: int) -> bool:
        """Return False: nothing is left to chance."""
        return False

    def picker(self, context: SelectionContext) -> Picker:
        """List each target's nearest samples once."""
        samples = context.candidates.pool.samples
        if self.where is not None:
            targets = _meeting(self.where, samples)
        else:
            targets = self._named(context.candidates.sample_ids)
        if not 1 <= len(targets) <= self.max_targets:
            raise UsageError(
                f"the method `target` has {len(targets)} targets in a pool of {samples.num_rows}; "
                f"choose 1 to {self.max_targets} by `where` or `sample_ids`",
                code="target_invalid",
                targets=len(targets),
                max_targets=self.max_targets,
            )
        vectors = context.candidates.quantized
        rankings = Rankings(vectors, targets)

        def pick(counts: Indices) -> Picked:
            order, takers = take_turns(rankings, context.groups.code, counts)
            return Picked(order, vectors.cosines(order, targets[takers]))

        return pick

    def _named(self, pool: list[str]) -> Indices:
        """Return the rows of the targets that are named. Raises UsageError."""
        row_of = {sample: row for row, sample in enumerate(pool)}
        missing = [sample for sample in self.sample_ids if sample not in row_of]
        if missing:
            message = (
                f"target {missing[0]!r} is no sample of the pool ({len(missing)} of "
                f"{len(self.sample_ids)} are not): name ids of kept samples that may be trained on"
            )
            raise UsageError(message, code="target_invalid", missing=missing)
        return np.unique([row_of[sample] for sample in self.sample_ids]).astype(np.int64)


def _meeting(condition: str, samples: pa.Table) -> Indices:
    """Return the rows that meet a SQL condition. Raises UsageError."""
    import duckdb

    row = pa.array(np.arange(samples.num_rows), pa.int64())
    # A recipe may come from elsewhere: its condition reads no file and no address.
    with duckdb.connect(config={"enable_external_access": "false"}) as connection:
        connection.register("samples", samples.append_column("__row", row))
        try:
            rows = connection.execute(
                f"SELECT __row FROM samples WHERE ({condition}) ORDER BY __row"
            ).fetchnumpy()
        except duckdb.Error as error:
            message = (
                f"target.where is {condition!r}, which is no SQL condition over the columns of "
                f"samples: {str(error).splitlines()[0]}"
            )
            raise UsageError(message, code="target_invalid", where=condition) from error
    return np.asarray(rows["__row"], np.int64)
