"""Define the recipe of `medsift construct`: the teacher, what it is asked, and what is accepted."""

from __future__ import annotations

from pathlib import Path
from typing import Final, Literal, cast

from pydantic import Field, field_validator, model_validator

from curation.construct.gates import GatesConfig
from medsift import records
from medsift.config import Config
from medsift.endpoint.settings import EndpointConfig
from medsift.storage.local_paths import AnyPath, LocalPath
from medsift.storage.mirror import is_mirrored

Kind = Literal[
    "plain", "reflective", "corrected", "label_told", "rewrite", "caption_to_qa", "quality"
]
Purpose = Literal["reasoning", "rewrite", "caption_to_qa", "quality"]
ALONE: Final = ("rewrite", "caption_to_qa", "quality")
"""Kinds that are asked for in a recipe of their own."""


class PriceConfig(Config):
    """Settings of what calls cost, in any currency."""

    prompt_per_million: float = Field(ge=0.0)
    """Price of a million tokens of prompts."""
    reply_per_million: float = Field(ge=0.0)
    """Price of a million tokens of replies."""


class TeacherConfig(EndpointConfig):
    """Settings of the teacher: a model behind an OpenAI-compatible endpoint.

    Its key is read where the requests are sent, and is no part of a recipe, a log, an error, a
    fingerprint or a file.
    """

    parallel: int = Field(32, ge=1, le=256)
    """Most requests at once: the number grows by one after 20 good ones, from 8, and halves when
    the endpoint is busy."""
    max_pixels: int = Field(1_003_520, ge=1)
    """Pixels to which larger pictures are scaled down."""
    max_tokens: int = Field(2048, ge=1)
    """Tokens after which a reply is cut; one that is cut is never accepted."""
    temperature: float = Field(1.0, ge=0.0)
    """Temperature of sampling; at 0 further attempts say the same."""
    top_p: float = Field(0.95, gt=0.0, le=1.0)
    """Share of the likeliest words that are sampled from."""
    price: PriceConfig | None = None
    """What calls cost; nothing is said about costs when not given."""


class JudgeConfig(EndpointConfig):
    """Settings of a judge, asked where no rule decides: another model than the teacher."""

    max_tokens: int = Field(512, ge=1)
    """Tokens after which a judgement is cut."""


class BlindConfig(Config):
    """Settings of attempts without the picture."""

    attempts: int = Field(4, ge=0)
    """Attempts without the picture for each sample with an accepted one; 0 for none. A sample is
    text-solvable where half of them or more are right."""
    share: float = Field(0.2, ge=0.0, le=1.0)
    """Most that text-solvable samples are of all traces."""


class ConstructRecipe(Config):
    """Settings of a construction: what a teacher is asked about the samples of a selection."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$")
    """Name of the construction: letters, digits, `_` and `-`."""
    run: AnyPath
    """Directory of a curated run; tables and new samples are added to it."""
    selection: str | None = None
    """Selection of the samples that are asked about; the newest when not given."""
    teacher: TeacherConfig
    judge: JudgeConfig | None = None
    """A judge of answers that no rule decides, asked in both orders; none when not given."""
    attempts: int = Field(8, ge=1, le=64)
    """Most attempts for each sample."""
    accepted: int = Field(2, ge=1)
    """Accepted attempts after which a sample is asked no more."""
    kinds: tuple[Kind, ...] = ("plain", "reflective", "corrected")
    """Kinds of traces. `label_told`, off by default, asks once more with the right answer where no
    attempt was accepted; such traces are marked. Each of `rewrite` (terse answers as sentences),
    `caption_to_qa` (questions from captions) and `quality` (grades on five dimensions, no new
    samples) is asked for alone."""
    sparse_words: int = Field(3, ge=0)
    """Most words of an answer that tells little: such rows are asked for reflective reasoning, if
    their `multimodal_gain`, where the run has it, is in the lower half. Without kind `plain` every
    row is. They alone are rewritten."""
    questions: int = Field(4, ge=1, le=20)
    """Most questions made of each caption, by kind `caption_to_qa`."""
    caption_tasks: tuple[str, ...] = ("caption",)
    """Tags `task_type` of the samples whose answer is a caption."""
    seed: int = Field(0, ge=0)
    """Seed of the order of options."""
    corrected_share: float = Field(0.1, ge=0.0, le=1.0)
    """Most that corrected traces are of all traces."""
    blind: BlindConfig = BlindConfig()
    gates: GatesConfig = GatesConfig()
    expected_acceptance: float = Field(0.5, gt=0.0, le=1.0)
    """Share of attempts that are expected to be accepted, for the projection before the start."""
    expected_tokens: int = Field(400, ge=1)
    """Tokens that a reply is expected to have, for the projection."""
    replies: LocalPath | None = None
    """Folder on a disk where replies are kept, so that none is asked for twice; `replies` in the
    run directory when not given. A run in a store needs it."""

    @field_validator("kinds")
    @classmethod
    def _kinds_can_be_asked(cls, kinds: tuple[Kind, ...]) -> tuple[Kind, ...]:
        if alone := set(ALONE) & set(kinds):
            if len(set(kinds)) > 1:
                raise ValueError(f"{min(alone)} is asked for alone; make a recipe for each")
            return kinds[:1]
        if not {"plain", "reflective"} & set(kinds):
            raise ValueError("name plain, reflective or both; the other kinds follow from them")
        return tuple(dict.fromkeys(kinds))

    @model_validator(mode="after")
    def _judge_is_another_model(self) -> ConstructRecipe:
        if self.judge is not None and self.judge.model == self.teacher.model:
            raise ValueError("judge.model is the teacher's; a judge must be another model")
        if is_mirrored(self.run) and self.replies is None:
            raise ValueError("give `replies`, a folder on a disk: the run is in a store")
        return self

    @property
    def purpose(self) -> Purpose:
        """What the teacher is asked for: reasoning, or one of the kinds that are asked alone."""
        return cast("Purpose", self.kinds[0]) if self.kinds[0] in ALONE else "reasoning"

    @property
    def replies_dir(self) -> Path:
        """The folder where replies are kept."""
        return self.replies if self.replies is not None else self.run / "replies"

    def fingerprint(self) -> str:
        """Return the digest of what decides the traces; not of where, how fast or for how much."""
        aside = {"url", "key_variable", "parallel", "timeout_s", "retries", "backoff_s"}
        settings = self.model_dump(
            mode="json",
            exclude={
                "run": True,
                "replies": True,
                "expected_acceptance": True,
                "expected_tokens": True,
                "teacher": aside | {"price"},
                "judge": aside,
            },
        )
        return records.fingerprint(settings)
