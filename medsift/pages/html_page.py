"""A page as one HTML file that needs no network: templates, scripts, content policy."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from medsift.pages.number_format import clock, number, share, similarity
from medsift.storage.atomic import atomic_file

if TYPE_CHECKING:
    from jinja2 import Environment

TEMPLATES: Final = Path(__file__).parent / "templates"
FILTERS: Final[Mapping[str, Callable[..., Any]]] = {
    "number": number,
    "share": share,
    "similarity": similarity,
    "clock": clock,
}


def render(
    template: Path,
    content: Mapping[str, Any],
    filters: Mapping[str, Callable[..., Any]],
    styles: Sequence[Path] = (),
    draws: bool = True,
) -> str:
    """Fill a template; every value is escaped unless the template says otherwise.

    Args:
        template: extends ``base.html``; its folder is searched before our own.
        content: what the template names.
        filters: next to those of ``FILTERS``.
        styles: style sheets after the one that all pages share.
        draws: whether there is a figure, so that plotly.js is needed.
    """
    environment = _templates(template.parent, tuple({**FILTERS, **filters}.items()))
    scripts = [_text(TEMPLATES / "page.js")]
    if draws:
        scripts.insert(0, plotly_script())
    return environment.get_template(template.name).render(
        **content,
        style="".join(_text(sheet) for sheet in (TEMPLATES / "page.css", *styles)),
        scripts=scripts,
        policy=policy(scripts),
    )


@lru_cache
def _templates(folder: Path, filters: tuple[tuple[str, Callable[..., Any]], ...]) -> Environment:
    """What a process that writes many pages compiles once."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader([folder, TEMPLATES]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(filters)
    return environment


def write_page(output: Path, page: str) -> None:
    """Write a page in place of an older one, completely or not at all.

    Raises:
        StorageError: `output` cannot be written.
    """
    with atomic_file(output, "name another --output") as partial:
        partial.write_text(page, encoding="utf-8", errors="backslashreplace")


@lru_cache(maxsize=1)
def plotly_script() -> str:
    """The plotly.js that the installed plotly ships, whole."""
    from plotly.offline import get_plotlyjs

    return str(get_plotlyjs())


def policy(scripts: Sequence[str]) -> str:
    """A content policy under which exactly these inline scripts run and nothing is fetched.

    Scripts are named by their SHA-256 (W3C Content Security Policy, level 2), so that text which
    should ever slip past the escaping still cannot run.
    """
    hashes = " ".join(
        "'sha256-" + base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() + "'"
        for script in scripts
    )
    return (
        f"default-src 'none'; script-src {hashes}; style-src 'unsafe-inline'; "
        "img-src data: blob:; base-uri 'none'; form-action 'none'"
    )


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8")
