"""How long the text encoder worked and waited is counted, and nothing for texts of the cache."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from curation.encoders.embedded import EmbeddedConfig
from curation.stages.distinct_texts import TEXTS
from curation.stages.embed import EncodeTexts
from curation.stages.work_files import WorkFolder
from medsift.device_clock import WAITED, WORKED
from medsift.execution import LocalExecutor, spent_seconds

ROWS = pa.table(
    {
        "content_id": ["id0", "id1"],
        "text": [f"is there a lesion in the {side} lung?" for side in ("left", "right")],
    }
)


def encode(out: Path, cache: Path) -> dict[str, float]:
    work = WorkFolder(out / "work")
    items = work.write([ROWS], TEXTS)
    make = lambda: EncodeTexts(EmbeddedConfig(), cache, work, batch=1)  # noqa: E731
    LocalExecutor().stream(items, make, out, lambda _: None)
    return spent_seconds(out)


def test_work_is_counted_once_and_the_cache_for_nothing(tmp_path):
    spent = encode(tmp_path / "first", tmp_path / "cache")
    assert set(spent) == {WORKED, WAITED}
    assert min(spent.values()) > 0
    assert encode(tmp_path / "second", tmp_path / "cache") == {}
