"""Make tensors of batches in the background: text, pictures, and the tokens that are learned."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from medsift.errors import ModelError
from training.dataset.batches import Batch
from training.dataset.chat_labels import IGNORED, ChatEncoder, Ids
from training.dataset.encode_dataset import Encodings
from training.dataset.packing import Packer
from training.dataset.samples import Sample, load_picture
from training.model.base_model import Base

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor

CACHED_PICTURES: Final = 32
"""Decoded pictures that are kept: several questions about one picture often share a batch."""
AHEAD: Final = 3
"""Batches made ready ahead: they even out slow pictures, and each occupies memory."""


@dataclass(frozen=True, slots=True)
class MicroBatch:
    """One batch as tensors.

    The n learned tokens `targets` (n,) are predicted at (`rows`, `positions`), (n,) each, and count
    by `weights` (n,).
    """

    inputs: dict[str, Tensor]
    rows: Tensor
    positions: Tensor
    targets: Tensor
    weights: Tensor

    def to(self, device: str) -> MicroBatch:
        """Return the same on a device."""
        if device == "cpu":
            return self

        def moved(tensor: Tensor) -> Tensor:
            return tensor.to(device, non_blocking=True)

        inputs = {name: moved(value) for name, value in self.inputs.items()}
        tensors = map(moved, (self.rows, self.positions, self.targets, self.weights))
        return MicroBatch(inputs, *tensors)


class Collator:
    """Make tensors of batches, in one thread; `images` are decoded pictures, in order of use."""

    def __init__(
        self,
        base: Base,
        encoder: ChatEncoder,
        encodings: Encodings,
        packer: Packer | None = None,
        images: Iterator[Image] | None = None,
    ) -> None:
        self.base, self.encoder, self.encodings, self.packer = base, encoder, encodings, packer
        self.pool = ThreadPoolExecutor(2, thread_name_prefix="decode")
        self.picture = lru_cache(maxsize=CACHED_PICTURES)(load_picture)
        self.images = images

    def __call__(self, batch: Batch) -> MicroBatch:
        """Return tensors of a batch, on the CPU, padded on the right or packed.

        Raises StorageError for a picture that has vanished or changed, ModelError where the
        processor's tokens are not those that were planned.
        """
        import torch

        samples = [self.encodings.samples[index] for index in batch.members]
        texts = [self.encoder.text(sample) for sample in samples]
        images = self._images(samples)
        inputs = self.base.inputs(texts, images, padding=True, padding_side="right")
        labels = self._labels(inputs, batch.members)
        # A batch that does not count has weight 0: it adds no gradient, yet takes part in the sum.
        counted = self.encodings.weights[batch.members] * batch.counts
        weights = np.repeat(counted[:, None], labels.shape[1], axis=1)
        if self.packer is not None:
            inputs, labels, weights = self.packer.pack(inputs, labels, weights)
        # What is predicted at a position is the token after it.
        rows, positions = np.nonzero(labels[:, 1:] != IGNORED)
        return MicroBatch(
            inputs=inputs,
            rows=torch.from_numpy(rows),
            positions=torch.from_numpy(positions),
            targets=torch.from_numpy(labels[rows, positions + 1]),
            weights=torch.from_numpy(weights[rows, positions + 1].astype(np.float32)),
        )

    def close(self) -> None:
        """End the threads that decode."""
        self.pool.shutdown(cancel_futures=True)

    def _images(self, samples: Sequence[Sample]) -> list[list[Image]] | None:
        """Return the decoded pictures of each sample; None without any, as processors expect."""
        if not any(sample.pictures for sample in samples):
            return None
        if self.images is not None:
            return [[next(self.images) for _ in sample.pictures] for sample in samples]
        limit = self.encoder.max_pixels
        # All are submitted before the first is waited for, so that they are decoded at once.
        futures = [
            [self.pool.submit(self.picture, picture, limit) for picture in sample.pictures]
            for sample in samples
        ]
        return [[future.result() for future in row] for row in futures]

    def _labels(self, inputs: dict[str, Tensor], members: Sequence[int]) -> Ids:
        ids = inputs["input_ids"].numpy()
        unpadded = inputs["attention_mask"].numpy().astype(bool)
        labels = np.full(ids.shape, IGNORED, np.int64)
        for row, index in enumerate(members):
            length = int(unpadded[row].sum())
            # Labels are counted from the left: padding there would shift them unnoticed.
            if not unpadded[row, :length].all():
                message = (
                    f"the processor of {self.base.name} does not pad on the right; name another "
                    "model"
                )
                raise ModelError(message, code="model_unsuitable", model=self.base.name)
            encoded = self.encodings.encoded[index]
            labels[row, :length] = self.encoder.labels(encoded, ids[row, :length])
        return labels


class PrefetchedBatch(NamedTuple):
    """A batch, and the seconds that training waited for it."""

    micro: MicroBatch
    waited: float


def prefetch(
    collate: Callable[[Batch], MicroBatch], batches: Iterable[Batch], ahead: int = AHEAD
) -> Generator[PrefetchedBatch, None, None]:
    """Yield batches in order while one thread makes the next `ahead`.

    An error of `collate` is raised where its batch would have come.
    """
    pending: deque[Future[MicroBatch]] = deque()

    def next_batch() -> PrefetchedBatch:
        started = time.perf_counter()
        micro = pending.popleft().result()
        return PrefetchedBatch(micro, time.perf_counter() - started)

    with ThreadPoolExecutor(1, thread_name_prefix="collate") as worker:
        _limit_to_one_core(worker)
        try:
            for batch in batches:
                pending.append(worker.submit(collate, batch))
                if len(pending) > ahead:
                    yield next_batch()
            while pending:
                yield next_batch()
        finally:
            # Waited for: a caller that ends early then closes the decoding threads it needs.
            worker.shutdown(wait=True, cancel_futures=True)


def _limit_to_one_core(worker: ThreadPoolExecutor) -> None:
    """Have the worker's thread compute without helper threads.

    With a team of threads of its own there would be more threads than cores, and OpenMP would put
    training's threads to sleep after every small operation: steps took twice as long.
    """
    import torch

    ours = torch.get_num_threads()
    # On its first use a thread adopts the process's number, and would discard an earlier setting.
    worker.submit(torch.get_num_threads).result()
    worker.submit(torch.set_num_threads, 1).result()
    # Setting it in one thread also changes the process's number, so that is put back.
    torch.set_num_threads(ours)
