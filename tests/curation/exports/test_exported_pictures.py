"""Pictures of every kind, exported: what a trainer opens is what the run saw."""

from __future__ import annotations

import base64
import io
import json
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image, ImageCms

from curation.exports.write_export import export
from medsift.errors import ManifestError
from medsift.images import ImagesConfig, decode
from tests.curation.exports.conftest import image_id
from tests.expect import raises_code

BY_PATH = ("llava", "messages", "ms_swift", "qwen_vl", "sharegpt")
FORMATS = (*BY_PATH, "hf", "llama_factory", "openai", "webdataset")
NOT_OF_OPENAI = (".bmp", ".tif", ".gif")
SHAPE = (24, 31)
Save = Callable[[Path], None]


def grey(depth: type[np.generic] = np.uint8, top: float = 255) -> np.ndarray[Any, Any]:
    """A slope with a bright corner, of some depth."""
    slope = np.add.outer(np.arange(SHAPE[0]), np.arange(SHAPE[1])) / (sum(SHAPE) - 2)
    return (slope * top).astype(depth)


def colour() -> Image.Image:
    drawn = np.random.default_rng(5)
    return Image.fromarray(drawn.integers(0, 256, (*SHAPE, 3)).astype(np.uint8))


def clear() -> Image.Image:
    """Colour behind a slope of transparency."""
    picture = colour()
    picture.putalpha(Image.fromarray(grey()))
    return picture


def turned(path: Path, picture: Image.Image) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    picture.save(path, exif=exif)


def lab(path: Path) -> None:
    profile = ImageCms.createProfile
    ImageCms.profileToProfile(colour(), profile("sRGB"), profile("LAB"), outputMode="LAB").save(
        path
    )


def palette(path: Path) -> None:
    colour().quantize(16).save(path, transparency=3)


def frames(path: Path, **more: Any) -> None:
    colour().save(path, save_all=True, append_images=[colour().rotate(180)], **more)


def dicom(path: Path, photometric: str = "MONOCHROME2", frames: int = 1, **tags: Any) -> None:
    import pydicom
    from pydicom.uid import ExplicitVRLittleEndian

    made = pydicom.Dataset()
    made.file_meta = pydicom.dataset.FileMetaDataset()
    made.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    made.Rows, made.Columns = SHAPE
    made.SamplesPerPixel, made.PhotometricInterpretation = 1, photometric
    made.BitsAllocated, made.BitsStored, made.HighBit, made.PixelRepresentation = 16, 12, 11, 0
    if frames > 1:
        made.NumberOfFrames = frames
    values = [grey(np.uint16, 4000 - 500 * place) for place in range(frames)]
    made.PixelData = np.stack(values).tobytes()
    for name, value in tags.items():
        setattr(made, name, value)
    made.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.7"
    made.file_meta.MediaStorageSOPInstanceUID = "1.2.3"
    made.save_as(path, enforce_file_format=True)


