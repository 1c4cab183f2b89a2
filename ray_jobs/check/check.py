"""Check a recipe: validate it, resolve it, plan it; run nothing."""

from __future__ import annotations

from collections.abc import Sequence

from medsift.errors import UsageError
from ray_jobs.check.plan import HARDWARE, Plan
from ray_jobs.check.recipe_kinds import load_any
from ray_jobs.check.steps import Planner
from ray_jobs.cli_args import recipe_path


def check_recipe(
    named: str, overrides: Sequence[str] = (), *, gpu: str = "h100", rows: int | None = None
) -> Plan:
    """Return the plan of a recipe, with what is missing for it.

    Args:
        named: A YAML file, or the name of a shipped recipe.
        overrides: Changes of single settings, each ``a.b=value``.
        gpu: A key of `HARDWARE`, for which hours are estimated.
        rows: Samples that are assumed where data are not there.

    Raises:
        RecipeError: no such recipe, or one that does not validate.
        UsageError: hardware of another name.
    """
    if gpu not in HARDWARE:
        raise UsageError(
            f"no rates are known for {gpu!r}; name one of {', '.join(HARDWARE)}",
            code="option_invalid",
            option="gpu",
        )
    kind, recipe, variables = load_any(recipe_path(named), overrides)
    plan = Plan(kind, str(getattr(recipe, "name", named)), HARDWARE[gpu])
    plan.missing += [f"the environment variable {name} is not set" for name in variables]
    Planner(plan, rows).add(recipe)
    plan.missing = list(dict.fromkeys(plan.missing))
    return plan
