"""Batches as the model takes them: text, pictures, and the tokens that are learned."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from medsift.errors import ModelError
from training.dataset.batches import Batch
from training.dataset.chat_labels import IGNORED, ChatEncoder
from training.dataset.encode_dataset import Encodings
from training.dataset.packing import Packer
from training.dataset.samples import Picture, Sample, load_picture
from training.model.base_model import Base

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor

HELD_PICTURES: Final = 32


@dataclass(frozen=True, slots=True)
class MicroBatch:
    """One batch as tensors.

    The n learned tokens `targets` (n,) are predicted at (`rows`, `places`), (n,) each, and count
    by `weights` (n,). `tokens` are those of the samples, padding left out.
    """

    inputs: dict[str, Tensor]
    rows: Tensor
    places: Tensor
    targets: Tensor
    weights: Tensor
    tokens: int
    samples: int
    names: tuple[str, ...]

    def to(self, device: str) -> MicroBatch:
        """The same on a device."""
        if device == "cpu":
            return self
        moved = {name: value.to(device, non_blocking=True) for name, value in self.inputs.items()}
        parts = (self.rows, self.places, self.targets, self.weights)
        rows, places, targets, weights = (part.to(device, non_blocking=True) for part in parts)
        return replace(
            self, inputs=moved, rows=rows, places=places, targets=targets, weights=weights
        )


class Collator:
    """Makes tensors of batches. For one thread at a time.

    Pictures are decoded by threads of its own, or come from `images`: those of `pictures`, in
    that order.
    """

    def __init__(
        self,
        base: Base,
        encoder: ChatEncoder,
        encodings: Encodings,
        packer: Packer | None = None,
        threads: int = 2,
        images: Iterator[Image] | None = None,
    ) -> None:
        self.base, self.encoder, self.encodings, self.packer = base, encoder, encodings, packer
        self.pool = ThreadPoolExecutor(threads, thread_name_prefix="decode")
        self.picture = lru_cache(maxsize=HELD_PICTURES)(load_picture)
        self.images = images

    def __call__(self, batch: Batch) -> MicroBatch:
        """Tensors of a batch, on the CPU, padded on the right or packed.

        Raises StorageError for a picture that has vanished or changed, ModelError where the
        processor's tokens are not those that were planned.
        """
        members = batch.members
        samples = [self.encodings.samples[place] for place in members]
        inputs = self._inputs(samples)
        labels = self._labels(inputs, members)
        tokens = int(inputs["attention_mask"].sum())
        weights = np.repeat(self.encodings.weights[members] * batch.counts, labels.shape[1])
        weights = weights.reshape(labels.shape)
        if self.packer is not None:
            inputs, labels, weights = self.packer.pack(inputs, labels, weights)
        return _micro(inputs, labels, weights, tokens, samples, batch.counts)

    def pictures(self, batches: Iterable[Batch]) -> Iterator[Picture]:
        """The pictures of some batches, in the order in which they are taken."""
        for batch in batches:
            for place in batch.members:
                yield from self.encodings.samples[place].pictures

    def fed_by(self, images: Iterator[Image]) -> Collator:
        """The same one, whose pictures come decoded."""
        return Collator(self.base, self.encoder, self.encodings, self.packer, images=images)

    def close(self) -> None:
        """End the threads that decode."""
        self.pool.shutdown(cancel_futures=True)

    def _inputs(self, samples: Sequence[Sample]) -> dict[str, Tensor]:
        texts = [self.encoder.text(sample) for sample in samples]
        how: dict[str, Any] = {
            "padding": True,
            "padding_side": "right",
            "return_tensors": "pt",
            "add_special_tokens": False,
        }
        if self.base.processor is None:
            inputs = dict(self.base.tokenizer(texts, **how))
        else:
            shown = self._pictures(samples)
            images = shown if any(shown) else None
            inputs = dict(self.base.processor(text=texts, images=images, **how))
        return {name: value for name, value in inputs.items() if hasattr(value, "shape")}

    def _pictures(self, samples: Sequence[Sample]) -> list[list[Image]]:
        if self.images is not None:
            return [[next(self.images) for _ in sample.pictures] for sample in samples]
        limit = self.encoder.max_pixels
        coming = [
            [self.pool.submit(self.picture, picture, limit) for picture in sample.pictures]
            for sample in samples
        ]
        return [[picture.result() for picture in those] for those in coming]

    def _labels(self, inputs: dict[str, Tensor], members: Sequence[int]) -> np.ndarray[Any, Any]:
        ids = inputs["input_ids"].numpy()
        shown = inputs["attention_mask"].numpy().astype(bool)
        labels = np.full(ids.shape, IGNORED, np.int64)
        for row, place in enumerate(members):
            encoded = self.encodings.encoded[place]
            length = int(shown[row].sum())
            if not shown[row, :length].all():
                raise ModelError(
                    f"the processor of {self.base.name} does not pad on the right",
                    code="model_unsuitable",
                )
            labels[row, :length] = self.encoder.labels(encoded, ids[row, :length])
        return labels


def _micro(
    inputs: dict[str, Tensor],
    labels: np.ndarray[Any, Any],
    weights: np.ndarray[Any, Any],
    tokens: int,
    samples: Sequence[Sample],
    counts: bool,
) -> MicroBatch:
    import torch

    # What is predicted at a place is the token after it.
    rows, places = np.nonzero(labels[:, 1:] != IGNORED)
    return MicroBatch(
        inputs=inputs,
        rows=torch.from_numpy(rows),
        places=torch.from_numpy(places),
        targets=torch.from_numpy(labels[rows, places + 1]),
        weights=torch.from_numpy(weights[rows, places + 1].astype(np.float32)),
        tokens=tokens if counts else 0,
        samples=len(samples) if counts else 0,
        names=tuple(sample.row_id for sample in samples),
    )
