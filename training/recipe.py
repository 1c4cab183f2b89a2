"""Define the recipe of a fine-tuning: what is trained on what, as one frozen, validated value."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Final, Literal

from pydantic import ConfigDict, Field, field_validator, model_validator

from medsift import recipe_yaml, records
from medsift.config import Config
from medsift.leakage_groups import Level
from medsift.models.language_model import Precision
from medsift.storage.local_paths import AnyPath
from medsift.vocabulary import SplitName, plain_split
from training.model.base_model import AnyBase
from training.policy.policy_settings import PolicyConfig
from training.preference.preference_settings import PreferenceConfig

ALL_LINEAR: Final = "all-linear"
MIXED_BY: Final = ("source", "stratum", *records.TAGS)
PROJECTOR: Final = "multi_modal_projector"


class LoraConfig(Config):
    """Settings of the weights that learn: low-rank adapters (arXiv 2106.09685), or all of them."""

    renamed_keys: ClassVar[Mapping[str, str]] = {"also": "modules_to_save"}

    full: bool = False
    """Train the weights themselves instead of adapters."""
    rank: int = Field(16, ge=1)
    """Rank of the adapters' matrices; higher ranks learn more and need more memory."""
    alpha: int = Field(32, ge=1)
    """Adapters are scaled by alpha / rank, or alpha / sqrt(rank) with `rslora`."""
    dropout: float = Field(0.0, ge=0.0, lt=1.0)
    """Share of an adapter's inputs that are set to zero at random during training."""
    targets: str = ALL_LINEAR
    """Layers that get adapters: `all-linear` of the language model (and of a trained vision
    tower), or a regular expression that fits complete module names."""
    modules_to_save: tuple[str, ...] | None = None
    """Complete modules that are trained next to the adapters, by the end of their names.

    When not given, the projector of the embedded model, which starts from random numbers.
    """
    dora: bool = False
    """Learn a weight's magnitude apart from its direction (arXiv 2402.09353)."""
    rslora: bool = False
    """Scale adapters so that high ranks keep learning (arXiv 2312.03732)."""
    quantise: Literal["4bit"] | None = None
    """Load the frozen base in 4 bits (QLoRA, arXiv 2305.14314); needs a GPU and bitsandbytes."""

    @field_validator("targets")
    @classmethod
    def _targets_compile(cls, targets: str) -> str:
        try:
            re.compile(targets)
        except re.error as error:
            raise ValueError(f"neither {ALL_LINEAR} nor a regular expression: {error}") from error
        return targets

    @model_validator(mode="after")
    def _full_stands_alone(self) -> LoraConfig:
        asked = [name for name in ("dora", "rslora", "quantise") if getattr(self, name)]
        if self.full and asked:
            raise ValueError(f"full trains the weights themselves; leave out {', '.join(asked)}")
        return self


class MixtureConfig(Config):
    """Settings of a mixture: how much each source, stratum or value of a tag counts."""

    model_config = ConfigDict(serialize_by_alias=True)
    renamed_keys: ClassVar[Mapping[str, str]] = {"tag": "by"}

    by: str = "source"
    """Column whose values are mixed: `source`, `stratum` or a tag such as `body_part`."""
    weights: dict[str, float] = Field(default_factory=dict)
    """Weight of each sample of a value, which multiplies its own; 1 for values not named."""
    shares: dict[str, float] = Field(default_factory=dict)
    """Instead of `weights`: the relative total weight of each value, however many samples it has;
    every value that the selection has must be named."""
    as_: Literal["loss", "sampling"] | None = Field(None, alias="as")
    """What the weights do: `loss` multiplies the loss by them, `sampling` draws samples in
    proportion to them. When not given, as `data.weights`, or `loss` where that is `none`."""

    @field_validator("by")
    @classmethod
    def _by_is_known(cls, by: str) -> str:
        if by not in MIXED_BY:
            near = difflib.get_close_matches(by, MIXED_BY, n=1)
            hint = f"did you mean {near[0]!r}? " if near else ""
            raise ValueError(f"{hint}allowed are {', '.join(MIXED_BY)}")
        return by

    @field_validator("weights", "shares")
    @classmethod
    def _numbers_are_positive(cls, given: dict[str, float]) -> dict[str, float]:
        for name, number in given.items():
            if not 0.0 < number < float("inf"):
                raise ValueError(f"that of {name!r} is {number}; give a finite number above 0")
        return given

    @model_validator(mode="after")
    def _one_of_both(self) -> MixtureConfig:
        if bool(self.weights) == bool(self.shares):
            raise ValueError("give either `weights` of samples or `shares` of the total")
        return self


