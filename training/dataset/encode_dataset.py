"""All samples as tokens: those that can be learned from, and a ledger of those that cannot."""

from __future__ import annotations

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
    """One line of the ledger; reasons are too_long, zero_weight, leak, or those of `Refused`."""

    sample_id: str
    row_id: str
    reason: str
    value: float | None = None
    threshold: float | None = None
    detail: str | None = None


@dataclass(frozen=True, slots=True)
class Encodings:
    """n samples with their tokens and weights (n,), in the order of the selection."""

    samples: tuple[Sample, ...]
    encoded: tuple[Encoded, ...]
    weights: Doubles
    dropped: tuple[Drop, ...]


def longest_allowed(base: Base, max_tokens: int | None, batch_tokens: int) -> int:
    """Most tokens of a sample: what the recipe says, and what model and batch hold."""
    return min(base.context, batch_tokens, max_tokens or base.context)


def encode_samples(
    encoder: ChatEncoder,
    samples: Sequence[Sample],
    weights: Doubles,
    limit: int,
    *,
    some: bool = True,
) -> Encodings:
    """Encode samples of `weights` (n,); whoever has more than `limit` tokens is dropped, never cut.

    Raises InputError when nobody is left and there have to be `some`, ModelError as
    `ChatEncoder.encode` does.
    """
    kept: list[int] = []
    encoded: list[Encoded] = []
    dropped: list[Drop] = []
    for place, found in enumerate(encoder.encode(samples)):
        drop = _drop(samples[place], found, float(weights[place]), limit)
        if drop is not None:
            dropped.append(drop)
        elif isinstance(found, Encoded):
            kept.append(place)
            encoded.append(found)
    if not kept and some:
        raise InputError(_nobody(dropped), code="selection_untrainable")
    return Encodings(
        tuple(samples[place] for place in kept), tuple(encoded), weights[kept], tuple(dropped)
    )


def ledger(dropped: Iterable[Drop]) -> pa.Table:
    """Dropped samples as a ``DROPPED`` table."""
    return pa.Table.from_pylist([drop._asdict() for drop in dropped], schema=DROPPED)


def _drop(sample: Sample, found: Encoded | Refused, weight: float, limit: int) -> Drop | None:
    if isinstance(found, Refused):
        return Drop(sample.sample_id, sample.row_id, found.reason, detail=found.detail or None)
    if found.length > limit:
        return Drop(sample.sample_id, sample.row_id, "too_long", found.length, limit)
    if weight == 0.0:
        return Drop(sample.sample_id, sample.row_id, "zero_weight", weight)
    return None


def _nobody(dropped: Sequence[Drop]) -> str:
    if not dropped:
        return "there are no samples to train on; name another selection"
    counts = {reason: 0 for reason in sorted({drop.reason for drop in dropped})}
    for drop in dropped:
        counts[drop.reason] += 1
    told = ", ".join(f"{count} {reason}" for reason, count in counts.items())
    one = dropped[0]
    measured = f" ({one.value:g} tokens, {one.threshold:g} allowed)" if one.threshold else ""
    because = f" ({one.detail})" if one.detail else ""
    return (
        f"none of {len(dropped)} samples can be trained on: {told}; the first is "
        f"{one.row_id}{measured}{because}: raise data.max_tokens and batches.max_tokens, or select "
        "others"
    )
