"""Drop the rows that a Python function of the user's own refuses."""

from __future__ import annotations

import hashlib
import importlib
import inspect
from collections.abc import Callable, Mapping
from typing import Any, Literal

import pyarrow as pa
from pydantic import Field

from curation.filters.row_filter import COLUMNS, Drop, RowFilter
from medsift.errors import InputError, RecipeError


class PythonFunction(RowFilter):
    """Drop rows for which a function returns false.

    The function takes one sample as a mapping of column to value. It returns true to keep the row,
    else false, ``(False, "why")`` or ``(False, "why", number)``. It must depend on the row alone.
    """

    kind: Literal["python"] = "python"
    python: str = Field(pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$")
    """The function, as ``package.module:function``; its module must be importable."""

    def fingerprint(self) -> list[str]:
        """Return the name and the source of the function: another source is another filter.

        Raises:
            RecipeError: there is no such module or function.
        """
        function = self._function()
        try:
            source = inspect.getsource(function)
        except (OSError, TypeError):
            source = ""  # built in or compiled: its name is all there is
        digest = hashlib.sha256(source.encode()).hexdigest()
        return [self.name, self.python, digest]

    def drops(self, samples: pa.Table) -> Mapping[int, Drop]:
        """Return the rows that the function refuses.

        Raises:
            InputError: the function raised, or returned something else; names the row.
        """
        function = self._function()
        refused = {}
        for index, row in enumerate(samples.select(COLUMNS).to_pylist()):
            try:
                answer = function(row)
            # A user's function may raise anything; the row's id is what helps to find the cause.
            except Exception as error:
                words = f"raised {type(error).__name__} on row {row['row_id']!r}: {error}"
                raise self._failed(words, row) from error
            if (drop := self._drop(answer, row)) is not None:
                refused[index] = drop
        return refused

    def _function(self) -> Callable[[Mapping[str, Any]], Any]:
        module, _, name = self.python.partition(":")
        try:
            function = getattr(importlib.import_module(module), name)
        except (ImportError, AttributeError) as error:
            words = f"filter {self.name!r}: no function {self.python!r} ({error}); name one as"
            words += " package.module:function, importable from where the run starts"
            raise RecipeError(words, code="filter_function_missing", filter=self.name) from error
        if not callable(function):
            kind = type(function).__name__
            words = f"filter {self.name!r}: {self.python!r} is a {kind}, not a function"
            raise RecipeError(words, code="filter_function_missing", filter=self.name)
        return function  # type: ignore[no-any-return]

    def _drop(self, answer: Any, row: Mapping[str, Any]) -> Drop | None:
        match answer if isinstance(answer, tuple) else (answer,):
            case (bool(kept),):
                return None if kept else Drop(self.python)
            case (bool(kept), str(detail)):
                return None if kept else Drop(detail)
            case (bool(kept), str(detail), int(value) | float(value)) if type(value) is not bool:
                return None if kept else Drop(detail, float(value))
        words = f"returned {answer!r} for row {row['row_id']!r}; allowed are True, False, "
        raise self._failed(f'{words}(False, "why") and (False, "why", number)', row)

    def _failed(self, words: str, row: Mapping[str, Any]) -> InputError:
        values = {"filter": self.name, "row_id": row["row_id"]}
        return InputError(f"filter {self.name!r} {words}", code="filter_failed", **values)
