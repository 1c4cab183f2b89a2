"""Write a page as one HTML file that needs no network: templates, scripts, content policy."""

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
        template: Extends ``base.html``; its folder is searched before our own.
        content: Values for the names in the template.
        filters: Filters in addition to ``FILTERS``.
        styles: Style sheets after the one that all pages share.
        draws: Whether the page has a figure and needs plotly.js.
    """
    environment = _templates(template.parent, tuple({**FILTERS, **filters}.items()))
    scripts = [(TEMPLATES / "page.js").read_text("utf-8")]
    if draws:
        scripts.insert(0, plotly_script())
    return environment.get_template(template.name).render(
        **content,
        style="".join(path.read_text("utf-8") for path in (TEMPLATES / "page.css", *styles)),
        scripts=scripts,
        policy=policy(scripts),
    )


@lru_cache
def _templates(folder: Path, filters: tuple[tuple[str, Callable[..., Any]], ...]) -> Environment:
    """Return compiled templates, once for a process that writes many pages."""
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
    """Write a page, replacing an older one completely or not at all.

    Raises:
        StorageError: `output` cannot be written.
    """
    with atomic_file(output, "name another --output") as partial:
        partial.write_text(page, encoding="utf-8", errors="backslashreplace")


@lru_cache(maxsize=1)
def plotly_script() -> str:
    """Return the plotly.js of the installed plotly."""
    from plotly.offline import get_plotlyjs

    return str(get_plotlyjs())


def policy(scripts: Sequence[str]) -> str:
    """Return a content policy that runs exactly these inline scripts and fetches nothing.

    Scripts are named by their SHA-256 (W3C Content Security Policy, level 2), so that text that
    is not escaped by mistake still cannot run.
    """
    hashes = " ".join(
        "'sha256-" + base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() + "'"
        for script in scripts
    )
    return (
        f"default-src 'none'; script-src {hashes}; style-src 'unsafe-inline'; "
        "img-src data: blob:; base-uri 'none'; form-action 'none'"
    )
