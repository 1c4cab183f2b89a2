"""The review list on the page: both pictures side by side, the most similar first, none hidden."""

from __future__ import annotations

import base64
import io
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from curation.report import write_report
from curation.report.review import MAX_HITS

NEAR = "near, unresolved"
ARTICLE = re.compile(r"<article class=\"group\">.*?</article>", re.DOTALL)


def grey(level: int) -> bytes:
    return bytes(np.full((64, 64), level, np.uint8).tobytes())


def near_image(row: str, similarity: float, **more: Any) -> dict[str, Any]:
    return {
        "benchmark": "held",
        "kind": "near_image",
        "row_id": row,
        "image_id": f"image of {row}",
        "samples": 3,
        "item_id": f"item of {row}",
        "item_image_id": "theirs",
        "items": 1,
        "item_question": None,
        "item_ref": None,
        "item_miniature": grey(90),
        "similarity": similarity,
        "cosine": 0.98,
        "correlation": similarity,
        "verdict": NEAR,
        **more,
    }


def sample(row: str, ref: str, question: str) -> dict[str, Any]:
    return {
        "sample_id": f"s{row}",
        "row_id": row,
        "source": "s",
        "question": question,
        "answer": "no",
        "images": [{"image_id": f"image of {row}", "ref": ref}],
    }


@pytest.fixture
def near_page(
    tmp_path: Path,
    write_small: Callable[..., Path],
    draw_picture: Callable[[Path, int], None],
    hostile: str,
) -> Path:
    """Three hits: one with a miniature, one whose original is there, one of words."""
    for place in range(3):
        draw_picture(tmp_path / f"{place}.png", place)
    refs = [str(tmp_path / f"{place}.png") for place in range(3)]
    text = {"kind": "long_run", "image_id": None, "item_image_id": None, "item_miniature": None}
    text |= {"cosine": None, "correlation": None, "samples": 1}
    own = {"item_ref": refs[2], "item_question": hostile, "samples": 1}
    tables = {
        "samples": [
            sample("a", refs[0], "first?"),
            sample("b", refs[1], "second?"),
            sample("c", "", "third?") | {"images": []},
        ],
        "decisions": [
            {"row_id": "b", "stage": "decontaminate", "action": "dropped", "reason": "near_image"}
        ],
        "reviews": [
            near_image("c", 0.5, **text),
            near_image("a", 0.9712),
            near_image("b", 0.9911, **own),
        ],
    }
    return write_report(write_small(tmp_path / "m.duckdb", tables), None, tmp_path / "page.html")


def articles(page: Path) -> list[str]:
    markup = page.read_text(encoding="utf-8")
    return ARTICLE.findall(markup[markup.index('id="review"') :])


def pictures(article: str) -> list[Image.Image]:
    found = re.findall(r"data:image/\w+;base64,([A-Za-z0-9+/=]+)", article)
    return [Image.open(io.BytesIO(base64.b64decode(text))) for text in found]


def test_the_most_similar_come_first_with_both_pictures(near_page: Path) -> None:
    b, a, c = articles(near_page)
    assert [len(pictures(one)) for one in (b, a, c)] == [2, 2, 0]
    theirs = pictures(a)[1]
    assert theirs.size == (64, 64)
    assert np.unique(np.asarray(theirs)).tolist() == [90]
    assert pictures(b)[1].size == (200, 180)
    assert "similarity 0.971 · correlation 0.971 · cosine 0.980 · near image: near, unresolved" in a
    assert "similarity 0.500 · long run: near, unresolved" in c


def test_a_hit_says_who_shows_it_what_is_asked_and_what_became_of_it(near_page: Path) -> None:
    b, a, c = articles(near_page)
    assert "pool, and 2 more with this picture" in a
    assert "first?" in a
    assert "item of a" in a
    assert ">kept<" in a
    assert ">dropped<" in b
    assert "more with" not in c


def test_markup_in_a_question_stays_text(near_page: Path, breakout: str) -> None:
    assert breakout not in near_page.read_text(encoding="utf-8")


def test_of_many_hits_the_total_is_named(tmp_path: Path, write_small: Callable[..., Path]) -> None:
    lines = [near_image(f"r{place:03}", 0.97 + place / 1e5) for place in range(MAX_HITS + 7)]
    page = write_report(
        write_small(tmp_path / "m.duckdb", {"reviews": lines}), None, tmp_path / "page.html"
    )
    found = articles(page)
    assert len(found) == MAX_HITS
    assert f"item of r{MAX_HITS + 6:03}" in found[0]
    words = " ".join(page.read_text(encoding="utf-8").split())
    assert f"The first {MAX_HITS} of {MAX_HITS + 7} are shown" in words


@pytest.mark.page
def test_a_browser_shows_the_pictures_side_by_side(
    near_page: Path, chromium: str, tmp_path: Path
) -> None:
    shot = tmp_path / "shot.png"
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run"]
    flags += ["--enable-logging=stderr", f"--user-data-dir={tmp_path / 'profile'}"]
    flags += ["--window-size=1200,6000", "--virtual-time-budget=10000", f"--screenshot={shot}"]
    done = subprocess.run(
        [chromium, *flags, near_page.as_uri()],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert not [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    pixels = np.asarray(Image.open(shot).convert("RGB")).astype(int)
    # The only miniature is of one grey; next to it, on the same rows, is the pool's picture.
    rows, columns = np.nonzero((pixels == 90).all(2))
    top, bottom, left, right = rows.min(), rows.max(), columns.min(), columns.max()
    assert min(bottom - top, right - left) > 120
    beside = pixels[top + 20 : bottom - 20, left - (right - left) : left - 20]
    assert beside.std() > 20