class HeldOutConfig(Config):
    """Settings of held-out samples: measured, never learned from, with no picture of training."""

    renamed_keys: ClassVar[Mapping[str, str]] = {"every": "interval_steps"}

    share: float | None = Field(None, gt=0.0, lt=1.0)
    """Share of the selection to hold out, in complete groups of `level`."""
    split: SplitName | None = None
    """Split of the run to hold out instead of a share, for example ``validation``."""
    level: Level = "patient"
    """What is never cut: `image` a picture with its copies, `case` a study, `patient` a patient."""
    interval_steps: int | None = Field(None, ge=1)
    """Optimiser steps between measurements; null measures at every checkpoint. The last step is
    always measured."""

    @model_validator(mode="after")
    def _one_way(self) -> HeldOutConfig:
        if (self.share is None) == (self.split is None):
            raise ValueError("name either share or split")
        return self


class DataConfig(Config):
    """Settings of the data: what of the selection is learned, and how much each sample counts."""

    weights: Literal["loss", "sampling", "none"] = "loss"
    """What selection weights do: `loss` multiplies the loss by them, `sampling` draws samples in
    proportion to them, `none` ignores them."""
    mixture: MixtureConfig | None = None
    """How much each source, stratum or value of a tag counts; null leaves weights as selected."""
    max_tokens: int | None = Field(None, ge=1)
    """Most tokens of a sample, pictures included; longer ones are dropped, never cut. null allows
    what fits model and batch."""
    max_pixels: int | None = Field(None, ge=1)
    """Width times height in pixels to which larger pictures are scaled down; null scales none."""
    held_out: HeldOutConfig | None = None
    """Samples on which the loss is measured during training; null measures none."""

    @property
    def mixed_as(self) -> Literal["loss", "sampling"]:
        """What the weights of a mixture do."""
        if self.mixture is not None and self.mixture.as_ is not None:
            return self.mixture.as_
        return "loss" if self.weights == "none" else self.weights


class OptimiserConfig(Config):
    """Settings of the optimiser: AdamW (arXiv 1711.05101) with a warm-up."""

    renamed_keys: ClassVar[Mapping[str, str]] = {
        "also_lr": "modules_to_save_lr",
        "warmup": "warmup_ratio",
        "final": "min_lr_ratio",
        "clip": "max_grad_norm",
    }

    lr: float = Field(1e-4, gt=0.0)
    """Largest learning rate, which is reached at the end of the warm-up."""
    modules_to_save_lr: float | None = Field(None, gt=0.0)
    """Largest learning rate of the modules in `lora.modules_to_save`; `lr` when not given."""
    betas: tuple[float, float] = (0.9, 0.999)
    """How much of AdamW's running means of gradient and squared gradient each step keeps."""
    epsilon: float = Field(1e-8, gt=0.0)
    """Added to the denominator of AdamW's update, against division by zero."""
    weight_decay: float = Field(0.0, ge=0.0)
    """Decay of the trained matrices, times the learning rate, in each step; biases and norms have
    none."""
    schedule: Literal["cosine", "linear", "constant"] = "cosine"
    """How the learning rate falls after the warm-up."""
    warmup_ratio: float = Field(0.03, ge=0.0, le=1.0)
    """Share of the steps over which the learning rate rises from 0."""
    min_lr_ratio: float = Field(0.0, ge=0.0, le=1.0)
    """Share of the learning rate that is left at the end."""
    max_grad_norm: float | None = Field(1.0, gt=0.0)
    """Norm to which a larger gradient is scaled down; null never scales it."""

    @field_validator("betas")
    @classmethod
    def _betas_are_below_one(cls, betas: tuple[float, float]) -> tuple[float, float]:
        if not all(0.0 <= beta < 1.0 for beta in betas):
            raise ValueError("both must be from 0 to below 1")
        return betas


