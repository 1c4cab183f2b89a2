"""Confine the fault of a foreign record to its own row."""

from __future__ import annotations

from typing import Final

from curation.sources.record_batches import Bad

# One row is data that nobody checked: values of any type and shape, text in any state. What Python
# raises over such a value is one of these, wherever it happens, and fails that row alone. Errors
# that show a fault of our own code are left out and end the run: a missing name (NameError,
# ImportError), a broken promise (AssertionError), unwritten code (NotImplementedError), memory and
# disk (MemoryError, OSError), and the errors of this package, which have their own meaning.
FOREIGN: Final = (
    ValueError,  # UnicodeError among them
    TypeError,
    AttributeError,
    LookupError,
    ArithmeticError,
    RecursionError,
)
UNREADABLE: Final = "unreadable_row"
MALFORMED_CHAT: Final = "malformed_messages"
MALFORMED_IMAGE: Final = "malformed_image"


class RowFault(Exception):
    """A record that cannot be used: its reason code, and the explanation as the message."""

    def __init__(self, reason: str, detail: object) -> None:
        super().__init__(str(detail))
        self.reason = reason


def chat_fault(detail: object) -> RowFault:
    """Return the fault of a conversation, a question or options that cannot be read."""
    return RowFault(MALFORMED_CHAT, detail)


def bad_row(index: int, error: Exception) -> Bad:
    """Return the ledger entry for what reading a row raised: a fault's reason, else its type."""
    if isinstance(error, RowFault):
        return Bad(index, error.reason, str(error))
    line = " ".join(str(error).split())[:200]
    return Bad(index, UNREADABLE, f"{type(error).__name__}: {line}")
