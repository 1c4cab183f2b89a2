"""Take the rows of unchanged files over from the run before, instead of reading them again."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import pyarrow as pa

from curation.sources.files import content_hash
from curation.sources.llava import LlavaReader
from curation.sources.messages import MessagesReader
from curation.sources.reader import Reader, Shard
from curation.sources.table import TableReader
from curation.stage_outputs import StageOutputs
from medsift import records
from medsift.execution import adopt_item, begin_stream, identity
from medsift.storage.locations import is_remote, local_path

SHARDS: Final = pa.schema([pa.field("key", pa.string()), pa.field("ordinal", pa.int64())])
"""What each shard contains, as a digest of settings and file, null where that is not known."""
OF_ONE_FILE: Final = (TableReader, MessagesReader, LlavaReader)
"""Readers whose rows depend on their shard's file and settings alone."""


def shard_keys(items: Sequence[tuple[Reader, Shard]], rules: Sequence[Any]) -> list[str | None]:
    """Return a digest for each shard that decides its rows; None where more than its file may.

    Args:
        items: Readers and shards.
        rules: What else decides the rows, as JSON-able values.
    """
    contents: dict[str, str] = {}
    keys: list[str | None] = []
    for reader, shard in items:
        # Slices of volumes come from more files than that of their row.
        cut = reader.volumes is not None
        if type(reader) not in OF_ONE_FILE or is_remote(shard.uri) or cut:
            keys.append(None)
            continue
        if shard.uri not in contents:
            size = local_path(shard.uri).stat().st_size
            contents[shard.uri] = content_hash(shard.uri, size)
        own = records.fingerprint([*rules, contents[shard.uri]])
        keys.append(records.digest(own, identity((reader, shard))))
    return keys


def adopt_shards(
    earlier: StageOutputs | None,
    folder: Path,
    items: Sequence[tuple[Reader, Shard]],
    keys: Sequence[str | None],
) -> None:
    """Copy the rows of shards that the run before has read and that have not changed.

    Args:
        earlier: The stage of that run; None without one.
        folder: The stage's folder.
        items: Readers and shards.
        keys: Their digests, as `shard_keys` returns them.
    """
    if earlier is None:
        return
    read = {line["key"]: line["ordinal"] for line in earlier.shards.read().to_pylist()}
    begin_stream(items, folder)
    for ordinal, key in enumerate(keys):
        if key is not None and key in read:
            adopt_item(folder, ordinal, earlier.folder, read[key])
