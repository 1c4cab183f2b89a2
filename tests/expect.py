"""Expect an error by its code and values, so that its sentence stays free to improve."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from medsift.error_codes import CODES
from medsift.errors import MedSiftError


@contextmanager
def raises_code(code: str, **values: Any) -> Iterator[pytest.ExceptionInfo[MedSiftError]]:
    """Expect a MedSiftError of this code, whose values contain these."""
    assert code in CODES, f"{code} is not documented in medsift/error_codes"
    with pytest.raises(MedSiftError) as caught:
        yield caught
    error = caught.value
    assert error.code == code, f"{error.code}: {error}"
    assert {name: error.values.get(name) for name in values} == values
