"""What to do when a disk refuses, by what it says."""

from __future__ import annotations

import errno
from typing import Final

_FULL: Final = frozenset((errno.ENOSPC, errno.EDQUOT, errno.EFBIG))
_CLOSED: Final = frozenset((errno.EACCES, errno.EPERM, errno.EROFS))


def way_out(error: OSError, otherwise: str) -> str:
    """The next step after a refusal to write; `otherwise` is another place, as an imperative."""
    if error.errno in _FULL:
        return f"free some space or {otherwise}"
    if error.errno in _CLOSED:
        return f"make it writable or {otherwise}"
    return otherwise
