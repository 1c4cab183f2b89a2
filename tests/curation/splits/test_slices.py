"""Neighbouring slices: linked where the pictures are of one body, and hardly ever where not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import imagehash
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from curation.dedup import DedupConfig
from curation.matching.image_copies import image_set
from curation.neighbors import NeighborsConfig, Pairs
from curation.phantoms.cases import PIXELS, Case, draw_case
from curation.phantoms.images import PAINTERS, to_bytes
from curation.splits import SplitsConfig, find_slices, with_slices
from medsift import records
from medsift.leakage_groups import components
from medsift.storage.vectors import ContentVectors

THRESHOLD = SplitsConfig().slice_correlation
assert THRESHOLD is not None


class Drifting:
    """Draws of one body that go a way towards another's: what a moved slice plane shows.

    Painters take every shape and tissue field from draws, so a mixture of two streams is a
    picture between two bodies. Noise, drawn for every pixel, is the slice's own.
    """

    def __init__(self, case: Case, distance: float, noise: int) -> None:
        self.body = np.random.default_rng([0, case.index, PIXELS])
        self.other = np.random.default_rng([1, case.index, PIXELS])
        self.own = np.random.default_rng([2, case.index, noise])
        self.distance = distance

    def integers(self, *bounds: int) -> Any:
        return self.body.integers(*bounds)

    def random(self) -> float:
        return self.body.random()

    def uniform(self, low: float, high: float, size: Any = None) -> Any:
        one, other = (draws.uniform(low, high, size) for draws in (self.body, self.other))
        return (1 - self.distance) * one + self.distance * other

    def standard_normal(self, shape: tuple[int, int]) -> Any:
        if min(shape) > 100:
            return self.own.standard_normal(shape)
        one, other = (draws.standard_normal(shape) for draws in (self.body, self.other))
        return np.sqrt(1 - self.distance**2) * one + self.distance * other


def painted(case: Case, distance: float, noise: int) -> Image.Image:
    rng: Any = Drifting(case, distance, noise)
    shape = (int(rng.integers(224, 281)), int(rng.integers(224, 281)))
    return Image.fromarray(to_bytes(np.clip(PAINTERS[case.modality](case, rng, shape), 0, 1)))


def heads(count: int) -> list[Case]:
    """Cases of heads in the views that slices have."""
    cases = (draw_case(0, index) for index in range(4 * count))
    return [case for case in cases if case.body_part == "head"][:count]


def facts(pictures: dict[str, Image.Image], **sizes: int) -> pa.Table:
    """IMAGES rows; `width` and `height` may be told apart from the pixels."""
    lines = [
        {
            "image_id": name,
            "byte_hash": name,
            "ref": name,
            "width": sizes.get("width", picture.width),
            "height": sizes.get("height", picture.height),
            "phash": str(imagehash.phash(picture)),
            "thumb": picture.resize((64, 64), Image.Resampling.BOX).tobytes(),
        }
        for name, picture in pictures.items()
    ]
    return pa.Table.from_pylist(lines, schema=records.IMAGES)


def samples(modalities: dict[str, str | None]) -> pa.Table:
    lines = [
        {"sample_id": name, "row_id": name, "source": "s", "images": [name], "modality": modality}
        for name, modality in modalities.items()
    ]
    return pa.Table.from_pylist(lines, schema=records.SAMPLES)


def linked(
    pictures: dict[str, Image.Image], modalities: dict[str, str | None] | None = None, **sizes: int
) -> set[tuple[str, str]]:
    """Names of the pictures that are linked; vectors are all alike, so that pixels decide."""
    known = facts(pictures, **sizes)
    vectors = ContentVectors(list(pictures), np.tile(np.eye(1, 8, dtype="f4"), (len(pictures), 1)))
    images = image_set(known, vectors)
    found = find_slices(
        images, known, samples(modalities or {}), THRESHOLD, DedupConfig().image, NeighborsConfig()
    )
    return {(images.ids[a], images.ids[b]) for a, b in zip(found.left, found.right, strict=True)}


ONE_SIZE = {"width": 256, "height": 256}


def test_neighbouring_slices_are_linked_and_nothing_else() -> None:
    pictures = {
        f"{case.index:03}-{place}": painted(case, distance, place)
        for case in heads(30)
        for place, distance in enumerate((0.0, 0.1))
    }
    pairs = linked(pictures)
    assert all(one.split("-")[0] == other.split("-")[0] for one, other in pairs)
    assert len(pairs) >= 0.9 * 30


def test_other_patients_in_one_view_are_hardly_ever_linked() -> None:
    pictures = {f"{case.index:03}": painted(case, 0.0, 0) for case in heads(150)}
    pairs = linked(pictures, **ONE_SIZE)
    assert len({name for pair in pairs for name in pair}) <= 0.02 * len(pictures)


def test_no_two_cases_of_vqa_rad_are_linked_whatever_their_sizes(vqa_rad: Path) -> None:
    files = sorted((vqa_rad / "images").glob("*.jpg"))
    pictures = {path.stem: Image.open(path).convert("L") for path in files}
    assert linked(pictures, **ONE_SIZE) == set()


@pytest.fixture(scope="module")
def pair() -> dict[str, Image.Image]:
    """Two slices of one head."""
    case = heads(2)[1]
    return {"a": painted(case, 0.0, 0), "b": painted(case, 0.1, 1)}


def test_slices_have_one_size(pair: dict[str, Image.Image]) -> None:
    assert linked(pair) == {("a", "b")}
    wider = pair["b"].resize((pair["b"].width + 1, pair["b"].height))
    assert linked(pair | {"b": wider}) == set()


@pytest.mark.parametrize(
    ("modalities", "together"),
    [
        ({"a": "ct", "b": "ct"}, True),
        ({"a": "ct", "b": None}, True),
        ({"a": None, "b": None}, True),
        ({"a": "ct", "b": "mr"}, False),
    ],
)
def test_slices_have_one_modality_where_both_are_known(
    pair: dict[str, Image.Image], modalities: dict[str, str | None], together: bool
) -> None:
    assert linked(pair, modalities) == ({("a", "b")} if together else set())


def test_a_mirrored_slice_is_none(pair: dict[str, Image.Image]) -> None:
    assert linked(pair | {"b": ImageOps.mirror(pair["b"])}) == set()


def test_order_of_pictures_decides_nothing() -> None:
    pictures = {
        f"{case.index}-{place}": painted(case, 0.1 * place, place)
        for case in heads(6)
        for place in range(3)
    }
    assert linked(dict(reversed(list(pictures.items())))) == linked(pictures) != set()


def groups(names: list[str]) -> pa.Table:
    """Groups of pictures named by their places."""
    ids = [f"i{place:02}" for place in range(len(names))]
    return pa.table({"image_id": ids, "group_id": names})


@given(
    st.lists(st.integers(0, 6), min_size=1, max_size=12),
    st.lists(st.tuples(st.integers(0, 14), st.integers(0, 14)), max_size=8),
)
@settings(max_examples=60, deadline=None)
def test_groups_are_the_closure_of_copies_and_slices(copies, links) -> None:
    n = len(copies)
    # Some pictures of the search are in no group: the samples that showed them are gone.
    ids = [f"i{place:02}" for place in range(15)]
    ends = np.array(sorted({(min(p), max(p)) for p in links if p[0] != p[1]})).reshape(-1, 2)
    ends = ends.astype(np.int64)
    pairs = Pairs.of(ends[:, 0], ends[:, 1], np.ones(len(ends)))
    firsts = [f"i{copies.index(label):02}" for label in copies]
    found = with_slices(groups(firsts), ids, pairs)
    reach = np.array([[a == b for b in firsts] for a in firsts])
    for a, b in ends.tolist():
        if a < n and b < n:
            reach[a, b] = reach[b, a] = True
    for middle in range(n):
        reach |= np.outer(reach[:, middle], reach[middle])
    names = np.array(found["group_id"].to_pylist())
    assert np.array_equal(names[:, None] == names[None, :], reach)
    assert all(name == min(np.array(ids)[:n][names == name]) for name in names)
    assert found["image_id"].to_pylist() == ids[:n]


def test_samples_on_neighbouring_slices_are_one_component() -> None:
    pool = samples({"i00": None, "i01": None, "i02": None})
    pairs = Pairs.of(np.array([0]), np.array([2]), np.ones(1))
    joined = with_slices(groups(["i00", "i01", "i02"]), ["i00", "i01", "i02"], pairs)
    labels = components(pool, joined, "image")
    assert labels[0] == labels[2] != labels[1]
