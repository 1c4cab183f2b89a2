"""Models by folder or hub name: their identity, and one clear line where they cannot be loaded."""

from __future__ import annotations

import shutil
from pathlib import Path

import huggingface_hub.constants
import pytest
import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from medsift.models import ImageTextModelConfig, TransformersModelConfig
from tests.expect import raises_code

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    place = tmp_path_factory.mktemp("model")
    config = LlamaConfig(
        vocab_size=4,
        hidden_size=8,
        intermediate_size=8,
        num_hidden_layers=1,
        num_attention_heads=1,
        max_position_embeddings=32,
        bos_token_id=0,
        eos_token_id=0,
    )
    LlamaForCausalLM(config).to(torch.bfloat16).save_pretrained(place)
    words = Tokenizer(WordLevel({"<s>": 0, "a": 1, "b": 2, "c": 3}, "<s>"))
    PreTrainedTokenizerFast(tokenizer_object=words, bos_token="<s>").save_pretrained(place)
    return place


@pytest.fixture
def hub(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A hub that is out of reach, with one model in its cache."""
    model = tmp_path / "hub" / "models--owner--name"
    shutil.copytree(folder, model / "snapshots" / COMMIT)
    (model / "refs").mkdir()
    (model / "refs" / "main").write_text(COMMIT)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    return model


def test_a_folder_is_loaded_as_it_was_stored(folder: Path) -> None:
    loaded = TransformersModelConfig(model=str(folder)).build()
    assert loaded.model.dtype == torch.bfloat16
    assert loaded.context == 32
    assert not loaded.model.training
    assert loaded.tokenizer.bos_token == "<s>"
    wide = TransformersModelConfig(model=str(folder), dtype="float32").build()
    assert wide.model.dtype == torch.float32


def test_identity_is_of_contents_not_of_places(folder: Path, tmp_path: Path) -> None:
    config = TransformersModelConfig(model=str(folder))
    moved = tmp_path / "moved"
    shutil.copytree(folder, moved)
    there = TransformersModelConfig(model=str(moved))
    assert there.fingerprint() == config.fingerprint()
    assert config.model_copy(update={"dtype": "float32"}).fingerprint() != config.fingerprint()
    other = moved / "tokenizer_config.json"
    other.write_text(other.read_text() + " ")
    assert there.fingerprint() != config.fingerprint()


def test_a_cached_name_is_known_by_its_commit(hub: Path, folder: Path) -> None:
    config = TransformersModelConfig(model="owner/name")
    pinned = TransformersModelConfig(model="owner/name", revision=COMMIT)
    assert config.fingerprint() == pinned.fingerprint()
    assert config.fingerprint() != TransformersModelConfig(model=str(folder)).fingerprint()
    newer = "f" * 40
    shutil.copytree(hub / "snapshots" / COMMIT, hub / "snapshots" / newer)
    (hub / "refs" / "main").write_text(newer)
    assert config.fingerprint() != pinned.fingerprint()


@pytest.mark.parametrize("name", ["/no/such/folder", "./models/mine", "owner/other", "not a name"])
@pytest.mark.usefixtures("hub")
def test_a_model_that_cannot_be_found_is_refused_in_one_line(name: str) -> None:
    for config in (TransformersModelConfig(model=name), ImageTextModelConfig(model=name)):
        with raises_code("model_unloadable", model=name) as refused:
            config.fingerprint()
        assert "\n" not in str(refused.value)


def test_a_folder_without_safetensors_is_refused(folder: Path, tmp_path: Path) -> None:
    pickled = tmp_path / "pickled"
    pickled.mkdir()
    shutil.copy(folder / "config.json", pickled)
    torch.save({}, pickled / "pytorch_model.bin")
    with raises_code("model_unloadable", model=str(pickled)):
        TransformersModelConfig(model=str(pickled)).fingerprint()


def test_weights_that_are_damaged_or_of_another_kind_are_refused(
    folder: Path, tmp_path: Path
) -> None:
    damaged = tmp_path / "damaged"
    shutil.copytree(folder, damaged)
    (damaged / "model.safetensors").write_bytes(b"nothing")
    with raises_code("model_unloadable", model=str(damaged)):
        TransformersModelConfig(model=str(damaged)).build()
    with raises_code("model_unloadable", model=str(folder)):
        ImageTextModelConfig(model=str(folder)).build()


def test_weights_that_lack_a_part_are_refused_not_made_up(folder: Path, tmp_path: Path) -> None:
    headless = tmp_path / "headless"
    shutil.copytree(folder, headless)
    weights = load_file(headless / "model.safetensors")
    del weights["lm_head.weight"]
    save_file(weights, headless / "model.safetensors", metadata={"format": "pt"})
    with raises_code("model_unloadable", tensor="lm_head.weight"):
        TransformersModelConfig(model=str(headless)).build()


def test_code_that_a_model_brings_along_is_never_run(folder: Path, tmp_path: Path) -> None:
    theirs = tmp_path / "theirs"
    shutil.copytree(folder, theirs)
    (theirs / "config.json").write_text(
        '{"model_type": "theirs", "auto_map": {"AutoConfig": "run.Theirs"}}'
    )
    ran = tmp_path / "ran"
    (theirs / "run.py").write_text(f"open({str(ran)!r}, 'w')\nclass Theirs: pass\n")
    with raises_code("model_unloadable", model=str(theirs)):
        TransformersModelConfig(model=str(theirs)).build()
    assert not ran.exists()
