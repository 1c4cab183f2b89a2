"""Pictures are decoded apart: as here, and one that crashes or hangs the decoder fails alone."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import psutil
import pytest
from PIL import Image

from medsift import child_process
from medsift.images import ImagesConfig
from medsift.images.decoder_process import DecoderProcess
from medsift.images.inspect_image import inspect
from tests.curation.poisoned_decoder import install, marked
from tests.expect import raises_code

CONFIG = ImagesConfig()
PARENT = """
import sys, time
from medsift.images.decoder_process import DecoderProcess
from medsift.images import ImagesConfig
decoder = DecoderProcess(ImagesConfig(), 2)
print(decoder.process.pid, flush=True)
decoder.inspect("a.png", open(sys.argv[1], "rb").read())
print("done", flush=True)
time.sleep(600)
"""


def scene(seed: int = 0) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 256, (30, 40, 3))
    return Image.fromarray(pixels.astype(np.uint8))


def saved(picture: Image.Image, kind: str) -> bytes:
    out = io.BytesIO()
    picture.save(out, kind)
    return out.getvalue()


def same(found, expected) -> None:
    assert found[0] == expected[0]
    assert (found[1] is None) == (expected[1] is None)
    if found[1] is not None:
        assert found[1].mode == expected[1].mode
        assert np.array_equal(np.asarray(found[1]), np.asarray(expected[1]))


@pytest.fixture
def poisoned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path / "site", monkeypatch)


def test_a_picture_is_read_or_refused_as_in_this_process():
    decoder = DecoderProcess(CONFIG, 60)
    files = [saved(scene(kind), name) for kind, name in enumerate(("PNG", "JPEG", "TIFF", "GIF"))]
    files += [saved(scene().convert("L"), "PNG"), b"", b"no picture", files[0][:200]]
    for data in files:
        same(decoder.inspect("a.png", data), inspect("a.png", data, CONFIG))


def test_a_picture_that_crashes_the_decoder_fails_and_the_next_one_does_not(poisoned: None):
    decoder = DecoderProcess(CONFIG, 60)
    sound = saved(scene(1), "PNG")
    same(decoder.inspect("a.png", sound), inspect("a.png", sound, CONFIG))
    first = decoder.process.pid
    data = marked(scene(), "crash")
    row, shown = decoder.inspect("b.png", data)
    assert (row["error"], shown) == ("image_decoder_crashed", None)
    assert (row["ref"], row["size_bytes"]) == ("b.png", len(data))
    assert "SIGSEGV" in row["detail"]
    assert decoder.process.pid != first
    same(decoder.inspect("a.png", sound), inspect("a.png", sound, CONFIG))


def test_a_picture_that_crashed_the_decoder_once_is_read_by_a_new_one(
    poisoned: None, tmp_path: Path
):
    data = marked(scene(), f"crash-once {tmp_path / 'mark'}")
    same(DecoderProcess(CONFIG, 60).inspect("a.png", data), inspect("a.png", data, CONFIG))
    assert (tmp_path / "mark").exists()


def test_a_picture_that_hangs_the_decoder_fails_after_its_time(poisoned: None):
    decoder = DecoderProcess(CONFIG, 2)
    begun = time.monotonic()
    row, shown = decoder.inspect("a.png", marked(scene(), "stall"))
    assert time.monotonic() - begun >= 4, "it is tried twice"
    assert (row["error"], shown) == ("image_decoder_stalled", None)
    sound = saved(scene(1), "PNG")
    same(decoder.inspect("a.png", sound), inspect("a.png", sound, CONFIG))


@pytest.mark.timeout(60)
def test_a_hanging_decoder_is_ended_also_where_its_starter_blocks_signals(poisoned: None):
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGALRM])
    try:
        row, _ = DecoderProcess(CONFIG, 1).inspect("a.png", marked(scene(), "stall"))
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    assert row["error"] == "image_decoder_stalled"


@pytest.mark.parametrize("order", ["none", "stall"])
def test_a_decoder_ends_after_a_killed_process_also_while_it_hangs(
    poisoned: None, tmp_path: Path, order: str
):
    (tmp_path / "a.png").write_bytes(marked(scene(), order))
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, tmp_path / "a.png"], stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout is not None
    decoder = psutil.Process(int(parent.stdout.readline()))
    if order == "none":
        assert parent.stdout.readline() == "done\n"
    parent.kill()
    parent.communicate()
    # Whoever adopts it may not have collected it yet.
    deadline = time.monotonic() + 30
    with suppress(psutil.NoSuchProcess):
        while decoder.status() != psutil.STATUS_ZOMBIE:
            assert time.monotonic() < deadline
            time.sleep(0.1)


def test_a_decoder_that_does_not_start_is_no_fault_of_the_picture(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
):
    monkeypatch.setattr(child_process, "START", "raise SystemExit('no memory')")
    with raises_code("decoder_not_started"):
        DecoderProcess(CONFIG, 60).inspect("a.png", saved(scene(), "PNG"))
    assert "no memory" in capfd.readouterr().err


def test_an_error_of_our_own_is_raised_where_the_picture_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "sitecustomize.py").write_text(
        "import importlib\n"
        "def fail(grey): raise KeyError('ours')\n"
        "importlib.import_module('medsift.images.facts').perceptual_hash = fail\n"
    )
    paths = os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])])
    monkeypatch.setenv("PYTHONPATH", paths)
    decoder = DecoderProcess(CONFIG, 60)
    with pytest.raises(KeyError, match="ours") as caught:
        decoder.inspect("a.png", saved(scene(), "PNG"))
    assert "sitecustomize" in "".join(caught.value.__notes__)
    assert decoder.inspect("b.png", b"")[0]["error"] == "image_empty"
