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
    "command_invalid": ErrorCode(
        "The command line has an argument or option too many, too few, or of another form.",
        "Run the command with --help, which shows its arguments, options and an example.",
    ),
    "option_invalid": ErrorCode(
        "An option's value is not one that the command accepts, or needs another option.",
        "Give a value that the message names; docs/cli.md lists every option.",
    ),
    "interrupted": ErrorCode(
        "Ctrl-C, or a signal of the same kind, ended the command.",
        "Run the same command again: a run, training or study continues where it stopped.",
    ),
    "manifest_missing": ErrorCode(
        "There is no manifest at that path.",
        "Name a run directory that `medsift curate` finished, or its file manifest.duckdb.",
    ),
    "manifest_damaged": ErrorCode(
        "The manifest is no database, was cut short, or fails its checksums.",
        "Remove it and run the same `medsift curate`, which writes it again from finished stages.",
    ),
    "manifest_invalid": ErrorCode(
        "The file is a database, but not a manifest as MedSift writes it.",
        "Curate again into a new run directory; --debug shows where the command failed.",
    ),
    "stage_missing": ErrorCode(
        "The manifest's run does not list a stage that the command reads.",
        "Curate again into this run directory.",
    ),
    "study_budget_too_large": ErrorCode(
        "A budget of the study selects as many samples as full data has.",
        "Name smaller budgets: full data is always one of the arms.",
    ),
    "trials_failed": ErrorCode(
        "Trials of a study have no result; the others are stored.",
        "Correct what the message of the first one names, then run the same command again.",
    ),
    "environment_variable_missing": ErrorCode(
        "The recipe names an environment variable that is not set and has no default.",
        "Set the variable, or write ${NAME:default} in the recipe.",
    ),
}
