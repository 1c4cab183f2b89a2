"""Settings of the scores of a run: which scorers there are, and how their scores combine."""

from __future__ import annotations

import difflib
from typing import Any, Final

from pydantic import Field, field_validator, model_validator

from curation.scoring import AnyScorer
from curation.scoring.skills import SkillsConfig
from medsift.config import Config

QUALITY: Final = "quality"
"""Name of the combined score."""


class ScoresConfig(Config):
    """Settings of the scores that a run computes, and how they combine."""

    scorers: tuple[AnyScorer, ...] = ()
    """Scorers, each at most once; none when not given."""
    weights: dict[str, float] = Field(default_factory=dict)
    """Weights of the scorers' percentiles in the combined score `quality`; without weights there is
    no such score."""

    skills: SkillsConfig | None = None
    """Model whose neurons group the samples into skills, a key of quotas; none when not given."""

    @field_validator("scorers")
    @classmethod
    def _kinds_differ(cls, scorers: tuple[Any, ...]) -> tuple[Any, ...]:
        kinds = [scorer.kind for scorer in scorers]
        for kind in kinds:
            if kinds.count(kind) > 1:
                raise ValueError(f"scorer {kind!r} is listed twice; keep one of them")
        return scorers

    @model_validator(mode="after")
    def _weights_fit(self) -> ScoresConfig:
        names = [scorer.kind for scorer in self.scorers]
        for name, weight in self.weights.items():
            if name not in names:
                close = difflib.get_close_matches(name, names, n=1)
                known = f"scorers: {', '.join(names) or 'none'}"
                hint = f"did you mean {close[0]!r}?" if close else known
                raise ValueError(f"weight of {name!r}, which is no scorer of this recipe; {hint}")
            if not 0.0 <= weight < float("inf"):
                raise ValueError(f"weight of {name!r} is {weight}; allowed is 0 or more")
        if self.weights and not sum(self.weights.values()) > 0.0:
            raise ValueError("weights sum to 0; give one scorer a weight, or leave `weights` out")
        return self
