"""Read which feed-forward neurons of a model are active while it reads an answer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from medsift.arrays import Floats
from medsift.models.chat_format import ChatFormat
from medsift.models.fixed_batches import single_threaded_pool
from medsift.models.image_text import AnswerBatch, Illustrated, ImageTextLikelihood
from medsift.models.language_model import ImageTextModel, LanguageModel
from medsift.models.neurons import FeedForwardNeurons
from medsift.models.reserved_tokens import ReservedTokens
from medsift.vocabulary import IMAGE_MARK


class AnswerNeurons:
    """Read a loaded model's neurons at the tokens of answers.

    Samples are read one at a time and by one thread, so that a reading depends neither on other
    samples nor on the number of threads. A language model reads the words alone.

    Args:
        loaded: The model.
        depth: Which layer: 0 is the first and 1 the last.
        max_answer_tokens: Longest answer; the end of a longer one is left out.

    Raises:
        ModelError: the model has no such neurons, or no processor of pictures.
    """

    def __init__(
        self, loaded: ImageTextModel | LanguageModel, depth: float, max_answer_tokens: int
    ) -> None:
        self.neurons = FeedForwardNeurons(loaded.model, depth)
        self._answers: ImageTextLikelihood | TextAnswers
        if isinstance(loaded, ImageTextModel):
            self._answers = ImageTextLikelihood(loaded, max_answer_tokens, batch_size=1)
        else:
            self._answers = TextAnswers(loaded, max_answer_tokens)
        self._thread = single_threaded_pool(1)

    def activations(self, samples: Sequence[Illustrated]) -> Floats:
        """Return the mean |activation| (n, w) of each neuron over the tokens of each answer.

        All zero where the chat template refuses the conversation or the processor its pictures,
        where the answer has no tokens, or where a text spells a reserved token.
        """
        return self._thread.submit(self._read, samples).result()

    def _read(self, samples: Sequence[Illustrated]) -> Floats:
        activations = np.zeros((len(samples), self.neurons.width), np.float32)
        for batch in self._answers.batches(samples, with_image=True):
            [row], [(start, stop)] = batch.rows, batch.spans
            activations[row] = self.neurons.read(batch.inputs, start, stop)
        return activations


class TextAnswers:
    """Prepare answers for a loaded language model, as `ImageTextLikelihood` does for its kind."""

    def __init__(self, language: LanguageModel, max_answer_tokens: int) -> None:
        self.language = language
        self.chat = ChatFormat(language.tokenizer)
        self.reserved = ReservedTokens(language.tokenizer)
        self.max_answer_tokens = max_answer_tokens

    def batches(self, samples: Sequence[Illustrated], with_image: bool) -> Iterator[AnswerBatch]:
        """Yield the model inputs of each sample with its answer, without its pictures."""
        import torch

        turns = [
            [(role, content.replace(IMAGE_MARK, "").strip()) for role, content in sample.turns]
            for sample in samples
        ]
        answers = self.chat.answers([sample.answer for sample in samples])
        for row, (prompt, answer) in enumerate(zip(self.chat.prompts(turns), answers, strict=True)):
            words = [*(content for _, content in turns[row]), samples[row].answer]
            start = len(prompt or ())
            kept = answer[: min(self.max_answer_tokens, max(0, self.language.context - start))]
            if not prompt or not kept or self.reserved.first(words) is not None:
                continue
            ids = torch.tensor([[*prompt, *kept]], device=self.language.device)
            yield AnswerBatch([row], {"input_ids": ids}, [(start, start + len(kept))])