KINDS: dict[str, Save] = {
    "plain.png": lambda path: colour().save(path),
    "plain.jpg": lambda path: colour().save(path),
    "grey.png": lambda path: Image.fromarray(grey()).save(path),
    "plain.webp": lambda path: colour().save(path),
    "plain.bmp": lambda path: colour().save(path),
    "opaque.png": lambda path: colour().convert("RGBA").save(path),
    "grey16.png": lambda path: Image.fromarray(grey(np.uint16, 4095)).save(path),
    "grey16.tif": lambda path: Image.fromarray(grey(np.uint16, 60000)).save(path),
    "int32.tif": lambda path: Image.fromarray(grey(np.int32, 70000)).save(path),
    "float.tif": lambda path: Image.fromarray(grey(np.float32, 0.8)).save(path),
    "bits.png": lambda path: Image.fromarray(grey() > 99).save(path),
    "bits.tif": lambda path: Image.fromarray(grey() > 99).save(path, compression="group4"),
    "cmyk.jpg": lambda path: colour().convert("CMYK").save(path),
    "lab.tif": lab,
    "palette.png": palette,
    "palette.gif": lambda path: colour().quantize(16).save(path, transparency=3),
    "clear.png": lambda path: clear().save(path),
    "clear.webp": lambda path: clear().save(path, lossless=True),
    "grey_clear.png": lambda path: clear().convert("LA").save(path),
    "turned.jpg": lambda path: turned(path, colour()),
    "turned.png": lambda path: turned(path, colour()),
    "pages.tif": frames,
    "film.gif": frames,
    "film.png": frames,
    "film.webp": lambda path: frames(path, lossless=True),
    "misnamed.jpg": lambda path: colour().save(path, "PNG"),
    "two.dcm": dicom,
    "one.dcm": lambda path: dicom(path, "MONOCHROME1"),
    "window.dcm": lambda path: dicom(path, WindowCenter=900, WindowWidth=400),
    "frames.dcm": lambda path: dicom(path, frames=3),
    "named.png": dicom,
}
AS_THEY_ARE = {
    "plain.png", "plain.jpg", "grey.png", "plain.webp", "plain.bmp", "opaque.png", "bits.png",
    "bits.tif", "pages.tif", "film.gif", "film.png", "film.webp", "misnamed.jpg",
}  # fmt: skip
"""Kinds that every loader shows as the run did; all others have to be drawn."""


@pytest.fixture(scope="session")
def kinds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("kinds")
    for name, save in KINDS.items():
        save(folder / name)
    return folder


def question(path: Path, **more: Any) -> dict[str, Any]:
    """A sample about one picture."""
    turns = [("user", f"what is {path.name}?"), ("assistant", "yes")]
    return {
        "sample_id": path.name,
        "row_id": f"s:f:{path.name}",
        "source": "s",
        "question": turns[0][1],
        "answer": "yes",
        "messages": [{"role": role, "content": said} for role, said in turns],
        "refs": [str(path)],
        "images": [image_id(str(path))],
    } | more


