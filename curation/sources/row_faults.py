"""Contain the fault of a foreign record to its own row."""

from __future__ import annotations

from typing import Final

from curation.sources.record_batches import Bad

# The work on one row reads data that nobody checked: values of any type and shape, text in any
# state. What Python raises over such a value is one of these, wherever in that work it happens,
# and costs the row. What says that our own code is broken is not among them and ends the run:
# a name that is not there (NameError, ImportError), a promise that does not hold (AssertionError),
# something never written (NotImplementedError), memory and disk (MemoryError, OSError), and the
# errors of this package, which carry their own meaning.
FOREIGN: Final = (
    ValueError,  # UnicodeError among them
    TypeError,
    AttributeError,
    LookupError,
    ArithmeticError,
    RecursionError,
)
UNREADABLE: Final = "unreadable_row"


class RowFault(Exception):
    """A record that cannot be used: its reason code, and words as the message."""

    def __init__(self, reason: str, detail: object) -> None:
        super().__init__(str(detail))
        self.reason = reason


def bad_row(index: int, error: Exception) -> Bad:
    """The ledger's view of what a row's work raised: a fault's own reason, else its type."""
    if isinstance(error, RowFault):
        return Bad(index, error.reason, str(error))
    line = " ".join(str(error).split())[:200]
    return Bad(index, UNREADABLE, f"{type(error).__name__}: {line}")
