"""Ask language models that read no pictures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Literal

import pyarrow as pa

from evaluation.generators.batched_generate import Prompt
from evaluation.generators.generator import Generator, Request
from evaluation.generators.local import LocalGeneratorConfig
from medsift import records
from medsift.models import AnyLanguageModel, LanguageModel
from medsift.models.chat_format import FRAMING_VERSION, ChatFormat


class CausalGenerator(LocalGeneratorConfig):
    """Settings of a causal language model: ``{kind: causal, model: {kind: embedded}}``."""

    kind: Literal["causal"] = "causal"
    """A language model that reads no pictures."""
    model: AnyLanguageModel
    """The language model that is asked."""

    looks: ClassVar[bool] = False

    def fingerprint(self) -> str:
        """Return the identity of the replies. Raises ModelError where it cannot be loaded."""
        return records.fingerprint([self.kind, FRAMING_VERSION, *self.identity()])

    def build(self, items: pa.Table) -> Generator:
        """Load model and adapter. Raises ModelError."""
        loaded = self.model.build()
        return self.continuation(loaded.model, AskInText(loaded))


class AskInText:
    """Asks a language model, in its chat template or in plain words."""

    def __init__(self, loaded: LanguageModel) -> None:
        self.device = loaded.device
        self.tokenizer = loaded.tokenizer
        self.processor = None
        self.framing = ChatFormat(loaded.tokenizer)
        self.chats = self.framing.chats
        self.chat = self.framing.chat

    def prompts(self, requests: Sequence[Request]) -> list[Prompt | None]:
        """Return prompts in tokens, None where the template refuses one."""
        tokens = self.framing.prompts([request.turns for request in requests])
        return [
            None if ids is None else Prompt(request, ids)
            for request, ids in zip(requests, tokens, strict=True)
        ]

    def inputs(self, prompts: Sequence[Prompt]) -> dict[str, Any]:
        """Return tokens and mask (n, length), padded on the left."""
        import torch

        width = max(len(prompt.words) for prompt in prompts)
        ids = torch.full((len(prompts), width), self.tokenizer.pad_token_id or 0)
        mask = torch.zeros_like(ids)
        for row, prompt in enumerate(prompts):
            ids[row, width - len(prompt.words) :] = torch.tensor(prompt.words)
            mask[row, width - len(prompt.words) :] = 1
        return {"input_ids": ids.to(self.device), "attention_mask": mask.to(self.device)}
