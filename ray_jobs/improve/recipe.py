"""Define the recipe of `medsift improve`: its rounds, and what is trained in them."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import model_validator

from curation.improve.settings import ImproveConfig
from evaluation.benchmarks import AnyBenchmark
from evaluation.benchmarks.manifest import ManifestSplit
from evaluation.records import ORIGINAL
from ray_jobs.evaluation_models import OUTER_KEYS, TrainedEvaluation, dump_without
from ray_jobs.study.recipe import StudyTraining


class ImproveEvaluation(TrainedEvaluation):
    """Settings of how a fine-tuned model is asked; the improvement says about which samples."""

    benchmarks: tuple[AnyBenchmark, ...] = (ManifestSplit(path="."),)
    """The improvement asks about its own samples, so leave this out."""

    @model_validator(mode="after")
    def _refuse_other_questions(self) -> ImproveEvaluation:
        if "benchmarks" in self.model_fields_set:
            raise ValueError("the improvement asks about its own samples; leave out benchmarks")
        if set(self.variants) != {ORIGINAL}:
            raise ValueError("the improvement asks each sample as it is; leave out variants")
        return self


class ImproveRecipe(ImproveConfig):
    """Settings of an improvement: rounds that move quotas by errors, and what is trained."""

    trainer: Literal["probe", "lora"] = "probe"
    """What is trained on each selection: the probe of `medsift probe`, or adapters of a model."""
    training: StudyTraining | None = None
    """Every fine-tuning of trainer `lora`: a training recipe without what differs."""
    evaluation: ImproveEvaluation = ImproveEvaluation()
    """How the fine-tuned model is asked."""

    @model_validator(mode="after")
    def _trainer_has_its_settings(self) -> ImproveRecipe:
        if (self.trainer == "lora") != (self.training is not None):
            raise ValueError("give `training` with trainer: lora, and with no other trainer")
        return self

    def learner(self) -> dict[str, Any]:
        """Return what decides the learner, as JSON-able values."""
        if self.training is None:
            return {"trainer": self.trainer}
        training = self.training.with_first_names(self.training.model_dump(mode="json"))
        return {
            "trainer": self.trainer,
            "training": training,
            "evaluation": dump_without(self.evaluation, OUTER_KEYS),
        }

    def rounds_alone(self) -> ImproveConfig:
        """Return the settings without those of a fine-tuned learner."""
        return ImproveConfig.model_validate(
            {name: getattr(self, name) for name in ImproveConfig.model_fields}
        )
