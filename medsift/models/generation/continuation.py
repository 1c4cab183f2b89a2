"""Continue prompts under a loaded model in batches, each to the end of its turn."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol

from medsift.errors import InputError, ModelError
from medsift.models.chat_format import SPEAKERS, Turn
from medsift.models.generation.first_token_probs import Candidates, FirstLogits
from medsift.models.generation.request import GenerationConfig, Reply, Request
from medsift.models.generation.sampling import Sampling, request_seed
from medsift.models.language_model import UNBOUNDED
from medsift.models.reserved_tokens import ReservedTokens
from medsift.vocabulary import IMAGE_MARK

if TYPE_CHECKING:
    from PIL.Image import Image

CPU_BATCH: Final = 1
GPU_BATCH: Final = 8
REFUSED: Final = Reply(None, error="the model's chat template refuses these turns")
SAID: Final = "!"
NEXT_QUESTION: Final = "\n" + SPEAKERS["user"].strip()


class Prompt(NamedTuple):
    """A request as the model reads it: text or tokens, as its `Asking` takes them."""

    request: Request
    words: Any
    pictures: tuple[Image, ...] = ()

    @property
    def size(self) -> tuple[int, int, int]:
        """Return what its length follows from: number of pictures, their pixels, and words."""
        pixels = sum(picture.width * picture.height for picture in self.pictures)
        return len(self.pictures), pixels, len(self.words)


class Asking(Protocol):
    """How a model is asked; `chats` says whether it has a chat template.

    `processor` is None for a model that sees no pictures.
    """

    tokenizer: Any
    processor: Any
    chats: bool

    def chat(self, turns: Sequence[Turn], *, ask: bool) -> str | None:
        """Return turns in the chat template, with an answer's heading after them if asked for."""
        ...

    def prompts(self, requests: Sequence[Request]) -> list[Prompt | None]:
        """Return prompts of requests, None where the template refuses one."""
        ...

    def inputs(self, prompts: Sequence[Prompt]) -> dict[str, Any]:
        """Return inputs (n, length) of the model, padded on the left, on its device.

        All prompts show pictures, or none does. Raises ValueError for pictures that it refuses.
        """
        ...


