"""Estimate amounts without running anything: rows of sources, samples of selections, models."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any, Final

from curation.sources import jsonfiles
from curation.sources.file_formats import SAMPLE_RECORDS, Reading, format_of, look, opened
from curation.sources.files import InputFile, find
from curation.sources.reader import Reader, Shard
from curation.sources.tabular import TabularReader
from medsift.errors import MedSiftError
from medsift.manifest import read, resolve_selection
from medsift.storage.locations import is_remote
from training.dataset.samples import manifest_of

BYTES_PER_TOKEN: Final = 4
TEXT_TOKENS: Final = 160
PIXELS: Final = 512 * 512
PIXELS_PER_TOKEN: Final = 28 * 28
GZIP: Final = 4
_IN_NAME: Final = re.compile(r"(?<![\w.])(\d+(?:\.\d+)?)([BM])(?![A-Za-z])", re.IGNORECASE)
VISION_OF_EMBEDDED: Final = 4_000_000
WORDS_OF_EMBEDDED, BLOCK_OF_EMBEDDED, BLOCKS = 28_311_552, 3_540_096, 30


@dataclass(frozen=True, slots=True)
class Amount:
    """Samples with their pictures and tokens of text."""

    rows: int
    images: int
    text_tokens: int

    def of(self, rows: int) -> Amount:
        """Return the amount of so many samples of the same kind."""
        share = rows / max(self.rows, 1)
        return Amount(rows, round(self.images * share), round(self.text_tokens * share))

    def tokens(self, per_picture: int) -> int:
        """Return the tokens of all samples, once each."""
        return self.text_tokens + self.images * per_picture


ONE: Final = Amount(1, 1, TEXT_TOKENS)
"""A sample of which nothing is known."""
ASSUMED_ONE: Final = f"a sample has one picture and {TEXT_TOKENS} tokens of text"


def selection_amount(run: Path, selection: str | None) -> Amount | None:
    """Return the amount of a selection of a run; None where the run or the selection is missing."""
    manifest = manifest_of(run)
    sql = (
        "SELECT count(*) AS rows, sum(len(images)) AS images, "
        "sum(strlen(question) + strlen(answer)) AS bytes FROM selections s "
        "JOIN samples p USING (place) WHERE s.run_id = $1 AND selection = $2"
    )
    try:
        run_id, name = resolve_selection(manifest, selection, None)
        [row] = read(manifest, sql, [run_id, name]).to_pylist()
    except (MedSiftError, OSError):
        return None
    return Amount(row["rows"], row["images"] or 0, int(row["bytes"] or 0) // BYTES_PER_TOKEN)


def source_amount(reader: Reader) -> Amount | None:
    """Return the rows of a source, estimated from the first records of its files, and their bytes.

    None for a reader that shows neither. Raises InputError where there is nothing to read.
    """
    if isinstance(reader, TabularReader):
        reading = Reading(reader.format, reader.separator, reader.records, reader.line_bytes)
        files = reader.files()
    elif is_remote(reader.path) or not Path(reader.path).expanduser().exists():
        return None
    else:
        reading, files = Reading(), find(reader.path, lambda name: name.endswith(".parquet"))
    parts = [_file_amount(file, reading) for file in files if file.size]
    rows, size = sum(rows for rows, _ in parts), sum(size for _, size in parts)
    return replace(ONE.of(rows), text_tokens=min(size // BYTES_PER_TOKEN, rows * 4 * TEXT_TOKENS))


def _file_amount(file: InputFile, reading: Reading) -> tuple[int, int]:
    """Return the records of a file and their bytes, estimated past the first thousand."""
    kind = format_of(file.name, file.uri, reading)
    if kind not in ("jsonl", "json", "under", "csv", "tsv"):
        return look(file, reading).count, 0
    size = file.size * (GZIP if file.uri.endswith(".gz") else 1)
    shard = Shard(file.name, file.uri, 0, -1, 0)
    with opened(file.uri) as stream:
        # Next to the records themselves: the line's end, or comma and space of a list.
        between = 1
        if kind == "jsonl":
            texts: Iterator[Any] = jsonfiles.lines(stream, shard, reading.line_bytes)
        elif kind in ("csv", "tsv"):
            next(stream, None)
            texts, between = enumerate(stream), 0
        else:
            key = reading.records if kind == "under" else None
            texts, between = jsonfiles.elements(stream, shard, reading.line_bytes, key), 2
        lengths = [len(data or b"") + between for _, data in islice(texts, SAMPLE_RECORDS)]
    if len(lengths) < SAMPLE_RECORDS:
        return len(lengths), sum(lengths)
    return round(size / (sum(lengths) / len(lengths))), size


def parameters(settings: Mapping[str, Any]) -> tuple[float | None, str]:
    """Return the parameters of a model, given its settings, and how they are known."""
    kind, model = settings.get("kind"), str(settings.get("model") or "")
    if kind in ("embedded", "embedded_vlm"):
        blocks = WORDS_OF_EMBEDDED + BLOCK_OF_EMBEDDED * (settings.get("layers") or BLOCKS)
        return float(blocks + (VISION_OF_EMBEDDED if kind == "embedded_vlm" else 0)), "as assembled"
    folder = Path(model).expanduser()
    if model and folder.is_dir():
        return float(sum(map(_numbers_in, folder.glob("*.safetensors")))) or None, "by its weights"
    named = _IN_NAME.search(model.rpartition("/")[2])
    if named:
        return float(named[1]) * (1e9 if named[2].upper() == "B" else 1e6), "by its name"
    return None, "unknown"


def picture_tokens(settings: Mapping[str, Any], max_pixels: int | None) -> int:
    """Return the tokens of a picture: the embedded model's, or Qwen's of 28 x 28 pixels."""
    if settings.get("kind") == "embedded_vlm":
        return int(settings.get("side") or 4) ** 2
    return -(-min(max_pixels or PIXELS, PIXELS) // PIXELS_PER_TOKEN)


def model_is_here(settings: Mapping[str, Any]) -> bool:
    """Return whether a model's files are on this machine: a folder, the hub's cache, a package."""
    if settings.get("kind") in ("embedded", "embedded_vlm"):
        from medsift.models import efficientnet

        try:
            efficientnet.image_weights()
        except MedSiftError:
            return False
        return True
    model = str(settings["model"])
    if model.startswith("local-dir:"):
        return Path(model.removeprefix("local-dir:")).expanduser().is_dir()
    name = model.removeprefix("hf-hub:")
    if Path(name).expanduser().is_dir():
        return True
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    files = ("config.json", "open_clip_config.json")
    try:
        return any(isinstance(try_to_load_from_cache(name, file), str) for file in files)
    except HFValidationError:
        return False


def _numbers_in(path: Path) -> int:
    """Return the numbers in a safetensors file, by its header."""
    with path.open("rb") as file:
        header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
    shapes = (part["shape"] for name, part in header.items() if name != "__metadata__")
    total = 0
    for shape in shapes:
        count = 1
        for side in shape:
            count *= side
        total += count
    return total
