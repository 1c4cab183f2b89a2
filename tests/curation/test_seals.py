"""A seal tells every change of a file, and a damaged part is one error that names it."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from medsift.errors import StorageError
from medsift.storage.parts import count_rows, read_part, write_table
from medsift.storage.seals import broken, make_durable, seals
from tests.expect import raises_code


@pytest.fixture
def part(tmp_path: Path) -> Path:
    table = pa.table({"name": [f"row {n}" for n in range(50)], "value": range(50)})
    path = tmp_path / "samples" / "part-000000.parquet"
    write_table(table, path)
    return path


def test_every_flipped_bit_breaks_the_seal(part: Path, tmp_path: Path) -> None:
    known, data = seals(tmp_path, [part]), part.read_bytes()
    assert broken(tmp_path, known) is None
    for place in range(len(data)):
        changed = bytearray(data)
        changed[place] ^= 1 << (place % 8)
        part.write_bytes(changed)
        assert str(part) in (broken(tmp_path, known) or "")
    part.write_bytes(data[:-1])
    assert broken(tmp_path, known) is not None
    part.unlink()
    assert broken(tmp_path, known) is not None


def test_a_flipped_value_is_an_error_and_never_another_value(part: Path) -> None:
    table, data = read_part(part), part.read_bytes()
    refused = 0
    # The pages come before the footer, whose length stands in the last eight bytes.
    pages = len(data) - 8 - int.from_bytes(data[-8:-4], "little")
    for place in range(4, pages):
        changed = bytearray(data)
        changed[place] ^= 16
        part.write_bytes(changed)
        try:
            found = read_part(part)
        except StorageError:
            refused += 1
        else:
            assert found.equals(table)
    assert refused > 0.8 * (pages - 4)


@pytest.mark.parametrize("content", [b"", b"PAR1", b"PAR1" + bytes(100) + b"PAR1"])
def test_a_file_that_is_no_parquet_is_a_storage_error(part: Path, content: bytes) -> None:
    part.write_bytes(content)
    with raises_code("stage_damaged", path=str(part)):
        read_part(part)
    with raises_code("stage_damaged", path=str(part)):
        count_rows(part.parent)


def test_a_folder_is_pushed_to_the_disk_with_all_below(part: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    make_durable(tmp_path)
    assert part.exists()
