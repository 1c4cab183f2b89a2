"""A full disk is one error with its code wherever it is met, and other refusals keep their type."""

from __future__ import annotations

from pathlib import Path

import pytest

from medsift.errors import StorageError
from medsift.storage.refusals import named_full_disks
from tests.expect import raises_code

FULL = Path("/dev/full")

pytestmark = pytest.mark.skipif(not FULL.exists(), reason="this system has no /dev/full")


def test_a_full_disk_has_its_code_also_while_another_error_is_on_its_way(tmp_path):
    with raises_code("disk_refused", path=str(tmp_path)), named_full_disks(tmp_path, "stop"):
        FULL.open("wb", buffering=0).write(b"x")
    # What is left in a buffer is refused at the close of the file, in place of the first error.
    with (
        raises_code("disk_refused", path=str(tmp_path)),
        named_full_disks(tmp_path, "stop"),
        FULL.open("wb") as file,
    ):
        file.write(b"x")
        raise StorageError("the first", code="store_refused")


def test_other_errors_pass(tmp_path):
    with pytest.raises(FileNotFoundError), named_full_disks(tmp_path, "stop"):
        (tmp_path / "missing").read_bytes()
    with raises_code("store_refused"), named_full_disks(tmp_path, "stop"):
        raise StorageError("a store", code="store_refused")
