"""A decoder that crashes or hangs in native code at marked pictures, in every new process."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Final

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

ORDER: Final = "order"
SITE: Final = f"""
import ctypes, re
from pathlib import Path
from PIL import PngImagePlugin

usual = PngImagePlugin.PngImageFile.load

def load(self):
    order, _, mark = self.info.get({ORDER!r}, "").partition(" ")
    if order == "crash" or (order == "crash-once" and not Path(mark).exists()):
        if mark:
            Path(mark).touch()
        ctypes.string_at(0)
    if order == "stall":
        re.match("(a+)+b", 60 * "a")  # native, and never lets another thread run
    return usual(self)

PngImagePlugin.PngImageFile.load = load
"""
"""A module that Python imports in every new process: this one keeps the usual decoder."""


def install(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have every process that starts from now on decode PNG files with such a decoder."""
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(SITE, encoding="utf-8")
    earlier = os.environ.get("PYTHONPATH")
    paths = [str(folder), *([earlier] if earlier else [])]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(paths))


def marked(picture: Image.Image, order: str) -> bytes:
    """Return a picture as a PNG file that has the decoder do `order`."""
    info, out = PngInfo(), io.BytesIO()
    info.add_text(ORDER, order)
    picture.save(out, "PNG", pnginfo=info)
    return out.getvalue()