@pytest.fixture(scope="session")
def odd(kinds: Path, write_selection: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A manifest that selects one sample of every kind."""
    lines = [question(kinds / name) for name in KINDS]
    return Path(write_selection(tmp_path_factory.mktemp("odd") / "m.duckdb", lines))


def exported(format: str, output: Path) -> dict[str, bytes]:
    """The picture files of an export by sample: embedded ones, or those that it names."""
    if format == "hf":
        lines = [line for part in output.glob("data/*") for line in pq.read_table(part).to_pylist()]
        return {line["sample_id"]: line["images"][0]["bytes"] for line in lines}
    if format == "webdataset":
        return {name: data for part in output.glob("*.tar") for name, data in members(part)}
    if format == "llama_factory":
        lines = json.loads((output / "data.json").read_text())
        return {line["sample_id"]: (output / line["images"][0]).read_bytes() for line in lines}
    if format in ("messages", "ms_swift", "openai"):
        lines = [json.loads(line) for line in output.read_text().splitlines()]
    if format == "openai":
        return {line["sample_id"]: decoded_url(line) for line in lines}
    if format in ("llava", "qwen_vl", "sharegpt"):
        lines = json.loads(output.read_text())
    return {
        line["sample_id"]: Path(
            line["image"] if "image" in line else line["images"][0]
        ).read_bytes()
        for line in lines
    }


def decoded_url(line: dict[str, Any]) -> bytes:
    """The bytes of the first picture inside a chat."""
    parts = [part for turn in line["messages"] for part in turn["content"]]
    [url, *_] = [part["image_url"]["url"] for part in parts if part["type"] == "image_url"]
    return base64.b64decode(url.partition(";base64,")[2])


def members(tar: Path) -> list[tuple[str, bytes]]:
    with tarfile.open(tar) as file:
        held = {one.name: file.extractfile(one).read() for one in file}  # type: ignore[union-attr]
    keys = {name.partition(".")[0] for name in held}
    return [
        (
            json.loads(held[f"{key}.json"])["sample_id"],
            next(held[name] for name in held if name.startswith(f"{key}.0.")),
        )
        for key in keys
    ]


@pytest.mark.parametrize("format", FORMATS)
def test_what_a_trainer_opens_is_what_the_run_saw(odd: Path, kinds: Path, tmp_path, format):
    assert export(odd, format, tmp_path / "out", record=False).rows == len(KINDS)
    found = exported(format, tmp_path / "out")
    assert set(found) == set(KINDS)
    for name, data in found.items():
        original = (kinds / name).read_bytes()
        saw = decode(original, name, ImagesConfig()).image.convert("RGB")
        opened = Image.open(io.BytesIO(data)).convert("RGB")
        assert np.array_equal(np.asarray(opened), np.asarray(saw)), name
        becomes_png = format == "openai" and name.endswith(NOT_OF_OPENAI)
        assert (data == original) == (name in AS_THEY_ARE and not becomes_png), name


@pytest.mark.parametrize("format", BY_PATH)
def test_pictures_named_by_path_lie_beside_the_file_and_are_described(odd, kinds, tmp_path, format):
    result = export(odd, format, tmp_path / "out.json", record=False)
    drawn = {path.name for path in (tmp_path / "out.json.pictures").iterdir()}
    contents = {(kinds / name).read_bytes() for name in KINDS.keys() - AS_THEY_ARE}
    assert len(drawn) == len(contents) == len(KINDS) - len(AS_THEY_ARE) - 1, "two.dcm is named.png"
    assert {path.name for path in result.files} >= drawn
    described = json.loads((tmp_path / "out.json.croissant.json").read_text())
    urls = {one["contentUrl"] for one in described["distribution"]}
    assert urls == {"out.json", *(f"out.json.pictures/{name}" for name in drawn)}
    (tmp_path / "out.json").unlink()
    with raises_code("export_output_in_the_way", path=str(tmp_path / "out.json.pictures")):
        export(odd, format, tmp_path / "out.json", record=False)


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("name", ["plain.png", "two.dcm"])
def test_a_picture_that_changed_since_the_run_is_refused(
    kinds: Path, write_selection, tmp_path, format, name
):
    picture = Path(shutil.copy(kinds / name, tmp_path / name))
    lines = [question(kinds / "plain.jpg"), question(picture)]
    manifest = write_selection(tmp_path / "m.duckdb", lines)
    if name == "plain.png":
        Image.fromarray(np.asarray(colour()) // 2).save(picture)
    else:
        dicom(picture, PixelData=grey(np.uint16, 900).tobytes())
    with raises_code("export_picture_changed") as refused:
        export(manifest, format, tmp_path / "out", record=False)
    assert "\n" not in str(refused.value)
    assert [path for path in tmp_path.iterdir() if "out" in path.name] == []


def test_a_picture_of_more_pixels_than_the_run_allows_is_refused_unread(
    kinds: Path, write_selection, tmp_path
):
    picture = Path(shutil.copy(kinds / "grey.png", tmp_path / "a.png"))
    manifest = write_selection(tmp_path / "m.duckdb", [question(picture)])
    Image.new("1", (20_000, 20_000)).save(picture)
    with raises_code("export_picture_unreadable"):
        export(manifest, "messages", tmp_path / "out", record=False)


def test_an_export_that_the_manifest_cannot_note_says_that_it_is_there(odd, tmp_path, monkeypatch):
    def refuse(*given: Any) -> None:
        raise ManifestError("the disk is full", code="manifest_unreadable")

    monkeypatch.setattr("curation.exports.write_export.append_tables", refuse)
    with raises_code("manifest_unreadable") as caught:
        export(odd, "messages", tmp_path / "out")
    # Both the place of the complete export and what refused are named.
    assert str(tmp_path / "out") in str(caught.value)
    assert "the disk is full" in str(caught.value)
    assert len((tmp_path / "out").read_text().splitlines()) == len(KINDS)
