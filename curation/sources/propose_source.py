"""Propose the source of a recipe by looking at a file or folder of data."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any, Final

from pydantic import TypeAdapter

from curation.sources import SourceConfig
from curation.sources.arrow_values import as_values
from curation.sources.cell_values import is_nothing
from curation.sources.column_mapping import ALIASES, CONTENT, quoted
from curation.sources.expressions import engine
from curation.sources.file_formats import suffix_format
from curation.sources.files import InputFile
from curation.sources.pictures import looks_like_picture
from curation.sources.reader import Reader
from curation.sources.record_batches import find_column
from curation.sources.suffixes import PICTURE_SUFFIXES
from curation.sources.tabular import TabularReader
from medsift.errors import InputError
from medsift.records import TAGS
from medsift.storage.locations import local_path
from medsift.text import escaped

MOST_LISTED: Final = 5_000
"""Files of a folder that are looked at."""
MOST_READ: Final = 100
"""Files whose first records are read."""
MOST_SHOWN: Final = 60
"""Letters of a value that are shown."""
NAMES: Final[Mapping[str, tuple[str, ...]]] = {
    "question": ("query", "prompt", "instruction", "input", "q", "problem", "sentence"),
    "answer": (
        *("response", "output", "label", "a", "target", "final_decision", "solution"),
        *("caption", "report", "findings", "text"),
    ),
    "images": (
        *("image_path", "image_name", "image_file", "img", "img_name", "img_path"),
        *("file_name", "picture", "path", "figure"),
    ),
    "options": ("candidates", "answer_choices", "multiple_choice"),
    "modality": ("image_modality", "imaging_modality", "modalities"),
    "body_part": ("organ", "image_organ", "location", "anatomy", "region", "body_part_examined"),
    "task_type": ("question_type", "qtype", "content_type", "category", "task"),
    "language": ("lang", "q_lang"),
    "patient_id": ("patient", "subject", "subject_id", "pid", "patientid"),
    "study_id": ("study", "case", "case_id", "study_uid", "studyinstanceuid", "image_case_url"),
    "license": ("licence",),
    "split": ("fold", "partition", "phase", "subset"),
}
"""Names of columns that usually hold a target, the likeliest first; letters' case is ignored."""
_PLAIN: Final = re.compile(r"[A-Za-z_]\w*\Z")


@dataclass(frozen=True, slots=True)
class Found:
    """A target, the column that it is read from, and a value of that column."""

    target: str
    column: str
    example: str


@dataclass(frozen=True, slots=True)
class Proposal:
    """A source's settings, what each target is read from, and what nobody could tell.

    `unread` are the columns that no target is made of, `missing` the targets that a run needs or
    groups by and that no column was found for, and `others` the files with other columns.
    """

    settings: dict[str, Any]
    found: tuple[Found, ...]
    unread: tuple[str, ...]
    missing: tuple[str, ...]
    others: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Layout:
    """Files with equal columns: the values that the first one has, and the targets in them."""

    files: tuple[str, ...]
    uri: str
    names: Sequence[str]
    examples: Mapping[str, Sequence[Any]]
    chat: bool
    found: tuple[Found, ...]

    @property
    def usable(self) -> bool:
        """Return whether samples can be made of these records."""
        targets = {one.target for one in self.found}
        return "messages" in targets or {"question", "answer"} <= targets


def propose_source(path: Path, name: str) -> Proposal:
    """Look at the first records of a file or folder and propose how to read it.

    Args:
        path: A file of records, a tar, or a folder of either or of pictures.
        name: Name of the source.

    Raises:
        InputError: there is nothing to read, or what is there cannot be read.
    """
    settings: dict[str, Any] = {"name": name, "reader": _reader_of(path), "path": str(path)}
    if settings["reader"] == "image_folder":
        return Proposal(settings, (), (), ())
    layouts = _layouts(_reader(settings))
    best = max(layouts, key=lambda one: (one.usable, len(one.found)))
    others = tuple(sorted({file for one in layouts if one is not best for file in one.files}))
    if others and len(best.files) == 1:
        # The other files are of another kind: settings, predictions, a licence as JSON.
        path = Path(local_path(best.uri))
        settings["path"] = str(path)
    if best.chat:
        settings["reader"] = "messages"
    names, examples, found = best.names, best.examples, best.found
    columns = {one.target: _sql(one.column) for one in found if not _is_named(one)}
    if columns:
        settings["columns"] = columns
    pictures = next((one for one in found if one.target == "images"), None)
    if pictures is not None and (root := _image_root(path, examples[pictures.column])) is not None:
        settings["image_root"] = str(root)
    read = {one.column for one in found}
    wanted = ("modality", "body_part", "task_type", "patient_id", "license", "split")
    needed = ("images",) if best.chat else ("question", "answer", "images")
    missing = tuple(target for target in (*needed, *wanted) if not _has(target, found))
    unread = tuple(column for column in names if column not in read)
    return Proposal(settings, found, unread, missing, others)


def _reader(settings: Mapping[str, Any]) -> Reader:
    source: Reader = TypeAdapter(SourceConfig).validate_python(dict(settings))
    return source


