"""Read vectors and the ids of their contents."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from medsift.arrays import Floats
from medsift.errors import UsageError
from medsift.storage.parts import parts, read_part


@dataclass(frozen=True, slots=True)
class ContentVectors:
    """Unit vectors `matrix` (n, d), float32, of the contents `ids` (n)."""

    ids: Sequence[str]
    matrix: Floats

    def rows(self, wanted: Sequence[str] | pa.Array, what: str) -> Floats:
        """Return the vectors (len(wanted), d) of contents; UsageError about `what` without one."""
        wanted = wanted.to_pylist() if isinstance(wanted, pa.Array) else wanted
        row_of = {content: row for row, content in enumerate(self.ids)}
        missing = [content for content in wanted if content not in row_of]
        if missing:
            raise no_vector(len(missing), len(wanted), missing[0], what)
        picked = np.array([row_of[content] for content in wanted], dtype=np.int64)
        return self.matrix[picked] if len(picked) else np.zeros((0, self.matrix.shape[1]), "f4")


def no_vector(missing: int, wanted: int, first: str, what: str) -> UsageError:
    """Return the error of contents without a vector."""
    message = (
        f"{missing} of {wanted} {what} have no vector, the first is {first!r}; embed every one of "
        "them first"
    )
    return UsageError(message, code="vectors_missing", what=what, missing=missing)


def read_vectors(folder: Path) -> ContentVectors:
    """Read every (content id, vector) of a folder once, sorted by content id."""
    tables = [read_part(path) for path in parts(folder)]
    if not any(table.num_rows for table in tables):
        return ContentVectors(ids=[], matrix=np.zeros((0, 0), dtype=np.float32))
    table = pa.concat_tables(table for table in tables if table.num_rows)
    ids = np.asarray(table["content_id"].to_pylist(), dtype=object)
    _, first = np.unique(ids.astype(str), return_index=True)
    column = table["vector"].combine_chunks()
    matrix = column.flatten().to_numpy(zero_copy_only=False).reshape(len(ids), -1)
    return ContentVectors(ids=ids[first].tolist(), matrix=matrix[first])