class Continuation:
    """Continue prompts under a loaded model, which it then owns; not for several threads at once.

    Of what the model brings along for generation only the ends of turns and the tokens that it
    must not write are heeded: penalties would also count the padding. In float32 replies, sampled
    ones too, are then the same tokens whatever the batch; in bfloat16 a near tie may fall
    otherwise.
    """

    def __init__(
        self, model: Any, asking: Asking, config: GenerationConfig, batch_size: int | None
    ) -> None:
        if getattr(model.config, "is_encoder_decoder", False):
            raise ModelError(
                f"{type(model).__name__} does not continue its prompt but writes from a decoder "
                "apart; name a model that continues text",
                code="model_unsuitable",
                model=type(model).__name__,
            )
        self.model = model
        self.asking = asking
        self.config = config
        self.batch_size = batch_size or (CPU_BATCH if model.device.type == "cpu" else GPU_BATCH)
        self.candidates = Candidates(asking.tokenizer)
        self.reserved = ReservedTokens(asking.tokenizer, asking.processor)
        self.ends = ends_of_turn(model.generation_config, asking)
        text = model.config.get_text_config()
        self.context = int(getattr(text, "max_position_embeddings", None) or UNBOUNDED)
        base = model.get_base_model() if hasattr(model, "get_base_model") else model
        self.inputs = inspect.signature(base.forward).parameters
        from transformers import GenerationConfig as Settings

        own, pad = base.generation_config, asking.tokenizer.pad_token_id
        base.generation_config = Settings(
            max_new_tokens=config.max_new_tokens,
            do_sample=False,
            eos_token_id=self.ends or None,
            pad_token_id=pad if pad is not None else next(iter(self.ends), 0),
            bos_token_id=own.bos_token_id,
            suppress_tokens=own.suppress_tokens,
        )

    def generate(self, requests: Sequence[Request]) -> list[Reply]:
        """Return one reply a request, in order. Raises ModelError where a logit is no number."""
        replies = [REFUSED] * len(requests)
        asked: dict[int, Prompt] = {}
        for number, prompt in enumerate(self.asking.prompts(requests)):
            request = requests[number]
            # Marks of pictures are no words of the question, where there are pictures.
            parts = [
                part
                for _, words in request.turns
                for part in (words.split(IMAGE_MARK) if request.pictures else [words])
            ]
            if token := self.reserved.first(parts):
                error = f"the question holds {token}, a token of the model's own"
                replies[number] = Reply(None, error=error)
            elif prompt is not None:
                asked[number] = prompt
        sizes = {number: prompt.size for number, prompt in asked.items()}
        for batch in batches(sizes, self.batch_size):
            answered = self._batch([asked[number] for number in batch])
            for number, reply in zip(batch, answered, strict=True):
                replies[number] = reply
        return replies

    def _batch(self, prompts: Sequence[Prompt]) -> list[Reply]:
        """Reply to a batch; where one of its prompts cannot be asked, each is asked alone."""
        try:
            inputs = self.inputs_of(prompts)
        except (InputError, ValueError) as error:
            if len(prompts) > 1:
                return [self._batch([prompt])[0] for prompt in prompts]
            return [Reply(None, error=" ".join(str(error).split()))]
        import torch

        first = FirstLogits()
        steps: list[Any] = [first]
        if self.config.temperature:
            seeds = [request_seed(prompt.request, self.config.seed) for prompt in prompts]
            steps.append(Sampling(seeds, self.config.temperature))
        with torch.inference_mode():
            ids = self.model.generate(**inputs, logits_processor=steps)
        if bool(first.logits.isnan().any()):
            # The greatest of them would be the first token of the vocabulary, again and again.
            name = getattr(self.model.config, "name_or_path", "") or type(self.model).__name__
            raise ModelError(
                f"the logits of {name} are no numbers, so that it says nothing; where it is in "
                "training lower optimiser.lr, otherwise load it in bfloat16 or float32",
                code="logits_not_finite",
                model=name,
            )
        width = inputs["input_ids"].shape[1]
        rows = zip(prompts, first.logits, ids[:, width:].tolist(), strict=True)
        return [
            self._reply(new, self.candidates.weigh(logits, prompt.request.candidates))
            for prompt, logits, new in rows
        ]

    def inputs_of(self, prompts: Sequence[Prompt]) -> dict[str, Any]:
        """Return inputs (n, length) that the model takes. Raises InputError or ValueError."""
        inputs = self.asking.inputs(prompts)
        if "token_type_ids" not in self.inputs:
            inputs.pop("token_type_ids", None)
        longest = int(inputs["attention_mask"].sum(1).max())
        if longest + self.config.max_new_tokens > self.context:
            raise InputError(
                f"the prompt's {longest} tokens and {self.config.max_new_tokens} new ones are more "
                f"than the model's {self.context}; ask for fewer tokens or smaller pictures",
                code="prompt_too_long",
                tokens=longest,
                context=self.context,
            )
        return inputs

    def _reply(self, new: Sequence[int], weights: tuple[float, ...] | None) -> Reply:
        """Return a reply of new tokens, of which those after the end of the turn are padding."""
        end = next((at for at, token in enumerate(new) if token in self.ends), len(new))
        text = self.asking.tokenizer.decode(new[:end], skip_special_tokens=True)
        if not self.asking.chats:
            # In plain words nothing but the next question shows that an answer is over.
            text = text.partition(NEXT_QUESTION)[0]
        tokens = min(end + 1, len(new))
        return Reply(
            text.strip(), weights, tokens, token_ids=tuple(new[:tokens]), cut=end == len(new)
        )


def batches(sizes: dict[int, tuple[int, int, int]], batch_size: int) -> list[list[int]]:
    """Return numbers of prompts that are asked together: of like size, with or without pictures."""
    # The longest first: where memory is too small, it is so at once.
    ordered = sorted(sizes, key=lambda number: sizes[number], reverse=True)
    together: list[list[int]] = []
    for _, group in groupby(ordered, lambda number: sizes[number][0] > 0):
        alike = list(group)
        starts = range(0, len(alike), batch_size)
        together += [alike[start : start + batch_size] for start in starts]
    return together


def ends_of_turn(settings: Any, asking: Asking) -> list[int]:
    """Return the tokens that end a reply: the model's, the tokenizer's and the template's."""
    tokenizer, own = asking.tokenizer, settings.eos_token_id
    ends = {*(own if isinstance(own, list) else [own]), tokenizer.eos_token_id} - {None}
    if not asking.chats:
        return sorted(ends)
    # The special token that the template puts after what the assistant said ends its turn.
    conversation = asking.chat([("user", "?"), ("assistant", SAID)], ask=False) or ""
    after = tokenizer(conversation.rpartition(SAID)[2], add_special_tokens=False)["input_ids"]
    special = {*tokenizer.all_special_ids, *tokenizer.get_added_vocab().values()}
    return sorted(ends | (special & set(after[:1])))
