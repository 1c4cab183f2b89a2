"""Error codes of recipes, settings and commands."""

from __future__ import annotations

from typing import Final

from medsift.error_codes.code import ErrorCode

CODES: Final[dict[str, ErrorCode]] = {
    "recipe_invalid": ErrorCode(
        "A setting of the recipe is unknown, missing or out of range.",
        "Change the setting at the path that the message names; docs/recipe.md lists every key.",
    ),
    "recipe_missing": ErrorCode(
        "There is no recipe of that name or at that path.",
        "Name a YAML file, or one of the recipes that `medsift doctor` lists.",
    ),
    "recipe_unreadable": ErrorCode(
        "The recipe is not UTF-8 text, not YAML, or not a mapping of keys.",
        "Open the file in an editor and correct the line that the message names.",
    ),
    "recipe_override_invalid": ErrorCode(
        "A --set option does not name a setting and a value.",
        "Write --set a.b=value, with list places as numbers: --set sources.0.path=data.",
    ),
    "environment_variable_missing": ErrorCode(
        "The recipe names an environment variable that is not set and has no default.",
        "Set the variable, or write ${NAME:default} in the recipe.",
    ),
}
