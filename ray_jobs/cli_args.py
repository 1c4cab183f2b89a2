"""What a command line may name instead of a file: a shipped recipe, a run directory."""

from __future__ import annotations

from pathlib import Path

from medsift.errors import ManifestError, RecipeError
from medsift.vocabulary import MANIFEST_NAME

_HERE = Path(__file__).resolve().parent


def shipped() -> dict[str, Path]:
    """Name → file of every shipped recipe; a wheel holds them inside this package."""
    for folder in (_HERE / "recipes", _HERE.parent / "recipes"):
        files = {path.stem: path for path in sorted(folder.glob("*.yaml"))}
        if files:
            return files
    return {}


def recipe_path(named: str) -> Path:
    """The file that RECIPE means: a path, or else a shipped name. Raises RecipeError."""
    path = Path(named)
    if path.exists() or path.suffix or path.name != named:
        return path
    recipes = shipped()
    if named not in recipes:
        raise RecipeError(
            f"no recipe at {named}; name a YAML file or one of: {', '.join(recipes) or 'none'}",
            code="recipe_missing",
            name=named,
        )
    return recipes[named]


def manifest_path(named: Path) -> Path:
    """The manifest that a run directory, or the file itself, means. Raises ManifestError."""
    manifest = named / MANIFEST_NAME if named.is_dir() else named
    if not manifest.is_file():
        raise ManifestError(
            f"no manifest at {manifest}; name a run directory that `medsift curate` finished",
            code="manifest_missing",
            path=str(manifest),
        )
    return manifest
