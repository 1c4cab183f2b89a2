"""Compute how likely answers are under a language model: mean negative log-likelihood.

Sequences are padded on the right, to a length that depends on their own length only: later tokens
never influence earlier ones, so no mask is needed. On a CPU, where each batch runs on one thread, a
loss is bitwise the same in any batch and with any number of threads. On a GPU kernels are chosen by
a batch's shape; losses then agree to a relative 1e-5.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import groupby
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from medsift.arrays import Doubles
from medsift.errors import ModelError
from medsift.models.chat_format import Tokens
from medsift.models.fixed_batches import single_threaded_pool
from medsift.models.language_model import LanguageModel

if TYPE_CHECKING:
    import torch


# On a CPU small batches fit into its cache; on a GPU the logits of 150,000 words must fit.
CPU_TOKENS: Final = 512
GPU_TOKENS: Final = 8192
LENGTH_STEP: Final = 8
# Matrices of one to three rows are multiplied by other kernels than taller ones.
LEAST_ROWS: Final = 16
_REGISTERING: Final = threading.Lock()


class AnswerHead:
    """Compute losses of chosen tokens; the output layer is evaluated at their positions only.

    Most of a sequence is prompt, and logits are as wide as the vocabulary. Scales and caps that a
    model applies to its logits are still applied. Safe to use from several threads.
    """

    def __init__(self, model: Any) -> None:
        layer = model.get_output_embeddings()
        if layer is None:
            raise ModelError(
                f"{type(model).__name__} has no output layer over a vocabulary; name a model that "
                "continues text",
                code="model_unsuitable",
            )
        self.model, self.layer = model, layer

    def losses(self, inputs: dict[str, Any], spans: Sequence[tuple[int, int]]) -> Doubles:
        """Return the mean -log p (b,) of `ids[row, start:stop]`, a non-empty span for each row."""
        import torch

        rows, places = _positions(spans)
        ids = inputs["input_ids"]
        row, place = (torch.from_numpy(index).to(ids.device) for index in (rows, places))
        with torch.inference_mode(), self.only(row, place - 1):
            logits = self.model(**inputs, use_cache=False).logits[0].float()
            chosen = logits.gather(1, ids[row, place].unsqueeze(1)).squeeze(1)
            losses = (logits.logsumexp(dim=1) - chosen).double().cpu().numpy()
        counts = np.array([stop - start for start, stop in spans])
        unpadded = int(counts.sum())
        total = np.bincount(rows[:unpadded], losses[:unpadded], minlength=len(spans))
        mean: Doubles = total.astype(np.float64) / counts
        return mean

    @contextmanager
    def only(self, row: torch.Tensor, place: torch.Tensor) -> Iterator[None]:
        """Make this thread's logits (1, n, words) those of n places, until the block ends."""
        thread = threading.get_ident()

        def cut(layer: Any, arguments: tuple[Any, ...]) -> tuple[Any, ...] | None:
            # Other threads run the same model at the same time, each with places of its own.
            if threading.get_ident() != thread:
                return None
            return (arguments[0][row, place].unsqueeze(0), *arguments[1:])

        # Torch numbers hooks without a lock: two threads could get one number, and lose a hook.
        with _REGISTERING:
            hook = self.layer.register_forward_pre_hook(cut)
        try:
            yield
        finally:
            hook.remove()


class AnswerLikelihood:
    """Compute answer losses; `batch_tokens` limits a batch, padding included."""

    def __init__(self, language: LanguageModel, batch_tokens: int | None = None) -> None:
        import torch

        on_cpu = language.device == "cpu"
        self.language = language
        self.head = AnswerHead(language.model)
        self.batch_tokens = batch_tokens or (CPU_TOKENS if on_cpu else GPU_TOKENS)
        self.pool = single_threaded_pool(torch.get_num_threads()) if on_cpu else None

    def losses(self, sequences: Sequence[Tokens]) -> Doubles:
        """Return the mean -log p (n,) in nats of the tokens from `start` >= 1 on; NaN if none."""
        lengths = [self._padded(sequence) for sequence in sequences]
        answered = [row for row, tokens in enumerate(sequences) if len(tokens.ids) > tokens.start]
        # The longest batches start first, so that no thread is left with one at the end.
        answered.sort(key=lambda row: -lengths[row])
        batches: list[list[int]] = []
        for length, group in groupby(answered, lambda row: lengths[row]):
            rows, size = list(group), max(1, self.batch_tokens // length)
            batches += [rows[start : start + size] for start in range(0, len(rows), size)]
        members = [[sequences[row] for row in batch] for batch in batches]
        run = map if self.pool is None else self.pool.map
        losses = np.full(len(sequences), np.nan)
        for batch, of_batch in zip(batches, run(self._batch_losses, members), strict=True):
            losses[batch] = of_batch
        return losses

    def _padded(self, sequence: Tokens) -> int:
        length = len(sequence.ids)
        return min(padded_length(length), max(self.language.context, length))

    def _batch_losses(self, sequences: Sequence[Tokens]) -> Doubles:
        import torch

        ids = np.zeros((len(sequences), self._padded(sequences[0])), np.int64)
        for row, sequence in enumerate(sequences):
            ids[row, : len(sequence.ids)] = sequence.ids
        inputs = {"input_ids": torch.from_numpy(ids).to(self.language.device)}
        return self.head.losses(inputs, [(tokens.start, len(tokens.ids)) for tokens in sequences])


def padded_length(length: int) -> int:
    """Return the next multiple of 8, above 128 of 16, above 256 of 32, and so on."""
    step = max(LENGTH_STEP, 1 << max(0, (length - 1).bit_length() - 4))
    return -(-length // step) * step


def _positions(spans: Sequence[tuple[int, int]]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return row and position (n) of every token of the spans, the last repeated to LEAST_ROWS."""
    rows = np.repeat(np.arange(len(spans)), [stop - start for start, stop in spans])
    places = np.concatenate([np.arange(start, stop) for start, stop in spans])
    short = (0, max(0, LEAST_ROWS - len(rows)))
    return np.pad(rows, short, mode="edge"), np.pad(places, short, mode="edge")