class BatchesConfig(Config):
    """Settings of batches. A step is `grad_accumulation_steps` batches of every worker."""

    renamed_keys: ClassVar[Mapping[str, str]] = {
        "tokens": "max_tokens",
        "samples": "max_samples",
        "accumulation": "grad_accumulation_steps",
    }

    max_tokens: int = Field(8192, ge=1)
    """Most tokens of one batch on one device, padding included."""
    max_samples: int = Field(16, ge=1)
    """Most samples of one batch."""
    grad_accumulation_steps: int = Field(1, ge=1)
    """Batches of a worker that make up a step."""
    grouped: bool = True
    """Put samples of similar length together, which saves padding."""
    packing: bool = False
    """Put several samples in one row, none of which sees another."""


class CheckpointsConfig(Config):
    """Settings of checkpoints, which are kept to resume from and to evaluate."""

    renamed_keys: ClassVar[Mapping[str, str]] = {"every": "interval_steps"}

    interval_steps: int | None = Field(100, ge=1)
    """Optimiser steps between checkpoints; null keeps only the last, which is always kept."""
    keep: int = Field(2, ge=1)
    """Newest checkpoints that stay; the best on held-out samples stays as well."""
    storage: str | None = None
    """Folder or URL of trainings; `trainings` in the run directory when not given."""


class EarlyStoppingConfig(Config):
    """Settings of an early end, once the held-out loss stops falling; the best step then counts."""

    renamed_keys: ClassVar[Mapping[str, str]] = {"delta": "min_delta"}

    patience: int = Field(3, ge=1)
    """Measurements in a row without a new best."""
    min_delta: float = Field(0.0, ge=0.0)
    """Nats per token by which a new best must be lower."""


class LogConfig(Config):
    """Settings of the curves: where they go, in addition to JSON Lines and the manifest."""

    renamed_keys: ClassVar[Mapping[str, str]] = {"every": "interval_steps"}

    interval_steps: int = Field(1, ge=1)
    """Optimiser steps between two lines."""
    tensorboard: bool = True
    """Write TensorBoard's event files into the training's folder."""
    mlflow: str | None = None
    """Experiment of MLflow; its place is MLflow's own MLFLOW_TRACKING_URI."""
    wandb: str | None = None
    """Project of Weights & Biases."""


class WorkersConfig(Config):
    """Settings of the workers, which share a step's batches; their number changes nothing else."""

    renamed_keys: ClassVar[Mapping[str, str]] = {"least": "min_count"}

    count: int = Field(1, ge=1)
    """Workers that train together; with `min_count` the most of them."""
    min_count: int | None = Field(None, ge=1)
    """Continue with as few workers as this when some are lost; null needs `count` workers."""
    restarts: int = Field(3, ge=0)
    """How often lost workers are replaced before giving up."""
    shared_disk: bool = False
    """Whether all nodes of a cluster have the folders named here under the same paths, as on a
    network disk. A cluster of several nodes needs that, or the URL of a store for the run; what is
    said here is proved before anything runs."""
    gpus: bool | None = None
    """Whether each worker has a GPU; null uses GPUs where there are any."""
    strategy: Literal["ddp", "fsdp"] = "ddp"
    """`ddp` gives every worker a complete model, `fsdp` shares the weights out over the workers."""
    decoding: Literal["threads", "ray_data"] = "threads"
    """Pictures are decoded by threads of every worker, or stream to it from Ray Data, on CPUs that
    the workers leave free, of the whole cluster; a training without Ray has threads."""

    @property
    def streams(self) -> bool:
        """Whether Ray Data decodes."""
        return self.decoding == "ray_data"

    @model_validator(mode="after")
    def _min_count_is_no_more(self) -> WorkersConfig:
        if self.min_count is not None and self.min_count > self.count:
            raise ValueError(f"min_count is {self.min_count}, more than count, {self.count}")
        return self


