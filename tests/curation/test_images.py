"""Pictures: what decodes, what is refused and why, and that identity is the pixels."""

from __future__ import annotations

import hashlib
import io
import struct
import time
import warnings
import zlib
from pathlib import Path

import imagehash
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from curation.encoders.embedded import EmbeddedConfig
from curation.image_pass import ImagePass
from medsift import records
from medsift.images import ImageError, ImagesConfig, decode, facts, is_blank
from medsift.images.dicom import window_shares
from medsift.images.display import percentile_window, windowed
from medsift.images.inspect_image import inspect

CONFIG = ImagesConfig()
FORMATS = ["JPEG", "PNG", "TIFF", "BMP", "WEBP", "GIF"]


def scene(width: int = 48, height: int = 32, seed: int = 0) -> Image.Image:
    """A smooth grey picture without symmetry, with some noise."""
    y, x = np.mgrid[0:height, 0:width]
    noise = np.random.default_rng(seed).integers(0, 8, (height, width))
    return Image.fromarray((x * 3 + y * 2 + noise).clip(0, 255).astype(np.uint8))


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def reason(data: bytes, name: str = "a.png", config: ImagesConfig = CONFIG) -> str:
    with pytest.raises(ImageError) as caught:
        decode(data, name, config)
    assert "\n" not in str(caught.value)
    return caught.value.reason


@pytest.mark.parametrize("kind", FORMATS)
def test_every_format_decodes_to_its_size(kind: str) -> None:
    decoded = decode(saved(scene(), kind), f"a.{kind.lower()}", CONFIG)
    assert (decoded.format, decoded.image.size, decoded.notes) == (kind, (48, 32), ())


def test_lossless_formats_and_needless_channels_share_one_identity() -> None:
    grey = scene()
    files = [saved(grey, kind) for kind in ("PNG", "TIFF", "BMP")]
    files += [saved(grey.convert("RGB"), kind) for kind in ("PNG", "BMP")]
    files += [saved(grey.convert("RGBA"), "PNG"), saved(grey, "PNG", compress_level=0)]
    files += [saved(grey.convert("P"), "PNG"), saved(grey, "GIF")]
    assert len({decode(data, "a", CONFIG).image_id for data in files}) == 1
    assert len(set(files)) == len(files)


def test_one_changed_pixel_and_another_shape_change_the_identity() -> None:
    pixels = np.asarray(scene()).copy()
    first = decode(saved(Image.fromarray(pixels), "PNG"), "a", CONFIG).image_id
    turned = decode(saved(Image.fromarray(pixels.reshape(48, 32)), "PNG"), "a", CONFIG).image_id
    pixels[3, 5] ^= 1
    changed = decode(saved(Image.fromarray(pixels), "PNG"), "a", CONFIG).image_id
    assert len({first, turned, changed}) == 3


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_sixteen_bits_are_windowed_not_clipped(kind: str) -> None:
    ramp = np.tile(np.linspace(1000, 40000, 256).astype(np.uint16), (64, 1))
    decoded = decode(saved(Image.fromarray(ramp), kind), "a", CONFIG)
    shown = np.asarray(decoded.image)
    assert decoded.bit_depth == 16
    assert np.array_equal(decoded.stored, ramp)
    assert (shown.min(), shown.max()) == (0, 255)
    assert np.unique(shown).size > 250
    assert (np.diff(shown[0].astype(int)) >= 0).all()


def test_sixteen_bit_pictures_differing_below_the_shown_step_differ_in_identity() -> None:
    values = np.random.default_rng(0).integers(0, 65535, (32, 32)).astype(np.uint16)
    other = values.copy()
    other[4, 4] ^= 1
    ids = {decode(saved(Image.fromarray(v), "PNG"), "a", CONFIG).image_id for v in (values, other)}
    assert len(ids) == 2


def test_float_pictures_survive_infinite_and_missing_values() -> None:
    values = np.linspace(-3.0, 5.0, 1024, dtype=np.float32).reshape(32, 32)
    values[0, 0], values[0, 1], values[0, 2] = np.nan, np.inf, -np.inf
    shown = np.asarray(decode(saved(Image.fromarray(values), "TIFF"), "a", CONFIG).image)
    assert shown[0, :3].tolist() == [0, 255, 0]
    assert (shown.min(), shown.max()) == (0, 255)


@given(st.lists(st.integers(0, 65535), min_size=1, max_size=200))
def test_window_ends_are_values_and_keep_the_order(values: list[int]) -> None:
    array = np.asarray([values], np.uint16)
    low, high = percentile_window(array)
    assert {low, high} <= {float(value) for value in values}
    shown = windowed(array, low, high)[0].astype(int)
    assert (np.diff(shown[np.argsort(array[0], kind="stable")]) >= 0).all()


