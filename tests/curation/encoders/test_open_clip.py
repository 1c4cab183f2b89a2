"""open_clip models: a small one with random weights, saved to and loaded from a folder."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
from PIL import Image
from pydantic import TypeAdapter, ValidationError
from safetensors.torch import save_file

from curation.encoders import AnyEncoder, EmbeddedConfig, OpenClipConfig
from curation.encoders.open_clip import OpenClipEncoder, best_batch_size
from tests.expect import raises_code

MODEL = {
    "embed_dim": 24,
    "vision_cfg": {"image_size": 32, "layers": 2, "width": 64, "head_width": 32, "patch_size": 8},
    "text_cfg": {"context_length": 16, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 2},
}
TEXTS = ["axial head CT", "is there a fracture", "chest", "left lung opacity " * 30, "what plane"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clip")
    torch.manual_seed(0)
    model = open_clip.CLIP(**MODEL)
    preprocess = {"mean": [0.4, 0.5, 0.6], "std": [0.2, 0.3, 0.25], "interpolation": "bicubic"}
    config = {"model_cfg": MODEL, "preprocess_cfg": preprocess}
    (path / "open_clip_config.json").write_text(json.dumps(config))
    save_file(model.state_dict(), path / "open_clip_model.safetensors")
    return path


@pytest.fixture(scope="module")
def encoder(folder: Path) -> OpenClipEncoder:
    return OpenClipConfig(model=f"local-dir:{folder}", device="cpu").build()


def pictures(count: int) -> list[Image.Image]:
    random = np.random.default_rng(0)
    sizes = random.integers(20, 80, (count, 2))
    arrays = [random.integers(0, 256, (height, width, 3)) for height, width in sizes]
    return [Image.fromarray(array.astype(np.uint8)) for array in arrays]


def test_vectors_are_those_of_open_clip_itself(folder: Path, encoder: OpenClipEncoder) -> None:
    model, preprocess = open_clip.create_model_from_pretrained(f"local-dir:{folder}")
    model.eval()
    images = pictures(5)
    with torch.inference_mode():
        batch = torch.stack([preprocess(image) for image in images])
        expected = model.encode_image(batch, normalize=True).numpy()
        tokens = open_clip.get_tokenizer(f"local-dir:{folder}")(TEXTS)
        expected_texts = model.encode_text(tokens, normalize=True).numpy()
    pixels = np.stack([encoder.prepare(image) for image in images])
    assert pixels.dtype == np.uint8
    assert np.abs(encoder.encode_images(pixels) - expected).max() < 1e-5
    # The fourth is longer than the context, and is encoded part by part.
    short = [0, 1, 2, 4]
    assert np.abs(encoder.encode_texts(TEXTS) - expected_texts)[short].max() < 1e-5


def test_space_is_shared_and_dimensions_are_the_models(encoder: OpenClipEncoder) -> None:
    assert encoder.shared_space
    assert (encoder.image_dimension, encoder.text_dimension) == (24, 24)
    assert encoder.encode_texts(["", "x"])[0].tolist() == [0.0] * 24
    assert encoder.encode_texts([]).shape == (0, 24)


def test_grey_pictures_are_prepared_like_their_rgb_copies(encoder: OpenClipEncoder) -> None:
    grey = pictures(1)[0].convert("L")
    assert np.array_equal(encoder.prepare(grey), encoder.prepare(grey.convert("RGB")))


def test_vectors_are_bitwise_independent_of_the_batch(encoder: OpenClipEncoder) -> None:
    pixels = np.stack([encoder.prepare(image) for image in pictures(19)])
    whole = encoder.encode_images(pixels)
    order = np.random.default_rng(1).permutation(19)
    assert np.array_equal(encoder.encode_images(pixels[order]), whole[order])
    assert np.array_equal(encoder.encode_images(pixels[4:5])[0], whole[4])
    texts = encoder.encode_texts(TEXTS)
    assert np.array_equal(encoder.encode_texts(TEXTS[::-1]), texts[::-1])
    assert np.array_equal(encoder.encode_texts(TEXTS[3:4])[0], texts[3])


def test_autocast_is_close_to_float32(folder: Path, encoder: OpenClipEncoder) -> None:
    config = OpenClipConfig(model=f"local-dir:{folder}", device="cpu", precision="bf16")
    pixels = np.stack([encoder.prepare(image) for image in pictures(3)])
    cosine = (config.build().encode_images(pixels) * encoder.encode_images(pixels)).sum(1)
    assert cosine.min() > 0.99


def test_fingerprint_follows_the_weights_not_the_place(folder: Path, tmp_path: Path) -> None:
    first = OpenClipConfig(model=f"local-dir:{folder}").fingerprint()
    copy = tmp_path / "copy"
    copy.mkdir()
    for path in folder.iterdir():
        (copy / path.name).write_bytes(path.read_bytes())
    moved = OpenClipConfig(model=f"local-dir:{copy}", batch_size=3)
    assert moved.fingerprint() == first
    (copy / "open_clip_config.json").write_text("{}")
    assert moved.fingerprint() != first
    assert OpenClipConfig(model="hf-hub:a/b").fingerprint() != (
        OpenClipConfig(model="hf-hub:a/c").fingerprint()
    )


def test_models_that_cannot_be_had_are_named_with_a_mend(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with raises_code("encoder_unknown", model="ViT-B-166"):
        OpenClipConfig(model="ViT-B-166").build()
    with raises_code("encoder_weights_unnamed", model="ViT-B-16"):
        OpenClipConfig(model="ViT-B-16").build()
    with raises_code("encoder_folder_incomplete", path=str(tmp_path)):
        OpenClipConfig(model=f"local-dir:{tmp_path}").build()
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "open_clip_config.json").write_bytes((folder / "open_clip_config.json").read_bytes())
    (broken / "open_clip_model.safetensors").write_bytes(b"\x08" + b"\x00" * 20)
    with raises_code("encoder_unloadable", model=f"local-dir:{broken}"):
        OpenClipConfig(model=f"local-dir:{broken}", device="cpu").build()


def test_a_hub_model_without_a_network_names_the_local_way(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    with raises_code("encoder_unloadable", model="hf-hub:nobody/nothing"):
        OpenClipConfig(model="hf-hub:nobody/nothing", device="cpu").build()


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_cuda_without_a_gpu_is_refused(folder: Path) -> None:
    with raises_code("gpu_missing"):
        OpenClipConfig(model=f"local-dir:{folder}", device="cuda").build()


def test_batch_size_doubles_until_memory_or_gain_ends() -> None:
    def saturating(size: int) -> float:
        return float(min(size, 100))

    def small_memory(size: int) -> float:
        if size > 64:
            raise torch.OutOfMemoryError
        return float(size)

    def none(size: int) -> float:
        raise torch.OutOfMemoryError

    assert best_batch_size(saturating) == 128
    assert best_batch_size(small_memory) == 64
    assert best_batch_size(float) == 1024
    with raises_code("gpu_memory_too_small"):
        best_batch_size(none)


def test_kind_chooses_the_encoder_and_unknown_keys_are_refused() -> None:
    adapter: TypeAdapter[AnyEncoder] = TypeAdapter(AnyEncoder)
    assert isinstance(adapter.validate_python({"kind": "embedded"}), EmbeddedConfig)
    chosen = adapter.validate_python({"kind": "open_clip", "model": "hf-hub:a/b"})
    assert isinstance(chosen, OpenClipConfig)
    for wrong in ({"kind": "clip"}, {"kind": "embedded", "preciison": "float32"}):
        with pytest.raises(ValidationError):
            adapter.validate_python(wrong)