def _reader_of(path: Path) -> str:
    """Return the kind of reader that a path needs. Raises InputError where there is none."""
    if not path.exists():
        words = f"nothing at {str(path)!r}; name a file of records, a tar or a folder"
        raise InputError(words, code="source_missing", path=str(path))
    files = [path]
    if path.is_dir():
        if (path / "dataset_info.json").is_file() or (path / "dataset_dict.json").is_file():
            return "hf"
        files = [file for file in islice(path.rglob("*"), MOST_LISTED) if file.is_file()]
    if any(suffix_format(file.name) is not None for file in files):
        return "table"
    if any(".tar" in file.suffixes for file in files):
        return "webdataset"
    if any(file.suffix.lower() in PICTURE_SUFFIXES for file in files):
        return "image_folder"
    words = f"nothing to read at {str(path)!r}: no records (JSON, CSV, Parquet), tar or pictures"
    raise InputError(words, code="source_empty", path=str(path))


def _layouts(reader: Reader) -> list[Layout]:
    """Return the layouts of a source's files. Raises InputError when there are no records."""
    named = [(file.name, file.uri) for file in _files_of(reader)]
    groups: dict[tuple[str, ...], list[int]] = {}
    looks = list(islice(reader.first_records(), MOST_READ))
    for place, (names, _) in enumerate(looks):
        groups.setdefault(tuple(names), []).append(place)
    layouts = []
    for names, places in groups.items():
        table = looks[places[0]][1](list(names))
        if table is None:
            continue
        values = {column: as_values(table[column], plain=True) for column in table.column_names}
        examples = {
            column: [value for value in values.get(column, []) if not is_nothing(value)]
            for column in names
        }
        own = ("messages", *ALIASES["messages"])
        chat = any(find_column(name, names) is not None for name in own)
        files = tuple(named[place][0] for place in places if named)
        uri = named[places[0]][1] if named else reader.path
        found = _targets(names, examples, chat)
        layouts.append(Layout(files, uri, names, examples, chat, found))
    if not layouts:
        raise reader.no_records()
    return layouts


def _files_of(reader: Reader) -> list[InputFile]:
    """Return the files that `first_records` looks at; none of a reader without files of records."""
    return [f for f in reader.files() if f.size] if isinstance(reader, TabularReader) else []


def _targets(
    names: Sequence[str], examples: Mapping[str, Sequence[Any]], chat: bool
) -> tuple[Found, ...]:
    """Return the targets that a column is found for, no column for two."""
    found: list[Found] = []
    taken: set[str] = set()
    for target in (*CONTENT, *TAGS):
        if chat and target in ("question", "answer", "options"):
            continue
        if not chat and target == "messages":
            continue
        own = (target, *ALIASES.get(target, ()))
        for name in (*own, *NAMES.get(target, ())):
            column = find_column(name, names)
            if column is None or column in taken or not examples[column]:
                continue
            if target == "images" and not any(map(looks_like_picture, examples[column])):
                continue
            if target == "split" and name not in own and not _are_splits(examples[column]):
                continue
            taken.add(column)
            found.append(Found(target, column, shown(examples[column][0])))
            break
    return tuple(found)


def _are_splits(values: Sequence[Any]) -> bool:
    from medsift.vocabulary import split_of

    return all(isinstance(value, str) and split_of(value) is not None for value in values)


def _is_named(one: Found) -> bool:
    """Return whether a column is read for its target without a word in the recipe."""
    return one.column.casefold() in (one.target, *ALIASES.get(one.target, ()))


def _has(target: str, found: Sequence[Found]) -> bool:
    return any(one.target == target for one in found)


def _sql(column: str) -> str:
    """Return a column's name as SQL, in quotes where it needs them."""
    return column if _PLAIN.match(column) and column.lower() not in _reserved() else quoted(column)


@cache
def _reserved() -> frozenset[str]:
    sql = "SELECT keyword_name FROM duckdb_keywords() WHERE keyword_category <> 'unreserved'"
    return frozenset(word for (word,) in engine().cursor().execute(sql).fetchall())


def shown(value: Any) -> str:
    """Return a value as one short line that a comment of YAML and a terminal can hold."""
    text = escaped(" ".join(str(value).split()))
    return text if len(text) <= MOST_SHOWN else text[: MOST_SHOWN - 1] + "…"


def _image_root(path: Path, values: Sequence[Any]) -> Path | None:
    """Return the folder under which most of these references are files; None for the data's own.

    Pictures lie next to the records, or in a folder next to them.
    """
    base = path if path.is_dir() else path.parent
    references = [value for value in map(_reference, values) if value]
    if not references:
        return None
    folders = [base, *sorted(folder for folder in base.iterdir() if folder.is_dir())]
    if path.is_dir():
        folders.insert(1, path.parent)
    hits = [sum((folder / one).is_file() for one in references) for folder in folders]
    best = hits.index(max(hits))
    return None if best == 0 or hits[best] == 0 else folders[best]


def _reference(value: Any) -> str | None:
    """Return the path that a value names, of a list or an object of paths the first."""
    while isinstance(value, Sequence) and not isinstance(value, (str, bytes)) and value:
        value = value[0]
    if isinstance(value, Mapping):
        value = value.get("path")
    return value if isinstance(value, str) and len(value) < 4096 else None