def test_white_is_zero_tiff_of_sixteen_bits_is_inverted() -> None:
    ramp = np.tile(np.arange(256, dtype=np.uint16) * 200, (8, 1))
    data = saved(Image.fromarray(ramp), "TIFF", tiffinfo={262: 0})
    shown = np.asarray(decode(data, "a", CONFIG).image)
    assert shown[0, 0] > shown[0, -1]


def test_one_bit_palette_and_transparent_pictures_are_shown_by_their_colours() -> None:
    bits = decode(saved(scene().point(lambda v: 255 * (v > 90)).convert("1"), "PNG"), "a", CONFIG)
    assert (bits.bit_depth, sorted(set(bits.image.tobytes()))) == (1, [0, 255])
    red = decode(saved(Image.new("RGB", (9, 9), "red").quantize(), "PNG"), "a", CONFIG)
    assert red.image.getpixel((0, 0)) == (255, 0, 0)
    clear = decode(saved(Image.new("RGBA", (9, 9), (0, 0, 0, 0)), "PNG"), "a", CONFIG)
    assert clear.image.getpixel((0, 0)) == 255
    assert clear.notes == ("transparency drawn on white",)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP"])
def test_exif_orientation_is_applied_and_noted(kind: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    decoded = decode(saved(scene(), kind, exif=exif), f"a.{kind.lower()}", CONFIG)
    assert decoded.image.size == (32, 48)
    assert decoded.notes == ("EXIF orientation 6 applied",)
    turned = np.asarray(scene().transpose(Image.Transpose.ROTATE_270)).astype(int)
    assert np.abs(np.asarray(decoded.image.convert("L")).astype(int) - turned).mean() < 4


def test_first_frame_of_several_is_taken_with_a_note() -> None:
    frames = [scene(seed=1), Image.new("L", (48, 32))]
    data = saved(frames[0], "GIF", save_all=True, append_images=frames[1:])
    decoded = decode(data, "a.gif", CONFIG)
    assert decoded.notes == ("first frame of several",)
    assert np.asarray(decoded.image).std() > 5


def test_wrong_extension_is_a_note_not_an_error() -> None:
    assert decode(saved(scene(), "PNG"), "x/a.JPG", CONFIG).notes == ("named .jpg, is PNG",)
    assert decode(saved(scene(), "JPEG"), "x/a.jpeg", CONFIG).notes == ()
    assert decode(saved(scene(), "JPEG"), "x.png/a", CONFIG).notes == ()


def test_empty_text_and_html_are_refused_with_their_reason() -> None:
    assert reason(b"") == "image_empty"
    assert reason(b"not a picture") == "not_an_image"
    assert reason(b"<html><body>404</body></html>", "a.jpg") == "not_an_image"


@settings(max_examples=60, deadline=None)
@given(kind=st.sampled_from(FORMATS), share=st.floats(0, 0.999))
def test_a_cut_file_is_refused_or_gives_the_same_pixels(kind: str, share: float) -> None:
    data = saved(scene(), kind)
    whole = decode(data, "a", CONFIG).image_id
    line, _ = inspect("a", data[: int(share * len(data))], CONFIG)
    refused = line["error"] in ("image_truncated", "image_empty", "not_an_image")
    assert refused != (line["image_id"] == whole)


@settings(max_examples=60, deadline=None)
@given(kind=st.sampled_from(FORMATS), place=st.integers(12, 400), value=st.integers(0, 255))
def test_a_flipped_byte_never_raises_anything_but_a_reason(
    kind: str, place: int, value: int
) -> None:
    data = bytearray(saved(scene(), kind))
    data[place % len(data)] = value
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        line, image = inspect("a", bytes(data), ImagesConfig(max_pixels=1_000_000))
    assert (image is None) == (line["error"] is not None)


def bomb(width: int, height: int) -> bytes:
    """A PNG of few bytes that claims many pixels."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


@pytest.mark.parametrize("side", [10_001, 20_000, 60_000])
def test_bombs_are_refused_from_the_header_without_a_warning(side: int) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert reason(bomb(side, side)) == "image_too_large"


def test_max_pixels_alone_decides_also_above_pillows_own_limit() -> None:
    assert reason(saved(scene(), "PNG"), config=ImagesConfig(max_pixels=48 * 32 - 1)) == (
        "image_too_large"
    )
    assert decode(saved(scene(), "PNG"), "a", ImagesConfig(max_pixels=48 * 32)).image.width == 48
    assert reason(bomb(20_000, 20_000), config=ImagesConfig(max_pixels=10**9)) == "image_truncated"


def test_pictures_below_the_shortest_side_are_refused() -> None:
    assert reason(saved(scene(), "PNG"), config=ImagesConfig(min_side=33)) == "image_too_small"


def test_perceptual_hash_is_that_of_imagehash_on_real_images(vqa_rad: Path) -> None:
    for path in sorted((vqa_rad / "images").glob("*.jpg"))[:8]:
        line = facts(decode(path.read_bytes(), path.name, CONFIG))
        with Image.open(path) as picture:
            assert line["phash"] == str(imagehash.phash(picture))


def test_real_radiographs_pass_with_all_facts_and_none_is_blank(vqa_rad: Path) -> None:
    for path in sorted((vqa_rad / "images").glob("*.jpg"))[::12]:
        data = path.read_bytes()
        line, image = inspect(str(path), data, CONFIG)
        assert image is not None
        assert line["error"] is None
        assert all(line[name] is not None for name in records.IMAGES.names[:17])
        assert line["byte_hash"] == hashlib.sha256(data).hexdigest()
        assert len(line["thumb"]) == records.THUMB_SIDE**2
        assert not is_blank(line, CONFIG)


def test_histogram_facts_match_their_definition() -> None:
    line = facts(decode(saved(scene(), "PNG"), "a", CONFIG))
    pixels = np.asarray(scene())
    shares = np.unique(pixels, return_counts=True)[1] / pixels.size
    assert line["mean"] == pytest.approx(pixels.mean())
    assert line["contrast"] == pytest.approx(pixels.std())
    assert line["entropy"] == pytest.approx(-(shares * np.log2(shares)).sum())
    assert line["blank_share"] == pytest.approx(shares.max())


def test_blur_lowers_sharpness() -> None:
    sharp = Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64)).astype(np.uint8))
    soft = sharp.resize((16, 16)).resize((64, 64))
    values = [facts(decode(saved(one, "PNG"), "a", CONFIG))["sharpness"] for one in (sharp, soft)]
    assert values[0] > 5 * values[1]


def test_only_blank_pictures_are_blank_and_the_recipe_may_keep_them() -> None:
    flat, _ = inspect("a", saved(Image.new("L", (40, 40), 7), "PNG"), CONFIG)
    smooth, _ = inspect("b", saved(scene(), "PNG"), CONFIG)
    assert is_blank(flat, CONFIG)
    assert not is_blank(smooth, CONFIG)
    assert not is_blank(flat, ImagesConfig(drop_blank=False))


def test_missing_data_is_a_reason() -> None:
    line, image = inspect("gone.png", None, CONFIG)
    assert (line["error"], line["byte_hash"], image) == ("image_missing", "", None)


def dicom(name: str) -> bytes:
    from pydicom.data import get_testdata_file

    path = get_testdata_file(name, download=False)
    assert isinstance(path, str)
    return Path(path).read_bytes()


def test_dicom_of_several_encodings_is_one_picture() -> None:
    names = ["MR_small.dcm", "MR_small_RLE.dcm", "MR_small_implicit.dcm", "MR_small_bigendian.dcm"]
    decoded = [decode(dicom(name), name, CONFIG) for name in names]
    assert len({one.image_id for one in decoded}) == 1
    assert {one.notes for one in decoded} == {("window 600/1600 applied",)}
    assert decoded[0].bit_depth == 16


def test_dicom_window_follows_the_standard() -> None:
    values = np.asarray([[-1000.0, -10.0, 40.0, 89.0, 1000.0]])
    shares = window_shares(values, 40.0, 100.0, "LINEAR")
    assert shares[0, [0, 1, 3, 4]].tolist() == [0.0, 0.0, 1.0, 1.0]
    assert window_shares(values, 40.0, 100.0, "LINEAR_EXACT")[0, 2] == 0.5
    assert window_shares(values, 40.0, 100.0, "SIGMOID")[0, 2] == 0.5


def test_monochrome1_is_the_inverse_of_monochrome2() -> None:
    import pydicom

    data = dicom("CT_small.dcm")
    dataset = pydicom.dcmread(io.BytesIO(data))
    dataset.PhotometricInterpretation = "MONOCHROME1"
    out = io.BytesIO()
    dataset.save_as(out)
    first, second = (decode(one, "a.dcm", CONFIG) for one in (data, out.getvalue()))
    assert np.array_equal(np.asarray(first.image), 255 - np.asarray(second.image))
    assert "MONOCHROME1 inverted" in second.notes


def test_the_same_values_shown_otherwise_are_another_picture() -> None:
    import pydicom

    def made(**values: object) -> str:
        dataset = pydicom.dcmread(io.BytesIO(dicom("MR_small.dcm")))
        for name, value in values.items():
            setattr(dataset, name, value)
        out = io.BytesIO()
        dataset.save_as(out)
        return decode(out.getvalue(), "a.dcm", CONFIG).image_id

    plain = made()
    assert made(PatientName="Doe") == plain
    assert made(WindowCenter=[600.0, 40.0], WindowWidth=[1600.0, 400.0]) == plain
    others = {
        made(PhotometricInterpretation="MONOCHROME1"),
        made(WindowCenter=300.0),
        made(WindowWidth=900.0),
        made(VOILUTFunction="SIGMOID"),
        made(RescaleSlope=2.0, RescaleIntercept=0.0),
    }
    assert len(others) == 5
    assert plain not in others


def eight_bit_dicom(values: np.ndarray, photometric: str) -> bytes:
    import pydicom

    dataset = pydicom.dcmread(io.BytesIO(dicom("MR_small.dcm")))
    for name in ("WindowCenter", "WindowWidth", "PixelPaddingValue"):
        if name in dataset:
            delattr(dataset, name)
    dataset.Rows, dataset.Columns = values.shape
    dataset.BitsAllocated = dataset.BitsStored = 8
    dataset.HighBit, dataset.PixelRepresentation = 7, 0
    dataset.PhotometricInterpretation = photometric
    dataset.PixelData = values.tobytes()
    out = io.BytesIO()
    dataset.save_as(out)
    return out.getvalue()


def test_equal_pixels_shown_alike_are_one_picture_in_any_format() -> None:
    values = np.arange(64 * 64).reshape(64, 64) % 256
    values = values.astype(np.uint8)
    as_png = decode(saved(Image.fromarray(values), "PNG"), "a.png", CONFIG)
    second = decode(eight_bit_dicom(values, "MONOCHROME2"), "a.dcm", CONFIG)
    first = decode(eight_bit_dicom(values, "MONOCHROME1"), "a.dcm", CONFIG)
    assert np.array_equal(np.asarray(second.image), values)
    assert second.image_id == as_png.image_id
    assert first.image_id != as_png.image_id


@pytest.mark.parametrize(
    "data",
    [
        b"\x00\x00\x00\x1cftypavif" + bytes(40),
        b"\x00\x00\x00\x18ftypheic" + bytes(40),
        b"\x00\x00\x00\x0cjP  \r\n\x87\n" + bytes(40),
        b"\xff\x4f\xff\x51" + bytes(40),
        b"\xff\x0a" + bytes(40),
        b"%PDF-1.7" + bytes(40),
        b"P6\n# made by hand\n8 8\n255\n" + bytes(192),
        b"P2 2 1 255 0 9",
        b"P7\nWIDTH 1\nHEIGHT 1\nDEPTH 1\nMAXVAL 255\nENDHDR\n\x00",
        saved(Image.new("L", (8, 8), 3), "TGA"),
        saved(Image.new("RGB", (8, 8), 3), "PPM"),
        saved(Image.new("L", (16, 16), 3), "ICO"),
        b"qoif" + bytes(40),
    ],
)
def test_known_formats_that_are_not_read_are_unsupported(data: bytes) -> None:
    assert reason(data) == "image_unsupported"


@pytest.mark.parametrize("data", [b"P6 is a protein", b"P7\n", b"P1", b"TRUEVISION-XFILE."])
def test_text_that_begins_like_a_format_is_no_picture(data: bytes) -> None:
    assert reason(data) == "not_an_image"


def tiff(values: np.ndarray) -> bytes:
    """An uncompressed grey TIFF of values of any type, written by hand."""
    form = {"u": 1, "i": 2, "f": 3}[values.dtype.kind]
    tags = [
        (256, 4, values.shape[1]),
        (257, 4, values.shape[0]),
        (258, 3, 8 * values.dtype.itemsize),
        (259, 3, 1),
        (262, 3, 1),
        (273, 4, 8 + 2 + 10 * 12 + 4),
        (277, 3, 1),
        (278, 4, values.shape[0]),
        (279, 4, values.nbytes),
        (339, 3, form),
    ]
    entries = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in tags)
    head = b"II*\x00" + struct.pack("<IH", 8, len(tags)) + entries + bytes(4)
    return head + values.tobytes()


def test_tiff_samples_keep_their_sign_or_are_refused_by_name() -> None:
    ramp = np.linspace(-100, 100, 64 * 64).reshape(64, 64)
    signed = decode(tiff(ramp.astype(np.int8)), "a.tif", CONFIG)
    shown = np.asarray(signed.image).astype(int)
    assert (np.diff(shown.reshape(-1)) >= 0).all()
    assert signed.stored.min() == -100
    assert decode(tiff(ramp.astype(np.float32)), "a.tif", CONFIG).stored.min() == -100
    assert decode(tiff(ramp.astype(np.int32)), "a.tif", CONFIG).stored.min() == -100
    for kind in (np.uint32, np.float64, np.uint64, np.int64):
        assert reason(tiff((ramp + 100).astype(kind)), "a.tif") == "image_unsupported"


def test_dicom_with_several_frames_shows_the_middle_one() -> None:
    decoded = decode(dicom("rtdose.dcm"), "rtdose.dcm", CONFIG)
    assert decoded.notes[0] == "frame 8 of 15"


def test_dicom_defects_have_reasons() -> None:
    assert reason(dicom("MR_truncated.dcm"), "a.dcm") == "image_truncated"
    assert reason(dicom("rtplan.dcm"), "a.dcm") == "not_an_image"
    assert reason(dicom("MR_small.dcm"), config=ImagesConfig(max_pixels=100)) == "image_too_large"
    assert reason(b"just words", "a.dcm") == "not_an_image"


def test_every_bundled_dicom_decodes_or_has_a_reason() -> None:
    from pydicom.data import get_testdata_file

    marker = get_testdata_file("CT_small.dcm", download=False)
    assert isinstance(marker, str)
    outcomes = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for path in sorted(Path(marker).parent.glob("*.dcm")):
            line, _ = inspect(str(path), path.read_bytes(), CONFIG)
            outcomes[path.name] = line["error"]
    assert sum(error is None for error in outcomes.values()) > 30


@pytest.fixture(scope="module")
def image_pass() -> ImagePass:
    return ImagePass(CONFIG, EmbeddedConfig())


def test_pass_gives_lines_in_order_with_errors_beside_vectors(
    image_pass: ImagePass, tmp_path: Path
) -> None:
    good, empty, gone = tmp_path / "good.png", tmp_path / "empty.png", tmp_path / "gone.png"
    good.write_bytes(saved(scene(), "PNG"))
    empty.write_bytes(b"")
    refs = [str(gone), str(good), str(empty)]
    table = image_pass(pa.table({"ref": refs}))
    assert table.schema.names == [*records.IMAGES.names, "vector"]
    assert table["ref"].to_pylist() == refs
    assert table["error"].to_pylist() == ["image_missing", None, "image_empty"]
    vectors = table["vector"].to_pylist()
    assert vectors[0] is None
    assert vectors[2] is None
    assert np.linalg.norm(vectors[1]) == pytest.approx(1.0, abs=1e-5)
    assert image_pass(pa.table({"ref": pa.array([], pa.string())})).num_rows == 0


@pytest.mark.parametrize("slow", ["device works", "device waits"])
def test_pass_counts_how_long_the_encoder_worked_and_how_long_it_waited(
    image_pass: ImagePass, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, slow: str
) -> None:
    (tmp_path / "a.png").write_bytes(saved(scene(), "PNG"))
    where = (image_pass, "see") if slow == "device waits" else (image_pass.encoder, "encode_images")
    usual = getattr(*where)

    def slowly(given: object) -> object:
        time.sleep(2.0)
        return usual(given)

    monkeypatch.setattr(*where, slowly)
    start = time.perf_counter()
    image_pass(pa.table({"ref": [str(tmp_path / "a.png")]}))
    whole = time.perf_counter() - start
    assert set(image_pass.spent) == {"device works", "device waits"}
    assert 2.0 <= image_pass.spent[slow] <= sum(image_pass.spent.values()) <= whole
    image_pass(pa.table({"ref": pa.array([], pa.string())}))
    assert image_pass.spent["device works"] == 0.0


def test_pass_is_bitwise_independent_of_order_and_batch(
    image_pass: ImagePass, vqa_rad: Path
) -> None:
    refs = [str(path) for path in sorted((vqa_rad / "images").glob("*.jpg"))[:13]]
    whole = image_pass(pa.table({"ref": refs})).sort_by("ref")
    order = np.random.default_rng(0).permutation(len(refs))
    mixed = [refs[place] for place in order]
    parts = [image_pass(pa.table({"ref": mixed[:5]})), image_pass(pa.table({"ref": mixed[5:]}))]
    assert pa.concat_tables(parts).sort_by("ref").equals(whole)
