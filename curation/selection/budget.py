"""Define how large a selection is: samples, a share, estimated tokens, a coverage, or enough."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, ClassVar, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field, field_validator, model_validator

from medsift.arrays import Indices
from medsift.config import Config
from medsift.errors import UsageError

USUAL_COVERAGE: Final = 0.9
USUAL_MARGIN: Final = 0.02
LARGEST_MARGIN: Final = 0.2
"""A set that may lose more accuracy than this is not enough in any sense."""
BYTES_PER_TOKEN: Final = 4
_LEVELS: Final = {"auto": USUAL_MARGIN, "coverage": USUAL_COVERAGE}
_FORM: Final = re.compile(r"(auto|coverage)(?::(.+))?|(.+?)\s*(%|tokens)?", re.DOTALL)
ALLOWED: Final = "500, 20%, 100000tokens, coverage:0.9, auto or auto:0.02"


class BudgetConfig(Config):
    """Settings of a selection's size: exactly one of five keys.

    As text: `500`, `20%`, `100000tokens`, `coverage:0.9`, `auto` or `auto:0.02`.
    """

    count: int | None = Field(default=None, ge=1)
    """Number of samples."""
    fraction: float | None = Field(default=None, gt=0.0, le=1.0)
    """Share of the pool's samples, rounded to the nearest number, at least 1."""
    tokens: int | None = Field(default=None, ge=1)
    """A selection whose estimated tokens stay within this, where the next larger one's do not."""
    auto: float | None = Field(default=None, gt=0.0, le=LARGEST_MARGIN)
    """Accuracy that a probe may lose: the smallest size at which, and above which, probes of the
    selection are shown to lose less against all rows. It takes minutes; see `docs/selection.md`."""
    coverage: float | None = Field(default=None, gt=0.0, le=1.0)
    """A selection that covers this share of the pool's neighbour graph, where one sample fewer does
    not. That is the smallest wherever coverage grows with size; see `docs/selection.md`."""

    renamed_keys: ClassVar[Mapping[str, str]] = {"auto": "coverage"}

    def with_first_names(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        """Return a dump in which the coverage has its first name, `auto`, and a margin another."""
        names = ("count", "fraction", "tokens")
        first = {name: settings[name] for name in names} | {"auto": settings["coverage"]}
        return first if self.auto is None else first | {"margin": settings["auto"]}

    @field_validator("auto", mode="before")
    @classmethod
    def _is_no_coverage(cls, margin: Any) -> Any:
        if isinstance(margin, (int, float)) and margin > LARGEST_MARGIN:
            remedy = f"a share of the pool to cover is now `coverage: {margin:g}`"
            raise ValueError(
                "auto is the accuracy that a probe may lose against all rows, at most "
                f"{LARGEST_MARGIN:g}" + (f"; {remedy}" if margin <= 1.0 else "")
            )
        return margin

    @model_validator(mode="before")
    @classmethod
    def _from_text(cls, budget: Any) -> Any:
        if isinstance(budget, (int, float)) and not isinstance(budget, bool):
            return {"count" if isinstance(budget, int) else "fraction": budget}
        if not isinstance(budget, str):
            return budget
        match = _FORM.fullmatch(budget.strip())
        key, level, number, unit = match.groups() if match else (None,) * 4
        try:
            if key:
                return {key: _LEVELS[key] if level is None else float(level)}
            value = float(number or "")
        except ValueError:
            raise ValueError(f"a budget is {ALLOWED}, not {budget!r}") from None
        if unit == "%":
            return {"fraction": value / 100.0}
        if unit is None and not value.is_integer():
            return {"fraction": value}
        return {"tokens" if unit else "count": int(value)}

    @model_validator(mode="after")
    def _one_of_five(self) -> BudgetConfig:
        if sum(value is not None for value in self.model_dump().values()) != 1:
            raise ValueError("give exactly one of count, fraction, tokens, coverage and auto")
        return self

    def __str__(self) -> str:
        """Return the budget as text that `BudgetConfig` reads."""
        if self.fraction is not None:
            return f"{100.0 * self.fraction:.12g}%"
        if self.tokens is not None:
            return f"{self.tokens}tokens"
        if self.coverage is not None:
            return f"coverage:{self.coverage:g}"
        return str(self.count) if self.count is not None else f"auto:{self.auto:g}"

    def size(self, pool: int) -> int | None:
        """Return the samples to take of a pool of `pool`; None where a search or probe decides.

        Raises:
            UsageError: more samples than there are, or a pool without any.
        """
        if not pool:
            message = "the pool has no sample left to select from; see the view `funnel`"
            raise UsageError(message, code="budget_invalid", budget=str(self), pool=0)
        if self.count is not None:
            check_budget(self.count, pool)
        if self.fraction is not None:
            return max(1, int(self.fraction * pool + 0.5))
        return self.count


def check_budget(budget: int, pool: int, unit: str = "samples") -> None:
    """Refuse a budget that is more than the pool has.

    Raises:
        UsageError: it is.
    """
    if budget > pool:
        message = f"the budget is {budget} {unit}, the pool has {pool}; ask for at most that many"
        raise UsageError(message, code="budget_invalid", budget=budget, pool=pool, unit=unit)


def estimate_tokens(samples: pa.Table, image_tokens: int = 0) -> Indices:
    """Return the estimated tokens (n,) of SAMPLES rows, without a tokenizer.

    UTF-8 bytes of all turns / 4, rounded up: near what byte-pair vocabularies make of English
    prose, and of Chinese, whose letters have three bytes. Roles and templates count nothing, a
    picture counts `image_tokens`.
    """
    parts = [np.zeros(0, np.int64)]
    # Batch by batch, since all turns together may be more than one Arrow array can hold.
    for batch in samples.select(["messages", "images"]).to_batches():
        content = pc.struct_field(pc.list_flatten(batch["messages"]), "content")
        size = pc.fill_null(pc.binary_length(content), 0).to_numpy(zero_copy_only=False)
        row = pc.list_parent_indices(batch["messages"]).to_numpy()
        total = np.bincount(row, weights=size, minlength=batch.num_rows).astype(np.int64)
        pictures = pc.fill_null(pc.list_value_length(batch["images"]), 0)
        pictures = pictures.to_numpy(zero_copy_only=False).astype(np.int64)
        parts.append(-(-total // BYTES_PER_TOKEN) + image_tokens * pictures)
    return np.concatenate(parts)
