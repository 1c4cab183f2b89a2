"""The demo's second half: a short fine-tuning on the selection, asked before and after."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from ray_jobs.commands.evaluate import show_result
from ray_jobs.evaluating import evaluate_and_report

TRAINING: Final = "train_phantoms"
ITEMS: Final = 160
"""Held-out questions that are asked; with variants, three times each."""


def tune_and_ask(run_dir: Path, phantoms: Path, cache: Path, seed: int, *, ray: bool) -> None:
    """Fine-tune the embedded vision-language model on the newest selection; ask before and after.

    Samples that leak into the test split are left out of the training. The test questions are
    asked of the majority, of the model before and of the model after, each also with another
    item's picture and with a blank one. Raises as the commands do.
    """
    from curation import yaml_recipe
    from evaluation.recipe import EvaluationRecipe
    from ray_jobs.launching import chosen, train_and_tell

    options = {"run": run_dir, "selection": None, "base": None}
    recipe = chosen(TRAINING, options, [f"seed={seed}"])
    trained = train_and_tell(recipe, ray=ray, log_json=False)
    base = trained.training.recipe.base.model_dump(mode="json")
    asked = {
        "name": "phantoms",
        "run": str(run_dir),
        "cache": str(cache),
        "models": [
            {"kind": "majority"},
            _model("before", base),
            _model("after", base) | {"adapter": str(trained.training.result)},
        ],
        "benchmarks": [{"kind": "phantoms", "path": str(phantoms)}],
        "items": ITEMS,
        "variants": ["swapped_image", "blank"],
    }
    loaded = yaml_recipe.validated(EvaluationRecipe, asked)
    show_result(loaded, evaluate_and_report(loaded, ray=ray, log_json=False))


def _model(label: str, base: dict[str, Any]) -> dict[str, Any]:
    return {
        "kind": "image_text",
        "label": label,
        "model": base,
        "generation": {"max_new_tokens": 8},
        "batch_size": 16,
    }
