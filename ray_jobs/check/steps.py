"""Plan the steps of each kind of recipe: rows, tokens, arithmetic, disk, and what is not there."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from curation.construct.projection import expected_draws
from curation.construct.settings import ConstructRecipe
from curation.recipe import Recipe, load_recipe
from evaluation.recipe import EvaluationRecipe
from medsift.config import Config
from medsift.errors import MedSiftError
from ray_jobs.actions.tune import TuningRecipe, training_of
from ray_jobs.check.amounts import (
    ASSUMED_ONE,
    ONE,
    Amount,
    model_is_here,
    parameters,
    picture_tokens,
    selection_amount,
    source_amount,
)
from ray_jobs.check.plan import Plan, Step
from ray_jobs.cli_args import recipe_path
from ray_jobs.rollouts.recipe import RolloutsRecipe
from ray_jobs.stages.recipe import StagesRecipe
from ray_jobs.study.recipe import StudyRecipe
from training.recipe import TrainingRecipe

if TYPE_CHECKING:
    from curation.sources.reader import Reader

ENCODERS: Final = {"embedded": (4e6, 49, 22e6), "open_clip": (86e6, 197, 110e6)}
"""Parameters of the picture's tower, its tokens, and parameters of the text's tower."""
STORED_ROW, STORED_PICTURE, DIMENSION = 2_000, 5_000, 512
ADAPTER_SHARE: Final = 0.01
"""Parameters of adapters of rank 16 on all linear layers, and of a projector, of the model's."""
MOMENTS: Final = 12
"""Bytes of a trained weight with its two moments."""
ITEMS: Final = 1_000
ROWS_A_PHANTOM: Final = 8
"""Questions and captions of a drawn picture, planted defects included."""


