"""Read columns from a file's path: its name, partition keys, and its split.

Every reader offers `filename` (the file below the source's root) and `row_index` (the record's
place in it, from 0) as columns, and a folder `key=value` as a column `key`. Where a record has a
value of its own under such a name, that value stands.

A source that neither maps `split` nor has a column of that name takes it from the names of its
files and folders below the root, by one careful rule:

* a folder whose whole name is a split word, or a file whose name without suffixes and counters is
  one (`test.json`, `train-00000-of-00002.parquet`, `train_2.csv`), says that split;
* a file whose name begins or ends with a split word (`slake_test.json`, `test_prefs.parquet`) says
  it where another file differs in that word alone (`slake_train.json`). `train` needs no such
  file, since records without a split are for training as well;
* a held-out word anywhere else (`lab_test.csv` alone, `dev2.json`, `val2017/`, `testmini.json`, a
  folder `fold=test`, `x-te.json` next to `x-tr.json`, two words that differ, the root itself named
  `test`) is ambiguous: the source is refused until `columns.split` says what it holds.

Words end where their case does (`slakeTest.json`), at digits (`test1k`) and at signs.
"""

from __future__ import annotations

import logging
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import Final
from urllib.parse import unquote

import pyarrow as pa

from curation.sources.record_batches import Batch, find_column, string_array
from medsift.errors import InputError
from medsift.vocabulary import Split, split_of

logger = logging.getLogger(__name__)

FILENAME: Final = "filename"
ROW_INDEX: Final = "row_index"
SPLIT: Final = "split"
NO_VALUE: Final = "__HIVE_DEFAULT_PARTITION__"
PARTITION: Final = re.compile(r"([^=]+)=(.*)", re.DOTALL)
COUNTER: Final = re.compile(r"\d+|of|part|shard|(?=.*\d)[0-9a-f]{6,}")
_HELD_OUT: Final = (
    r"(?:testing|tests?|tst|valid(?:ation|ate)?|val|dev|eval(?:uation)?|holdout|heldout|unseen"
    r"|bench(?:mark)?s?)"
)
_AROUND: Final = (
    r"(?:mini|small|tiny|full|all|sub|half|hard|easy|train(?:ing)?|set|split|data|std|standard|only"
    r"|dev|part|fold|images?|imgs?|\d+k?)"
)
LIKE_HELD_OUT: Final = re.compile(rf"{_AROUND}*{_HELD_OUT}{_AROUND}*[ab]?")
"""A held-out word with words that only say which of several, as in `minival` or `test2017`."""
ABBREVIATED: Final = frozenset({"te", "ts", "tes", "va", "vl"})
"""Short for a held-out split where another file differs in that word alone, `tr` or `train`."""
ABBREVIATED_TRAIN: Final = frozenset({"tr", "trn", "train", "training"})
_CASE: Final = re.compile(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z0-9])(?=[A-Z][a-z])")
SUFFIX: Final = re.compile(r"\.[A-Za-z0-9]{1,8}(?:\.(?:gz|bz2|xz|zst))?$")
OriginColumns = tuple[tuple[str, str | None], ...]


def partitions(folders: Sequence[str]) -> dict[str, str | None]:
    """Return the keys of folders `key=value`, values as text (a Hive null is None)."""
    values: dict[str, str | None] = {}
    for folder in folders:
        if match := PARTITION.fullmatch(folder):
            value = unquote(match[2])
            values[unquote(match[1])] = None if value == NO_VALUE else value
    return values


def folders_of(root: str, name: str) -> list[str]:
    """Return the folders above a file: the run of partitions that `root` ends in, and below."""
    above = [part for part in root.split("?")[0].split("/") if part]
    run: list[str] = []
    while above and PARTITION.fullmatch(above[-1]):
        run.insert(0, above.pop())
    return [*run, *name.split("/")[:-1]]


def origins(
    source: str,
    root: str,
    names: Sequence[str],
    silent: Sequence[str],
    files_speak: bool = True,
    say: bool = True,
) -> dict[str, OriginColumns]:
    """Return the columns that the path of each file gives its records, by the file's name.

    Args:
        source: The source, for messages.
        root: The folder that the names are relative to.
        names: The files of the source.
        silent: Those whose records have no split of their own: their names may say one.
        files_speak: Whether the names of files count; pictures are many and named freely, so
            of theirs only the folders do.
        say: Whether a warning counts the splits that were found.

    Raises:
        InputError: A name may say a held-out split, but not clearly.
    """
    columns = {name: partitions(folders_of(root, name)) for name in names}
    without = [name for name in silent if columns[name].get(SPLIT) is None]
    splits = _splits(source, root, without, files_speak)
    for name, split in splits.items():
        if split is not None:
            columns[name][SPLIT] = split
    if say and any(splits.values()):
        counts = Counter(split or "none, which is for training" for split in splits.values())
        listed = ", ".join(f"{split}: {counts[split]}" for split in sorted(counts))
        words = "source %r: split is read from file and folder names (%s); map columns.split if not"
        logger.warning(words, source, listed)
    return {name: tuple(values.items()) for name, values in columns.items()}


def with_origin(
    batch: Batch, filename: str, columns: OriginColumns, wanted: Sequence[str]
) -> Batch:
    """Add the columns that a file's path gives, where records lack their own.

    Args:
        batch: Records of the file.
        filename: Its name below the source's root.
        columns: Names and values that its path adds.
        wanted: Columns that the source reads; no others are added.
    """
    rows = batch.table.num_rows
    texts = {FILENAME: filename} | dict(columns)
    offered = {name: string_array([value] * rows) for name, value in texts.items()}
    offered.setdefault(ROW_INDEX, pa.array(batch.indexes, pa.int64()))
    table = batch.table
    for name, values in offered.items():
        if find_column(name, wanted) is None:
            continue
        own = find_column(name, table.column_names)
        if own is None:
            table = table.append_column(name, values)
        else:
            position = table.column_names.index(own)
            table = table.set_column(position, own, _filled(table[own], values))
    return replace(batch, table=table)


