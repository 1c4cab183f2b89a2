"""Define every error that MedSift raises on purpose.

    MedSiftError
    ├── UsageError        exit 2   a command or a call that cannot be carried out as asked
    │   └── RecipeError   exit 2   a recipe that does not validate
    ├── InputError        exit 3   data that cannot be read at all
    ├── ModelError        exit 3   an encoder or model that cannot be loaded
    ├── StorageError      exit 3   a disk or object store that refuses
    ├── ManifestError     exit 2   SQL or a manifest that cannot be served
    └── LedgerError       exit 4   rows unaccounted for or undecided, or too many failures

A message names the value, what is allowed and the fix, in one line. Its `code` is stable: programs
and tests match the code and the `values`, never the sentence. `medsift/error_codes/` says what each
code means and what to do; docs/errors.md is generated from it.
"""

from __future__ import annotations

from typing import Any, ClassVar, Self


class MedSiftError(Exception):
    """Base of all errors raised on purpose.

    Args:
        message: One line for people: the value, what is allowed and the fix.
        code: A key of `medsift.error_codes.CODES`.
        values: What the message names, for programs, for example ``selection="small"``.
    """

    exit_code: ClassVar[int] = 1
    """Status with which the command line ends."""

    def __init__(self, message: str, *, code: str, **values: Any) -> None:
        super().__init__(message)
        self.code = code
        self.values = values

    def reworded(self, message: str) -> Self:
        """Return the same error, of the same code and values, with another message."""
        other: Self = _restore(type(self), (message,), self.__dict__)
        return other

    def __reduce__(self) -> tuple[Any, ...]:
        # The default calls the class with `args` alone, which subclasses with other parameters
        # refuse: errors travel between processes by pickle.
        return _restore, (type(self), self.args, self.__dict__)


def _restore(kind: type[MedSiftError], args: tuple[Any, ...], state: dict[str, Any]) -> Any:
    error = kind.__new__(kind, *args)
    error.args = args
    error.__dict__.update(state)
    return error


class UsageError(MedSiftError):
    """A command or call that cannot be carried out as asked."""

    exit_code = 2


class RecipeError(UsageError):
    """A recipe that does not validate; the message names the path, the value, what is allowed."""


class InputError(MedSiftError):
    """Input data that cannot be read at all."""

    exit_code = 3


class ModelError(MedSiftError):
    """An encoder or model that cannot be loaded or does not match what was asked for."""

    exit_code = 3


class StorageError(MedSiftError):
    """A disk or object store that refuses to read or write."""

    exit_code = 3


class ManifestError(MedSiftError):
    """A manifest that cannot be read, or a statement on it that cannot be answered."""

    exit_code = 2


class LedgerError(MedSiftError):
    """Rows without a fate or for a person to decide, or more failures than the recipe allows."""

    exit_code = 4
