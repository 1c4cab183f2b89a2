"""Settings of a selection's size: samples, a share, tokens, or a coverage."""

from __future__ import annotations

import re
from typing import Any, Final

from pydantic import Field, model_validator

from medsift.config import Config
from medsift.errors import UsageError

LEVEL: Final = 0.9
_FORM: Final = re.compile(r"(auto)(?::(.+))?|(.+?)\s*(%|tokens)?", re.DOTALL)
ALLOWED: Final = "500, 20%, 100000tokens, auto or auto:0.9"


class BudgetConfig(Config):
    """Exactly one of four. As text: `500`, `20%`, `100000tokens`, `auto` or `auto:0.9`."""

    count: int | None = Field(default=None, ge=1)
    """Samples."""
    fraction: float | None = Field(default=None, gt=0.0, le=1.0)
    """Share of the pool's samples, rounded to the nearest number, at least 1."""
    tokens: int | None = Field(default=None, ge=1)
    """A selection whose estimated tokens stay within this, where the next larger one's do not."""
    auto: float | None = Field(default=None, gt=0.0, le=1.0)
    """A selection that covers this share of the pool's neighbour graph, where one sample fewer does
    not. That is the smallest wherever coverage grows with size; see `docs/selection.md`."""

    @model_validator(mode="before")
    @classmethod
    def _from_text(cls, given: Any) -> Any:
        if isinstance(given, (int, float)) and not isinstance(given, bool):
            return {"count" if isinstance(given, int) else "fraction": given}
        return _parsed(given) if isinstance(given, str) else given

    @model_validator(mode="after")
    def _one_of_four(self) -> BudgetConfig:
        if sum(value is not None for value in self.model_dump().values()) != 1:
            raise ValueError("give exactly one of count, fraction, tokens and auto")
        return self

    def __str__(self) -> str:
        """The budget as text that `BudgetConfig` reads."""
        if self.fraction is not None:
            return f"{100.0 * self.fraction:.12g}%"
        if self.tokens is not None:
            return f"{self.tokens}tokens"
        return str(self.count) if self.count is not None else f"auto:{self.auto:g}"

    def size(self, pool: int) -> int | None:
        """Samples of a pool of `pool`; None where tokens or coverage decide.

        Raises:
            UsageError: more samples than there are, or a pool without any.
        """
        if not pool:
            raise UsageError(
                "the pool has no sample left to select from; see the view `funnel`",
                code="budget_invalid",
            )
        if self.count is not None and self.count > pool:
            raise UsageError(
                f"the budget is {self.count} samples, the pool has {pool}; ask for at most that "
                "many",
                code="budget_invalid",
            )
        if self.fraction is not None:
            return max(1, int(self.fraction * pool + 0.5))
        return self.count


def _parsed(text: str) -> dict[str, float | int]:
    found = _FORM.fullmatch(text.strip())
    auto, level, number, unit = found.groups() if found else (None,) * 4
    if auto:
        return {"auto": LEVEL if level is None else _number(level, text)}
    value = _number(number or "", text)
    if unit == "%":
        return {"fraction": value / 100.0}
    if unit is None and not value.is_integer():
        return {"fraction": value}
    return {"tokens" if unit else "count": int(value)}


def _number(digits: str, text: str) -> float:
    try:
        return float(digits)
    except ValueError:
        raise ValueError(f"a budget is {ALLOWED}, not {text!r}") from None