class TrainingRecipe(Config):
    """Settings of a fine-tuning. Equal recipes on equal selections give equal adapters on a CPU."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")
    """Name of the training; its id begins with it."""
    seed: int = Field(0, ge=0)
    """Seed of the adapters' first weights, the order of samples and dropout."""
    run: AnyPath
    """Run directory (or manifest file), or its URL, that has the selection."""
    run_id: str | None = None
    """Run within it; the newest that has the selection when not given."""
    selection: str | None = None
    """Selection to train on; the newest one when not given."""
    objective: Literal["sft", "grpo", "dpo"] = "sft"
    """`sft` learns the selection's answers; `grpo` asks its questions, and learns from the rewards
    of the model's own replies; `dpo` learns to prefer stored right replies to wrong ones."""
    policy: PolicyConfig = PolicyConfig()
    """How `grpo` draws replies, rewards them and learns."""
    preference: PreferenceConfig = PreferenceConfig()
    """Where `dpo` takes its pairs of replies from, and how it learns."""
    base: AnyBase
    """Model that the training starts from."""
    lora: LoraConfig = LoraConfig()
    """Which weights learn: low-rank adapters, or all of them."""
    trainable: Literal["adapters", "projector"] = "adapters"
    """`adapters` learn as `lora` says; `projector` is the first stage of a vision-language model:
    what leads from the vision tower to the language model learns, and nothing else. Its result is a
    complete model. `lora.modules_to_save` names the projector where it is not known."""
    vision: Literal["frozen", "trained"] = "frozen"
    """Whether the vision tower learns: its own adapters, or its weights with `lora.full`."""
    data: DataConfig = DataConfig()
    """What of the selection is learned, and how much each sample counts."""
    optimiser: OptimiserConfig = OptimiserConfig()
    """Learning rate, decay and gradient clipping of AdamW."""
    batches: BatchesConfig = BatchesConfig()
    """How samples are put into batches, and batches into steps."""
    steps: int | None = Field(None, ge=1)
    """Optimiser steps in all, instead of `epochs`."""
    epochs: float | None = Field(None, gt=0.0)
    """Passes over the selection; 1 when none of `steps`, `epochs` and `pairs` is given."""
    pairs: int | None = Field(None, ge=1)
    """Samples seen in all, repeats counted, instead of `epochs`: equal budgets for mixtures of
    different sizes. The last batch may see a few more."""
    precision: Precision = "auto"
    """Arithmetic; `auto` is bfloat16 on a GPU that has it, float32 elsewhere."""
    gradient_checkpointing: bool = False
    """Compute activations twice instead of keeping them: slower, in less memory."""
    checkpoints: CheckpointsConfig = CheckpointsConfig()
    """What is kept to resume from and to evaluate."""
    early_stopping: EarlyStoppingConfig | None = None
    """When to end before the last step; null never does."""
    log: LogConfig = LogConfig()
    """Where the curves go."""
    workers: WorkersConfig = WorkersConfig()
    """How many workers train, on what."""
    benchmarks: tuple[str, ...] = ()
    """Benchmarks that the result will be compared with: nothing of theirs may be trained on."""
    leaks: Literal["refuse", "drop"] = "refuse"
    """What to do with selected samples that are in a benchmark, or near one and undecided: refuse
    to train, or leave them out."""
    allow_contaminated: bool = False
    """Train despite known or unchecked leaks, which every result then states."""

    @field_validator("benchmarks")
    @classmethod
    def _splits_have_one_name(cls, benchmarks: tuple[str, ...]) -> tuple[str, ...]:
        # `split:val` and `split:validation` are one benchmark, and one training.
        named = [benchmark.partition("split:") for benchmark in benchmarks]
        return tuple(
            f"split:{plain_split(split)}" if mark and not head else f"{head}{mark}{split}"
            for head, mark, split in named
        )

    @model_validator(mode="after")
    def _parts_agree(self) -> TrainingRecipe:
        ends = [name for name in ("steps", "epochs", "pairs") if getattr(self, name) is not None]
        if len(ends) > 1:
            raise ValueError(f"name one of {' and '.join(ends)}")
        if self.trainable == "projector":
            self._projector_alone()
        if self.early_stopping is not None and self.data.held_out is None:
            raise ValueError("early_stopping needs data.held_out")
        if self.objective != "sft":
            self._replies_fit()
        return self

    def _projector_alone(self) -> None:
        """Raise ValueError for settings of other weights, and for a base that sees nothing."""
        others = {
            "lora.full: true": self.lora.full,
            "lora.quantise": self.lora.quantise is not None,
            "vision: trained": self.vision == "trained",
            f"objective: {self.objective}": self.objective != "sft",
        }
        if asked := [name for name, given in others.items() if given]:
            raise ValueError(f"trainable: projector trains nothing else; leave out {asked[0]}")
        if self.base.kind == "embedded":
            raise ValueError("trainable: projector needs a base that sees, such as embedded_vlm")

    def _replies_fit(self) -> None:
        """Raise ValueError for settings that have no meaning where replies are learned from."""
        if self.pairs is not None:
            raise ValueError(
                f"pairs counts samples that are seen, and objective: {self.objective} sees replies;"
                " name steps or epochs"
            )
        if self.batches.packing:
            raise ValueError(
                f"objective: {self.objective} learns from replies; set batches.packing: false"
            )
        if self.workers.strategy == "fsdp":
            raise ValueError(
                f"objective: {self.objective} needs the complete model on each worker; set "
                "workers.strategy: ddp"
            )
        if self.objective == "dpo":
            if self.lora.full:
                raise ValueError(
                    "objective: dpo compares with the model before training, which is the one "
                    "without adapters; set lora.full: false"
                )
            return
        if self.workers.streams:
            raise ValueError("objective: grpo decodes pictures; set workers.decoding: threads")
        if self.data.weights == "loss" and self.data.mixture is not None:
            raise ValueError(
                "objective: grpo knows no weights of a loss; set data.weights: sampling"
            )

    @property
    def preferences(self) -> PreferenceConfig | None:
        """Where pairs of replies come from; None for an objective that needs none."""
        return self.preference if self.objective == "dpo" else None

    @property
    def passes(self) -> float | None:
        """Passes over the selection; None where `steps` or `pairs` decides."""
        return self.epochs or 1.0 if self.steps is None and self.pairs is None else None

    @property
    def complete(self) -> bool:
        """Whether the result is a complete model, and no adapter."""
        return self.lora.full or self.trainable == "projector"

    @property
    def modules_to_save(self) -> tuple[str, ...]:
        """Complete modules that are trained next to adapters."""
        if self.lora.modules_to_save is not None or self.complete:
            return self.lora.modules_to_save or ()
        return (PROJECTOR,) if self.base.kind == "embedded_vlm" else ()

    def decisive(self) -> dict[str, Any]:
        """Return what decides the result, for fingerprints: no paths, logs or machines."""
        left_out = {"run", "log", "checkpoints", "workers", "benchmarks", "leaks"}
        # What is known of leaks enters the fingerprint by itself; see `open_training`.
        left_out |= {"allow_contaminated"}
        settings = self.with_first_names(self.model_dump(mode="json", exclude=left_out))
        settings["base"] = self.base.fingerprint()
        # Trainings from before there were other objectives keep their identity.
        if self.objective == "sft":
            del settings["objective"]
        for name, objective in (("policy", "grpo"), ("preference", "dpo")):
            if self.objective != objective:
                del settings[name]
        for name, usual in (("trainable", "adapters"), ("pairs", None)):
            if settings[name] == usual:
                del settings[name]
        # Only the product with the number of workers decides, which is added below.
        del settings["batches"]["accumulation"]
        return settings | {"batches_per_step": self.batches_per_step}

    @property
    def batches_per_step(self) -> int:
        """Batches of one optimiser step, of all workers together."""
        return self.batches.grad_accumulation_steps * self.workers.count

    @property
    def held_out_split(self) -> str | None:
        """The split of the run that is measured and never learned from, where one is named."""
        return self.data.held_out.split if self.data.held_out else None


def load_training(path: Path, overrides: Sequence[str] = ()) -> TrainingRecipe:
    """Load the recipe of a YAML file; see `recipe_yaml.load`. Raises RecipeError."""
    return recipe_yaml.load(TrainingRecipe, path, overrides)
