"""Number the groups of samples, such as their strata, in a few bytes for each sample."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, overload

import numpy as np
import pyarrow as pa

from medsift.arrays import Indices
from medsift.reorder import ranked

ROWS_AT_A_TIME: Final = 1 << 16


@dataclass(frozen=True, slots=True)
class Groups(Sequence[str]):
    """The group of each of n samples: `names` (g) sorted, each sample's `code` (n,) among them.

    As a sequence it is the name of each sample's group.
    """

    names: tuple[str, ...]
    code: Indices

    @classmethod
    def of(cls, names: Sequence[str] | pa.Array) -> Groups:
        """Number the groups (n) of samples, given by name."""
        return names if isinstance(names, Groups) else cls.of_parts([pa.array(names, pa.string())])

    @classmethod
    def of_parts(cls, parts: Iterable[pa.Array]) -> Groups:
        """Number the groups of samples, given by name in parts of text arrays."""
        encoded = [part.dictionary_encode() for part in parts]
        # Arrow unifies no chunks where there is none.
        chunks = encoded or [pa.array([], pa.string()).dictionary_encode()]
        whole = pa.chunked_array(chunks).unify_dictionaries().combine_chunks()
        one = whole if isinstance(whole, pa.DictionaryArray) else whole.chunk(0)
        return cls(tuple(sorted(one.dictionary.to_pylist())), ranked(one))

    @classmethod
    def one(cls, n: int) -> Groups:
        """Put all n samples into a single group."""
        return cls(("",), np.zeros(n, np.int64))

    def __len__(self) -> int:
        """Count the samples."""
        return len(self.code)

    @overload
    def __getitem__(self, row: int) -> str: ...

    @overload
    def __getitem__(self, row: slice) -> list[str]: ...

    def __getitem__(self, row: int | slice) -> str | list[str]:
        """Return the name of a sample's group, or those of some samples."""
        if isinstance(row, slice):
            return [self.names[code] for code in self.code[row].tolist()]
        return self.names[int(self.code[row])]

    def __iter__(self) -> Iterator[str]:
        """Iterate over the names of the samples' groups."""
        for start in range(0, len(self), ROWS_AT_A_TIME):
            yield from self[start : start + ROWS_AT_A_TIME]

    @property
    def sizes(self) -> Indices:
        """Samples in each group (g,)."""
        return np.bincount(self.code, minlength=len(self.names)).astype(np.int64)

    def take(self, rows: Indices) -> Groups:
        """Return the groups of some samples (m,), without those that none of them is in."""
        there, code = np.unique(self.code[rows], return_inverse=True)
        return Groups(tuple(self.names[number] for number in there.tolist()), code.astype(np.int64))

    def column(self, rows: Indices | slice) -> pa.Array:
        """Return the names of some samples' groups as a text array."""
        names = pa.array(self.names, pa.string())
        return names.take(pa.array(self.code[rows]))
