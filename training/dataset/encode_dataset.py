"""Encode all samples as tokens, and list those that cannot be learned from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import pyarrow as pa

from medsift.arrays import Doubles
from medsift.errors import InputError
from medsift.manifest.schema import arrow_schema
from training.dataset.chat_labels import ChatEncoder, Encoded, Refused
from training.dataset.samples import Sample
from training.model.base_model import Base

DROPPED: Final = arrow_schema("training_drops", without=("training_id",))
"""The ledger of samples that were selected and not trained on."""


class Drop(NamedTuple):
    """One row of the ledger; reasons are too_long, zero_weight, leak, or those of `Refused`."""

    sample_id: str
    row_id: str
    reason: str
    value: float | None = None
    threshold: float | None = None
    detail: str | None = None


@dataclass(frozen=True, slots=True)
class Encodings:
    """n samples with their tokens and weights (n,), in the order of the selection.

    `odds` (n,) are those of being drawn; None where each sample is seen once in an epoch.
    """

    samples: tuple[Sample, ...]
    encoded: tuple[Encoded, ...]
    weights: Doubles
    dropped: tuple[Drop, ...]
    odds: Doubles | None = None


def longest_allowed(base: Base, max_tokens: int | None, batch_tokens: int) -> int:
    """Return the most tokens of a sample: the recipe's limit, within what model and batch allow."""
    return min(base.context, batch_tokens, max_tokens or base.context)


def encode_samples(
    encoder: ChatEncoder,
    samples: Sequence[Sample],
    weights: Doubles,
    limit: int,
    *,
    odds: Doubles | None = None,
    required: bool = True,
) -> Encodings:
    """Encode samples; one of more than `limit` tokens is dropped, never cut.

    Args:
        encoder: the model's template and processor.
        samples: n samples.
        weights: (n,); a sample of weight 0 is dropped.
        limit: the most tokens of a sample.
        odds: of being drawn (n,), where samples are; one of odds 0 is dropped.
        required: whether at least one sample must be left.

    Raises:
        InputError: no sample is left, and some are required.
        ModelError: as `ChatEncoder.encode` does.
    """
    kept: list[int] = []
    encoded: list[Encoded] = []
    dropped: list[Drop] = []
    for index, outcome in enumerate(encoder.encode(samples)):
        ids = samples[index].sample_id, samples[index].row_id
        if isinstance(outcome, Refused):
            dropped.append(Drop(*ids, outcome.reason, detail=outcome.detail or None))
        elif outcome.length > limit:
            # Not cut: the model would learn that answers break off.
            dropped.append(Drop(*ids, "too_long", outcome.length, limit))
        # In a batch it would cost time and teach nothing.
        elif weights[index] == 0.0 or (odds is not None and odds[index] == 0.0):
            dropped.append(Drop(*ids, "zero_weight", 0.0))
        else:
            kept.append(index)
            encoded.append(outcome)
    if required and not samples:
        message = "there are no samples to train on; name another selection"
        raise InputError(message, code="selection_untrainable", reasons={})
    if required and not kept:
        raise _nothing_trainable(dropped)
    chosen = tuple(samples[index] for index in kept)
    drawn = None if odds is None else odds[kept]
    return Encodings(chosen, tuple(encoded), weights[kept], tuple(dropped), drawn)


def ledger(dropped: Iterable[Drop]) -> pa.Table:
    """Return dropped samples as a ``DROPPED`` table."""
    return pa.Table.from_pylist([drop._asdict() for drop in dropped], schema=DROPPED)


def _nothing_trainable(dropped: Sequence[Drop]) -> InputError:
    reasons = Counter(sorted(drop.reason for drop in dropped))
    counts = ", ".join(f"{count} {reason}" for reason, count in reasons.items())
    first = dropped[0]
    tokens = f" ({first.value:g} tokens, {first.threshold:g} allowed)" if first.threshold else ""
    because = f" ({first.detail})" if first.detail else ""
    message = (
        f"none of {len(dropped)} samples can be trained on: {counts}; the first is "
        f"{first.row_id}{tokens}{because}: raise data.max_tokens and batches.max_tokens, or select "
        "others"
    )
    return InputError(message, code="selection_untrainable", reasons=dict(reasons))
