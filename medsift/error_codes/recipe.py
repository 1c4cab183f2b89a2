"""Error codes of recipes, settings and commands."""

from __future__ import annotations

from medsift.error_codes.code import read_codes

CODES = read_codes("""
recipe_invalid: A setting of the recipe is unknown, missing or out of range.
  Do: Change the setting at the path that the message names; docs/recipe.md lists every key.
recipe_in_the_way: There is a file where `medsift init` would write a recipe.
  Do: Name another file with --output, or remove the old one.
recipe_missing: There is no recipe of that name or at that path.
  Do: Name a YAML file, or one of the recipes that `medsift doctor` lists.
recipe_unreadable: The recipe is not UTF-8 text, not YAML, or not a mapping of keys.
  Do: Open the file in an editor and correct the line that the message names.
recipe_override_invalid: A --set option does not name a setting and a value.
  Do: Write --set a.b=value, with list places as numbers: --set sources.0.path=data.
command_invalid: The command line has an argument or option too many, too few, or of another form.
  Do: Run the command with --help, which shows its arguments, options and an example.
option_invalid: An option's value is not one that the command accepts, or needs another option.
  Do: Give a value that the message names; docs/cli.md lists every option.
interrupted: Ctrl-C, or a signal of the same kind, ended the command.
  Do: Run the same command again: a run, training or study continues where it stopped.
manifest_missing: There is no manifest at that path.
  Do: Name a run directory that `medsift curate` finished, or its file manifest.duckdb.
manifest_damaged: The manifest is no database, was cut short, or fails its checksums.
  Do: Remove it and run the same `medsift curate`, which writes it again from finished stages.
stage_missing: The manifest's run does not list a stage that the command reads.
  Do: Curate again into this run directory.
study_budget_too_large: A budget of the study selects as many samples as full data has.
  Do: Name smaller budgets: full data is always one of the arms.
trials_failed: Trials of a study have no result; the others are stored.
  Do: Correct what the message of the first one names, then run the same command again.
environment_variable_missing: The recipe names an environment variable that is not set and has no
    default.
  Do: Set the variable, or write ${NAME:default} in the recipe.
manifest_invalid: The file is a database, but not a manifest as MedSift writes it.
  Do: Curate again into a new run directory; --debug shows where the command failed.
""")
