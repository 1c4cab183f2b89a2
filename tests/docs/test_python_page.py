"""docs/python.md: every block runs, in order, and prints what the page shows."""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "python.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```(?:\n\n```text\n(.*?)```)?", PAGE, re.DOTALL)


def test_every_block_runs_and_prints_what_is_shown(tmp_path):
    assert len(BLOCKS) > 6
    names = {"folder": tmp_path}
    for code, shown in BLOCKS:
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile(code, "docs/python.md", "exec"), names)
        assert not shown or printed.getvalue() == shown
    assert len(names["run"].selections) == 3
    assert names["same"].compare(names["run"]).num_rows == 0
    assert len(names["dataset"]) == len(names["small"].ids) > 0
    assert [path.exists() for path in names["files"]] == [True] * len(names["files"])
