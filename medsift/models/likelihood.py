"""Compute how likely answers are under a language model: mean negative log-likelihood.

Sequences are padded on the right, to a length that only their own decides: later tokens never
reach earlier ones, so no mask is needed. On a CPU, where each batch runs on one thread, a loss is
bitwise the same whatever the batch around it and however many threads there are. On a GPU kernels
are chosen by a batch's shape; losses then agree to some 1e-5 of themselves.
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


# On a CPU small batches stay in its cache; on a GPU the logits of 150,000 words must fit.
CPU_TOKENS: Final = 512
GPU_TOKENS: Final = 8192
LENGTH_STEP: Final = 8
# Matrices of one to three rows are multiplied by other kernels than taller ones.
LEAST_ROWS: Final = 16
_REGISTERING: Final = threading.Lock()


class AnswerHead:
    """Losses of chosen tokens; the model's output layer works at their places alone.

    Most of a sequence is prompt, and logits are as wide as the vocabulary. What a model does to
    its logits afterwards (scales, caps) still happens. Safe to use from several threads.
    """

    def __init__(self, model: Any) -> None:
        layer = model.get_output_embeddings()
        if layer is None:
            raise ModelError(
                f"{type(model).__name__} has no output layer over a vocabulary; name a model that "
                "continues text",
                code="model_unsuitable",
            )
        self.model = model
        self.layer = layer

    def losses(self, inputs: dict[str, Any], spans: Sequence[tuple[int, int]]) -> Doubles:
        """Mean -log p (b,) of the tokens `ids[row, start:stop]`, one non-empty span a row."""
        import torch

        rows, places = _positions(spans)
        ids = inputs["input_ids"]
        row, place = (torch.from_numpy(index).to(ids.device) for index in (rows, places))
        with torch.inference_mode(), self.only(row, place - 1):
            logits = self.model(**inputs, use_cache=False).logits[0].float()
            chosen = logits.gather(1, ids[row, place].unsqueeze(1)).squeeze(1)
            losses = (logits.logsumexp(dim=1) - chosen).double().cpu().numpy()
        counts = np.array([stop - start for start, stop in spans])
        asked = int(counts.sum())
        total = np.bincount(rows[:asked], losses[:asked], minlength=len(spans))
        mean: Doubles = total.astype(np.float64) / counts
        return mean

    @contextmanager
    def only(self, row: torch.Tensor, place: torch.Tensor) -> Iterator[None]:
        """Make this thread's logits (1, n, words) within the block: those of n places.

        The hook that does it is removed afterwards, so that a model which several scorers share
        is left as it was.
        """
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
    """Answer losses under a language model; `batch_tokens` bounds a batch, padding included."""

    def __init__(self, language: LanguageModel, batch_tokens: int | None = None) -> None:
        import torch

        on_cpu = language.device == "cpu"
        self.language = language
        self.head = AnswerHead(language.model)
        self.batch_tokens = batch_tokens or (CPU_TOKENS if on_cpu else GPU_TOKENS)
        self.pool = single_threaded_pool(torch.get_num_threads()) if on_cpu else None

    def losses(self, sequences: Sequence[Tokens]) -> Doubles:
        """Mean -log p (n,) in nats of each sequence's tokens from its `start` (>= 1) on.

        The sum over an answer's tokens of -log p(token | all before it), over their number; NaN
        for an answer without tokens.
        """
        found = np.full(len(sequences), np.nan)
        batches = self._batches(sequences)
        members = [[sequences[place] for place in batch] for batch in batches]
        run = map if self.pool is None else self.pool.map
        for batch, losses in zip(batches, run(self._batch, members), strict=True):
            found[batch] = losses
        return found

    def _batches(self, sequences: Sequence[Tokens]) -> list[list[int]]:
        """Places of sequences that are padded to one length, longest first."""
        lengths = [self._padded(one) for one in sequences]
        asked = [place for place, one in enumerate(sequences) if len(one.ids) > one.start]
        asked.sort(key=lambda place: -lengths[place])
        batches = []
        for length, group in groupby(asked, lambda place: lengths[place]):
            alike, size = list(group), max(1, self.batch_tokens // length)
            batches += [alike[start : start + size] for start in range(0, len(alike), size)]
        return batches

    def _padded(self, one: Tokens) -> int:
        return min(padded_length(len(one.ids)), max(self.language.context, len(one.ids)))

    def _batch(self, sequences: Sequence[Tokens]) -> Doubles:
        import torch

        ids = np.zeros((len(sequences), self._padded(sequences[0])), np.int64)
        for row, one in enumerate(sequences):
            ids[row, : len(one.ids)] = one.ids
        given = {"input_ids": torch.from_numpy(ids).to(self.language.device)}
        return self.head.losses(given, [(one.start, len(one.ids)) for one in sequences])


def padded_length(length: int) -> int:
    """The next multiple of 8, from 129 on of 16, from 257 on of 32, and so on."""
    step = max(LENGTH_STEP, 1 << max(0, (length - 1).bit_length() - 4))
    return -(-length // step) * step


def _positions(spans: Sequence[tuple[int, int]]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Row and place (n) of every token of some spans, the last repeated up to LEAST_ROWS."""
    rows = np.repeat(np.arange(len(spans)), [stop - start for start, stop in spans])
    places = np.concatenate([np.arange(start, stop) for start, stop in spans])
    short = (0, max(0, LEAST_ROWS - len(rows)))
    return np.pad(rows, short, mode="edge"), np.pad(places, short, mode="edge")
