"""Every error MedSift raises on purpose.

    MedSiftError
    ├── UsageError        exit 2   a command or a call that cannot be carried out as asked
    │   └── RecipeError   exit 2   a recipe that does not validate
    ├── InputError        exit 3   data that cannot be read at all
    ├── ModelError        exit 3   an encoder or model that cannot be loaded
    ├── StorageError      exit 3   a disk or object store that refuses
    ├── ManifestError     exit 2   SQL or a manifest that cannot be served
    └── LedgerError       exit 4   rows unaccounted for or undecided, or too many failures

A message names the value, what is allowed, and the mend, in one line.
"""

from __future__ import annotations

from typing import ClassVar


class MedSiftError(Exception):
    """Base of all errors raised on purpose; `exit_code` is the command line's status."""

    exit_code: ClassVar[int] = 1


class UsageError(MedSiftError):
    """A command or call that cannot be carried out as asked."""

    exit_code = 2


class RecipeError(UsageError):
    """A recipe that does not validate: names the path, the value and what is allowed."""


class InputError(MedSiftError):
    """Input data that cannot be read at all."""

    exit_code = 3


class ModelError(MedSiftError):
    """An encoder or model that cannot be had or does not match what was asked for."""

    exit_code = 3


class StorageError(MedSiftError):
    """A disk or object store that refuses to read or write."""

    exit_code = 3


class ManifestError(MedSiftError):
    """A manifest or a statement on it that cannot be served."""

    exit_code = 2


class LedgerError(MedSiftError):
    """Rows unaccounted for or left to a person, or more failures than the recipe tolerates."""

    exit_code = 4