def without_split(columns: Mapping[str, str], names: Mapping[str, Iterable[str]]) -> list[str]:
    """Return the files with neither a mapped split nor a column `split` among their `names`."""
    if SPLIT in columns:
        return []
    return [file for file, fields in names.items() if find_column(SPLIT, list(fields)) is None]


def offered_schema(schema: pa.Schema, columns: OriginColumns) -> pa.Schema:
    """Return `schema` with the columns that the path of its file adds."""
    for name in (*(name for name, _ in columns), FILENAME, ROW_INDEX):
        if find_column(name, schema.names) is None:
            kind = pa.int64() if name == ROW_INDEX else pa.string()
            schema = schema.append(pa.field(name, kind))
    return schema


def _filled(own: pa.ChunkedArray, offered: pa.Array) -> pa.ChunkedArray | pa.Array:
    """Return the records' own values; nulls of a text column take the value of the path."""
    import pyarrow.compute as pc

    if own.null_count == len(own):
        return offered
    if own.null_count and (pa.types.is_string(own.type) or pa.types.is_large_string(own.type)):
        return pc.coalesce(own, offered.cast(own.type))
    return own


@dataclass(frozen=True, slots=True)
class _Words:
    """The split words of a file's path.

    `whole` are folders or names that are a split word; `edges` words at the edge of a name, split
    words and short ones, with the path without them; `others` words that may mean a held-out split.
    """

    whole: Sequence[Split]
    edges: Sequence[tuple[str, str]]
    others: Sequence[str]


def _splits(
    source: str, root: str, names: Sequence[str], files_speak: bool
) -> dict[str, Split | None]:
    words = {name: _words(name, files_speak) for name in names}
    variants: dict[str, set[str]] = {}  # the words that differ between files named alike
    for item in words.values():
        for rest, word in item.edges:
            variants.setdefault(rest, set()).add(split_of(word) or word)
    splits = {name: _split_of_file(source, name, item, variants) for name, item in words.items()}
    base = root.split("?")[0].rstrip("/").rpartition("/")[2]
    if names and not any(splits.values()) and _may_be_held_out(base):
        raise _unclear(source, f"the folder {base!r}", base, path=root)
    return splits


def _words(name: str, files_speak: bool) -> _Words:
    *folders, base = PurePosixPath(name).parts
    parts = [*folders, SUFFIX.sub("", base)] if files_speak else folders
    whole: list[Split] = []
    edges: list[tuple[str, str]] = []
    others: list[str] = []
    for place, part in enumerate(parts):
        if match := PARTITION.fullmatch(part):
            others += [part] if _may_be_held_out(unquote(match[2])) else []
            continue
        plain = _tokens(part)
        spelled = split_of(part) or (split_of(plain[0]) if len(plain) == 1 else None)
        if spelled is not None:
            whole.append(spelled)
            continue
        above, below = parts[:place], ["_".join(_tokens(part)) for part in parts[place + 1 :]]
        for at in sorted({0, len(plain) - 1}) if plain else ():
            if split_of(plain[at]) or plain[at] in ABBREVIATED | ABBREVIATED_TRAIN:
                rest = [*above, *plain[:at], "*", *plain[at + 1 :], *below]
                edges.append(("/".join(rest), plain[at]))
        others += [token for token in plain[1:-1] if _held_out(split_of(token))]
        strange = [token for token in plain if not split_of(token)]
        others += filter(LIKE_HELD_OUT.fullmatch, strange)
    return _Words(whole, edges, others)


def _tokens(part: str) -> list[str]:
    """Return the words of a folder or file name, without numbers and hashes."""
    tokens = re.split(r"[\W_]+", _CASE.sub("_", part).casefold())
    return [token for token in tokens if token and not COUNTER.fullmatch(token)]


def _split_of_file(
    source: str, name: str, words: _Words, variants: Mapping[str, set[str]]
) -> Split | None:
    sure: set[str] = set(words.whole)
    maybe: set[str] = set(words.others)
    for rest, word in words.edges:
        split = split_of(word)
        if split is not None:
            others = {other for other in variants[rest] if split_of(other)} - {split}
            # Records without a split are for training too, so `train` needs no counterpart.
            (sure if split == "train" or others else maybe).add(split)
        elif word in ABBREVIATED and variants[rest] & ABBREVIATED_TRAIN:
            maybe.add(word)
    maybe -= sure
    if maybe or len(sure) > 1:
        raise _unclear(source, f"the file {name!r}", " or ".join(sorted(sure | maybe)), file=name)
    return split_of(next(iter(sure))) if sure else None


def _unclear(source: str, where: str, which: str, **values: str) -> InputError:
    words = (
        f"source {source!r}: {where} may hold a split of its own ({which}); say under columns what"
        " it holds, for example split: \"'train'\", split: \"'test'\" or an expression over"
        " filename"
    )
    return InputError(words, code="split_unclear", source=source, **values)


def _held_out(split: Split | None) -> bool:
    return split is not None and split != "train"


def _may_be_held_out(word: str) -> bool:
    return _held_out(split_of(word)) or LIKE_HELD_OUT.fullmatch(word.casefold()) is not None