class Planner:
    """Adds the steps of recipes to a plan; knows the runs that earlier steps would make."""

    def __init__(self, plan: Plan, rows: int | None = None) -> None:
        """Take the plan, and the rows that are assumed where nothing else is known."""
        self.plan = plan
        self.rows = rows
        self.made: dict[tuple[Path, str | None], Amount] = {}
        self.drawn: Path | None = None

    def add(self, recipe: Config) -> None:
        """Add the steps of a recipe of any kind."""
        if isinstance(recipe, Recipe):
            self.curation(recipe, recipe.run_dir)
        elif isinstance(recipe, TrainingRecipe):
            self.training(recipe, f"train {recipe.name}")
        elif isinstance(recipe, EvaluationRecipe):
            self.evaluation(recipe)
        elif isinstance(recipe, TuningRecipe):
            self.tuning(recipe)
        elif isinstance(recipe, StudyRecipe):
            self.study(recipe)
        elif isinstance(recipe, RolloutsRecipe):
            self.rollouts(recipe)
        elif isinstance(recipe, ConstructRecipe):
            self.construction(recipe)
        elif isinstance(recipe, StagesRecipe):
            self.stages(recipe)
        else:
            self.plan.assume(f"the steps of medsift {self.plan.kind} are not estimated")
            if (run := getattr(recipe, "run", None)) is not None:
                self.selection(run, getattr(recipe, "selection", None))

    def curation(self, recipe: Recipe, run: Path) -> None:
        """Add reading, encoding, scoring and selecting."""
        parts = [self.source(reader) for reader in recipe.sources]
        known = [part for part in parts if part is not None]
        whole = Amount(
            sum(one.rows for one in known),
            sum(one.images for one in known),
            sum(one.text_tokens for one in known),
        )
        if len(known) < len(parts):
            wanted = [one.budget.count or 0 for one in recipe.selections]
            least = self.rows or max([*wanted, whole.rows]) or ITEMS
            rest = ONE.of(max(least - whole.rows, 0))
            whole = Amount(
                whole.rows + rest.rows,
                whole.images + rest.images,
                whole.text_tokens + rest.text_tokens,
            )
            self.plan.assume(f"{whole.rows:,} rows where not every source is there; see --rows")
            self.plan.assume(ASSUMED_ONE)
        settings = recipe.encoder.model_dump(mode="json")
        self.models(settings)
        vision, seen, words = ENCODERS.get(settings["kind"], ENCODERS["open_clip"])
        flops = 2 * (vision * seen * whole.images + words * whole.text_tokens)
        disk = whole.rows * STORED_ROW + whole.images * STORED_PICTURE
        disk += (whole.images + 2 * whole.rows) * DIMENSION * 4
        self.step("read, decode, encode", whole, whole.text_tokens, flops, "encode", disk)
        for scorer in recipe.scores.scorers:
            asked = scorer.model_dump(mode="json")
            if isinstance(model := asked.get("model"), dict):
                self.models(asked)
                tokens = 2 * whole.tokens(picture_tokens(model, None))
                n = self.size(model)
                self.step(f"score {scorer.kind}", whole, tokens, n and 2 * n * tokens, "score", 0)
        short = len(known) < len(parts)
        for one in recipe.selections:
            size = one.budget.count
            if size is None and one.budget.fraction is not None:
                shares = None if one.mix is None else one.mix.shares
                named = zip(recipe.sources, parts, strict=True)
                rows = [
                    part.rows
                    for source, part in named
                    if part and source.name in (shares or [source.name])
                ]
                size = round(one.budget.fraction * (sum(rows) if not short else whole.rows))
            chosen = whole.of(size or 0) if whole.rows else ONE.of(size or 0)
            self.made[run.absolute(), one.name] = self.made[run.absolute(), None] = chosen
            if size is not None and not short and size > whole.rows:
                problem = f"selection {one.name} asks for {size:,} of {whole.rows:,} rows"
                self.plan.missing.append(f"{problem}; lower its budget, or add sources")

    def source(self, reader: Reader) -> Amount | None:
        """Return the amount of a source; note what is missing of it."""
        try:
            reader.check()
            amount = source_amount(reader)
        except MedSiftError as error:
            self.plan.missing.append(f"source {reader.name}: {error}")
            return None
        root = getattr(reader, "image_root", None)
        if root and "://" not in root and not Path(root).expanduser().is_dir():
            self.plan.missing.append(f"source {reader.name}: there is no folder {root} of pictures")
        if amount is None:
            self.plan.assume(f"the rows of source {reader.name} are not known before it is read")
        return amount

    def selection(self, run: Path, name: str | None, least: int | None = None) -> Amount:
        """Return the amount of a selection: as planned, as in the manifest, or as assumed.

        One that is not there is assumed to have `self.rows` samples, or `least`.
        """
        for key in ((run.absolute(), name), (run.absolute(), None)):
            if key in self.made:
                return self.made[key]
        found = selection_amount(run, name)
        if found is not None:
            return found
        what = f"selection {name}" if name else "a selection"
        self.plan.missing.append(f"{what} of the run {run}; curate it first")
        self.plan.assume(ASSUMED_ONE)
        rows = self.rows or least or ITEMS
        self.plan.assume(f"{rows:,} samples of {what}, which is not there; see --rows")
        return ONE.of(rows)

    def training(self, recipe: TrainingRecipe, name: str, base: Any = None) -> None:
        """Add a fine-tuning: of a projector, of adapters, of all weights, or of a policy."""
        amount = self.selection(recipe.run, recipe.selection)
        settings = base or recipe.base.model_dump(mode="json")
        self.models({"base": settings} if base is None else {})
        n = self.size(settings)
        picture = picture_tokens(settings, recipe.data.max_pixels)
        each = amount.tokens(picture) / max(amount.rows, 1)
        if "://" not in str(recipe.run):
            self.benchmarks_known(recipe)
        again = 2 if recipe.gradient_checkpointing else 0
        if again:
            self.plan.assume("activations are computed twice: 2 * N * D more")
        if recipe.objective == "grpo":
            policy = recipe.policy
            passes = (recipe.epochs or 1.0) if recipe.pairs is None else recipe.pairs / amount.rows
            steps = recipe.steps or math.ceil(amount.rows * passes / policy.prompts)
            seen = steps * policy.prompts * policy.group
            tokens = round(seen * (each + policy.max_new_tokens))
            flops = n and (4 + again + 2 * (1 + policy.blank_share)) * n * tokens
            self.plan.assume("every reply has policy.max_new_tokens tokens")
            formula = "grpo"
        else:
            batch = recipe.batches.max_samples * recipe.batches_per_step
            seen = recipe.pairs or (
                recipe.steps * batch
                if recipe.steps
                else round(amount.rows * (recipe.epochs or 1.0))
            )
            if recipe.steps:
                self.plan.assume("every step has batches.max_samples samples")
            tokens = round(seen * each)
            formula = "full" if recipe.lora.full else "adapters"
            flops = n and (float(6 if recipe.lora.full else 4) + again) * n * tokens
        trained = n and (n if recipe.lora.full else ADAPTER_SHARE * n * recipe.lora.rank / 16)
        kept = recipe.checkpoints.keep + 1
        disk = None
        if n and trained:
            disk = round(kept * MOMENTS * trained + (4 * n if recipe.complete else 4 * trained))
        per_pass = Amount(seen, round(amount.images * seen / max(amount.rows, 1)), 0)
        self.step(name, per_pass, tokens, flops, formula, disk, learns=True)

    def benchmarks_known(self, recipe: TrainingRecipe) -> None:
        """Say so where a training will be refused, or allowed, for want of a comparison."""
        if not recipe.benchmarks:
            self.plan.assume(f"{recipe.name} names no benchmark: leaks stay unchecked")

    def rollouts(self, recipe: RolloutsRecipe, model: Any = None) -> None:
        """Add the replies to a selection's questions; the kept ones become a selection."""
        amount = self.selection(recipe.run, recipe.selection, recipe.keep.most)
        asked = recipe.model.model_dump(mode="json")
        settings = model or asked.get("model")
        replies = amount.rows * (recipe.draws + recipe.blank_draws)
        most = recipe.model.generation.max_new_tokens if "generation" in asked else 0
        if isinstance(settings, dict):
            self.models({} if model else asked)
            each = amount.tokens(picture_tokens(settings, asked.get("max_pixels")))
            tokens = round(replies * (each / max(amount.rows, 1) + most))
            n = self.size(settings)
            self.step(
                f"rollouts {recipe.name}",
                amount,
                tokens,
                n and 2 * n * tokens,
                "generate",
                replies * 500,
            )
        else:
            self.step(f"rollouts {recipe.name}", amount, None, 0.0, "requests", replies * 500)
        kept = amount.rows if recipe.keep.most is None else min(recipe.keep.most, amount.rows)
        self.plan.assume("rollouts keep every question, or keep.most of them")
        self.made[recipe.run.absolute(), recipe.name] = amount.of(kept)

    def construction(self, recipe: ConstructRecipe) -> None:
        """Add the calls of a teacher."""
        amount = self.selection(recipe.run, recipe.selection)
        draws = expected_draws(recipe.expected_acceptance, recipe.accepted, recipe.attempts)
        calls = round(amount.rows * draws)
        blind = round(amount.images * recipe.blind.attempts)
        picture = picture_tokens({}, recipe.teacher.max_pixels)
        each = amount.tokens(picture) / max(amount.rows, 1) + recipe.expected_tokens
        tokens = round((calls + blind) * each)
        size = (calls + blind) * recipe.expected_tokens * 8
        self.step(f"{calls + blind:,} calls expected", amount, tokens, 0.0, "requests", size)

    def evaluation(self, recipe: EvaluationRecipe, models: tuple[Any, ...] | None = None) -> None:
        """Add the replies of every model to every benchmark, in every variant."""
        items = sum(self.benchmark(one) for one in recipe.benchmarks)
        items = min(items, recipe.items * len(recipe.benchmarks)) if recipe.items else items
        asked = items * len({"original", *recipe.variants})
        for model in models or [one.model_dump(mode="json") for one in recipe.models]:
            settings = model.get("model")
            if not isinstance(settings, dict):
                continue
            if models is None:
                self.models(model)
            most = (model.get("generation") or {}).get("max_new_tokens") or 64
            each = ONE.tokens(picture_tokens(settings, model.get("max_pixels"))) + most
            n, amount = self.size(settings), ONE.of(asked)
            label = f"evaluate {model.get('label') or settings.get('model') or settings['kind']}"
            flops = n and 2 * n * asked * each
            self.step(label, amount, asked * each, flops, "generate", asked * 500)

    def benchmark(self, benchmark: Any) -> int:
        """Return the items of a benchmark; note one that is not there."""
        from evaluation.benchmarks.dataset_files import open_published
        from evaluation.benchmarks.manifest import ManifestSplit

        made = {run for run, _ in self.made}
        try:
            if isinstance(benchmark, ManifestSplit):
                if Path(benchmark.path).absolute() in made:
                    return ITEMS
                return len(benchmark.questions())
            if self.drawn is not None and Path(benchmark.path) == self.drawn:
                return ITEMS
            if Path(benchmark.path).expanduser().exists():
                with open_published(benchmark.path, None, benchmark.hub_files()) as published:
                    files = benchmark.files(published)
                    return sum(1 for file in files for _ in benchmark.entries(published, file))
            self.plan.missing.append(f"benchmark {benchmark.name}: nothing at {benchmark.path}")
        except MedSiftError as error:
            self.plan.missing.append(f"benchmark {benchmark.name}: {error}")
        self.plan.assume(f"{ITEMS:,} items where a benchmark is not there")
        return ITEMS

    def tuning(self, recipe: TuningRecipe) -> None:
        """Add a curation, a training on it, and the evaluation before and after."""
        curation = load_recipe(recipe_path(recipe.curation))
        self.curation(curation, curation.run_dir)
        training = training_of(recipe, curation.run_dir)
        self.training(training, f"train {training.name}")
        settings = training.base.model_dump(mode="json")
        how = recipe.evaluation.generation.model_dump(mode="json")
        models = tuple(
            {"label": label, "model": settings, "generation": how} for label in ("before", "after")
        )
        self.evaluation(recipe.evaluation, models)

    def study(self, recipe: StudyRecipe) -> None:
        """Add the trials: every arm at every budget, and full data, for every seed."""
        whole = self.selection(recipe.run, "kept")
        settings = recipe.training.base.model_dump(mode="json")
        how = recipe.evaluation.generation.model_dump(mode="json")
        budgets = [one.count or round((one.fraction or 1.0) * whole.rows) for one in recipe.budgets]
        before = len(self.plan.steps)
        for size in [*(budgets * len(recipe.all_arms)), whole.rows] * len(recipe.seeds):
            key = (recipe.run.absolute(), "trial")
            self.made[key] = whole.of(size)
            trial = recipe.training.trial(
                name="trial", seed=0, run=str(recipe.run), run_id=None, selection="trial"
            )
            self.training(trial, "trial", settings if before < len(self.plan.steps) else None)
            models = ({"label": "trial", "model": settings, "generation": how},)
            self.evaluation(recipe.evaluation, models)
        parts, self.plan.steps = self.plan.steps[before:], self.plan.steps[:before]
        for name in ("trial", "evaluate trial"):
            own = [step for step in parts if step.name == name]
            self.plan.steps.append(_sum(f"{len(own)} x {name}", own))
        del self.made[recipe.run.absolute(), "trial"]

    def stages(self, recipe: StagesRecipe) -> None:
        """Add the stages in their order; each trains what the last one made."""
        run = recipe.run or Path("medsift-runs")
        if recipe.phantoms is not None and not recipe.phantoms.folder.exists():
            drawn, self.drawn = recipe.phantoms, recipe.phantoms.folder
            self.rows = self.rows or drawn.images * ROWS_A_PHANTOM
            self.plan.assume(f"{drawn.images:,} phantoms are drawn into {drawn.folder} first")
        if recipe.curation is not None:
            curation = load_recipe(recipe_path(recipe.curation))
            run = recipe.run or curation.run_dir
            before = len(self.plan.missing)
            self.curation(curation, run)
            if self.drawn is not None:
                # They are drawn by the same command.
                del self.plan.missing[before:]
        base = recipe.base.model_dump(mode="json")
        self.models({"base": base})
        for stage in recipe.stages:
            if stage.train is not None:
                training = stage.train.of(name=stage.name, run=str(run), base=base)
                self.training(training, f"train {stage.name}", base)
            elif stage.rollouts is not None:
                own = {key: value for key, value in base.items() if key != "attention"}
                drawn_by: dict[str, Any] = {"kind": "image_text", "model": own}
                how = stage.rollouts.model_dump(mode="json")
                generation, batch, pixels = (
                    how.pop(key) for key in ("generation", "batch_size", "max_pixels")
                )
                drawn_by |= {"generation": generation, "batch_size": batch, "max_pixels": pixels}
                named = {"name": stage.name, "run": run, "model": drawn_by}
                self.rollouts(RolloutsRecipe.model_validate(how | named), base)
        if recipe.evaluation is not None:
            how = recipe.evaluation.generation.model_dump(mode="json")
            labels = ["base", *(one.name for one in recipe.stages if one.train is not None)]
            models = tuple({"label": one, "model": base, "generation": how} for one in labels)
            self.evaluation(recipe.evaluation, models)

    def size(self, settings: Mapping[str, Any]) -> float | None:
        """Return the parameters of a model; note how they are known."""
        found, how = parameters(settings)
        named = settings.get("model") or settings.get("kind")
        words = "an unknown number of" if found is None else f"{found / 1e9:.3g} billion"
        self.plan.assume(f"{named} has {words} parameters ({how})")
        return found

    def models(self, settings: Any) -> None:
        """Note the models, adapters and files inside settings that are not on this machine."""
        for part in _groups(settings):
            if isinstance(part.get("model"), str) and "url" not in part and not model_is_here(part):
                self.plan.missing.append(
                    f"model {part['model']} is neither a folder nor in the hub's cache here"
                )
            adapter = part.get("adapter")
            if isinstance(adapter, str) and "://" not in adapter and not Path(adapter).is_dir():
                self.plan.missing.append(f"adapter {adapter} is not there; train it first")

    def step(
        self,
        name: str,
        amount: Amount,
        tokens: int | None,
        flops: float | None,
        formula: str,
        disk: int | None,
        *,
        learns: bool = False,
    ) -> None:
        """Add a step."""
        self.plan.steps.append(
            Step(name, amount.rows, amount.images, tokens, flops, formula, disk, learns)
        )


def _groups(settings: Any) -> Iterator[Mapping[str, Any]]:
    """Yield every mapping inside settings."""
    if isinstance(settings, Mapping):
        yield settings
        settings = list(settings.values())
    if isinstance(settings, (list, tuple)):
        for value in settings:
            yield from _groups(value)


def _sum(name: str, steps: list[Step]) -> Step:
    """Return steps of one kind as one."""

    def total(key: str) -> Any:
        values = [getattr(step, key) for step in steps]
        return None if None in values else sum(values)

    rows, images, tokens, flops = map(total, ("rows", "images", "tokens", "flops"))
    formula, learns = (steps[0].formula, steps[0].learns) if steps else ("generate", False)
    return Step(name, rows, images, tokens, flops, formula, total("disk_bytes"), learns)
