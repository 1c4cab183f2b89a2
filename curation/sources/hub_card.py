"""Refuse data set cards that name files outside of their own repository.

`datasets` opens whatever the head of a card names: an absolute path, another folder, or any URL,
this machine's own addresses included. A card comes with the data, so it may name only its files.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any, Final

from medsift.errors import InputError

CARDS: Final = ("README.md", ".huggingface.yaml")
"""The files in which `datasets` looks for names of files."""
PLACES: Final = ("data_files", "data_dir")


def refuse_foreign_files(dataset: str, revision: str | None = None) -> None:
    """Check the card of a folder, or of a name on the hub.

    A name on the hub whose card cannot be had passes: loading it will say why.

    Raises:
        InputError: the card cannot be read, or names a file outside of the repository.
    """
    folder = Path(dataset) if Path(dataset).is_dir() else _fetched(dataset, revision)
    for card in (folder / name for name in CARDS if folder is not None):
        if not card.is_file():
            continue
        for place in _named(_head(card, dataset)):
            plain = PurePosixPath(place.replace("\\", "/"))
            if "://" in place or "::" in place or plain.is_absolute() or ".." in plain.parts:
                raise InputError(
                    f"dataset {dataset!r}: its {card.name} names {place!r}, which is not a file of "
                    "its own repository; download that file if you trust it, and name it as path",
                    code="dataset_unloadable",
                    dataset=dataset,
                    file=place,
                )


def _fetched(name: str, revision: str | None) -> Path | None:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError

    try:
        return Path(
            snapshot_download(
                name, repo_type="dataset", revision=revision, allow_patterns=list(CARDS)
            )
        )
    except (OSError, ValueError, HfHubHTTPError):
        return None


def _head(card: Path, dataset: str) -> Any:
    """Return the YAML of a card: the block between two lines of dashes, or the whole file."""
    import yaml
    from huggingface_hub.repocard import REGEX_YAML_BLOCK

    from medsift.yaml_text import read_yaml

    text = card.read_text("utf-8", errors="replace")
    if card.suffix == ".md":
        block = REGEX_YAML_BLOCK.search(text)
        text = block[2] if block else ""
    try:
        return read_yaml(text)
    except yaml.YAMLError as error:
        words = f"dataset {dataset!r}: the head of its {card.name} is not YAML: "
        words += " ".join(str(error).split())
        raise InputError(words, code="dataset_unloadable", dataset=dataset) from error


def _named(head: Any) -> Iterator[str]:
    """Yield every text under the keys by which a configuration names its files."""
    configs = head.get("configs") if isinstance(head, Mapping) else None
    for config in configs if isinstance(configs, list) else [configs]:
        if isinstance(config, Mapping):
            yield from _texts([config.get(place) for place in PLACES])


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    parts = value.values() if isinstance(value, Mapping) else value
    if isinstance(value, Mapping | list):
        for part in parts:
            yield from _texts(part)
