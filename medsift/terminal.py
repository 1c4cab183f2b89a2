"""Make foreign text safe for a terminal, which would obey the control characters in it."""

from __future__ import annotations

import re
from typing import Final

# ESC and the other control characters, C1 too: 0x9b begins a sequence as ESC does.
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")


def escaped(text: str) -> str:
    r"""Return the text with its control characters written out, such as ``\x1b``."""
    return _CONTROL.sub(lambda match: f"\\x{ord(match[0]):02x}", text)
