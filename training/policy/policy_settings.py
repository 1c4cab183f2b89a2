"""Define the settings of policy optimisation."""

from __future__ import annotations

from typing import Final, Literal

from pydantic import Field, model_validator

from medsift.config import Config
from training.policy.losses import Clipping, LossName, Scale

AnswerType = Literal["closed", "choice", "open"]

USUAL_CLIPPING: Final[dict[LossName, Clipping]] = {
    "grpo": Clipping(0.2, 0.2),
    "dr_grpo": Clipping(0.2, 0.2),
    "dapo": Clipping(0.2, 0.28),
    "gspo": Clipping(3e-4, 4e-4),
}
"""What the papers of the losses use, or TRL where a paper leaves it open."""


class PolicyConfig(Config):
    """Settings of policy optimisation: what is drawn, what is rewarded, and the loss."""

    loss: LossName = "dapo"
    """`grpo`, `dapo`, `dr_grpo` or `gspo`; see `training.policy.losses`."""
    prompts: int = Field(8, ge=1)
    """Prompts of a step, of all workers together."""
    group: int = Field(8, ge=4)
    """Replies to each prompt. With two, an advantage would be the same whatever the rewards."""
    max_new_tokens: int = Field(64, ge=1)
    """Tokens after which a reply is cut."""
    temperature: float = Field(1.0, gt=0.0)
    """Temperature at which replies are drawn."""
    updates: int = Field(1, ge=1)
    """Optimiser updates that share the replies of a step; each takes its part of the prompts."""
    epsilon_low: float | None = Field(None, gt=0.0, lt=1.0)
    """How far below 1 the ratio of probabilities counts; that of the loss's paper by default."""
    epsilon_high: float | None = Field(None, gt=0.0)
    """How far above 1 it counts; that of the loss's paper by default."""
    scale: Scale | None = None
    """Whether advantages are divided by the standard deviation of their group; when not given, by
    every loss but `dr_grpo`."""
    mask_truncated: bool = True
    """Leave replies that were cut out of the loss."""
    refills: int = Field(3, ge=0)
    """Other prompts that are tried in place of one that earns the same with every reply."""
    answer_types: tuple[AnswerType, ...] = ("closed", "choice")
    """Kinds of questions that are asked: those with answers that a rule can check."""
    format_weight: float = Field(0.1, ge=0.0, le=1.0)
    """Share of the reward for a complete reply that an answer can be read from; the right answer
    earns the rest."""
    overlong: int | None = Field(None, ge=1)
    """Tokens before the limit in which a reply loses up to half a point, in proportion (arXiv
    2503.14476); null takes nothing away."""
    blank_share: float = Field(0.1, ge=0.0, le=1.0)
    """Share of prompts with pictures that are also asked with blank ones, which nothing learns
    from: it shows whether the reward needs the picture."""

    @model_validator(mode="after")
    def _updates_have_prompts(self) -> PolicyConfig:
        if self.updates > self.prompts:
            raise ValueError(f"updates is {self.updates}, more than prompts, {self.prompts}")
        if self.overlong is not None and self.overlong > self.max_new_tokens:
            raise ValueError(
                f"overlong is {self.overlong}, more than max_new_tokens, {self.max_new_tokens}"
            )
        return self

    @property
    def clipping(self) -> Clipping:
        """How far ratios of probabilities count."""
        usual = USUAL_CLIPPING[self.loss]
        return Clipping(self.epsilon_low or usual.low, self.epsilon_high or usual.high)

    @property
    def scaled_by(self) -> Scale:
        """What advantages are divided by."""
        return self.scale or ("none" if self.loss == "dr_grpo" else "group")
