"""No picture is mirrored on its way to a model: in a body left is not right."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from medsift.images import ImagesConfig, decode
from tests import tiny_models
from training.dataset.samples import Picture, load_picture

ROOT = Path(__file__).resolve().parents[2]
FLIPS = re.compile(
    r"FLIP_LEFT_RIGHT|ImageOps\.mirror|fliplr|[hv]flip|Random\w*Flip|RandomAffine|RandomRotation"
)


def bright_left(path: Path) -> Path:
    """A picture whose left half is bright."""
    pixels = np.full((56, 84), 20, np.uint8)
    pixels[:, :42] = 230
    pixels[:4, :] = 128
    Image.fromarray(pixels).save(path)
    return path


def test_nothing_that_feeds_a_model_knows_how_to_mirror() -> None:
    rooms = [ROOT / name for name in ("training", "evaluation", "medsift", "curation/encoders")]
    files = [path for room in rooms for path in room.rglob("*.py")]
    assert len(files) > 200
    assert [path for path in files if FLIPS.search(path.read_text(encoding="utf-8"))] == []


@pytest.mark.parametrize("family", ["llava", "idefics"])
def test_processors_of_models_keep_left_on_the_left_each_time(family: str, tmp_path: Path) -> None:
    _, processor = getattr(tiny_models, family)()
    path = bright_left(tmp_path / "a.png")
    image_id = decode(path.read_bytes(), path.name, ImagesConfig()).image_id
    seen = []
    for _ in range(10):
        picture = load_picture(Picture(image_id, str(path), 84, 56), 40 * 40)
        values = np.asarray(processor.image_processor(picture, return_tensors="np").pixel_values)
        whole = values.reshape(-1, *values.shape[-3:])[-1]
        side = whole.shape[-1] // 2
        assert whole[..., :side].mean() > whole[..., side:].mean()
        seen.append(values)
    assert all(np.array_equal(seen[0], other) for other in seen)
