"""Find the files that a command line names by a shipped recipe or a run directory."""

from __future__ import annotations

from pathlib import Path

from medsift.errors import ManifestError, RecipeError
from medsift.storage.mirror import location

_PACKAGE = Path(__file__).resolve().parent


def shipped() -> dict[str, Path]:
    """Return name → file of every shipped recipe; a wheel has them inside this package."""
    for folder in (_PACKAGE / "recipes", _PACKAGE.parent / "recipes"):
        files = {path.stem: path for path in sorted(folder.glob("*.yaml"))}
        if files:
            return files
    return {}


def recipe_path(named: str) -> Path:
    """Return the file of RECIPE: a path, or else a shipped name. Raises RecipeError."""
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
    """Return the manifest of a run directory, or of its file. Raises ManifestError."""
    from medsift.manifest.manifest_file import manifest_file

    manifest = manifest_file(named)
    if not manifest.is_file():
        raise ManifestError(
            f"no manifest at {location(manifest)}; name a run directory that `medsift curate` "
            "finished",
            code="manifest_missing",
            path=str(manifest),
        )
    return manifest
