"""Encode all samples as tokens, and list those that cannot be learned from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, overload

import pyarrow as pa

from medsift.arrays import Doubles
from medsift.errors import InputError
from medsift.manifest.schema import arrow_schema
from training.dataset.chat_labels import ChatEncoder, Encoded, Refused
from training.dataset.samples import Sample
from training.model.base_model import Base

DROPPED: Final = arrow_schema("training_drops", without=("training_id",))
"""The ledger of samples that were selected and not trained on."""
Tokenise = Callable[[ChatEncoder, Sequence[Sample]], Sequence[Encoded | Refused]]


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
    encoded: Sequence[Encoded]
    weights: Doubles
    dropped: tuple[Drop, ...]
    odds: Doubles | None = None


class _Kept(Sequence[Encoded]):
    """Those samples that have tokens, which are looked up when they are asked for."""

    def __init__(self, outcomes: Sequence[Encoded | Refused], kept: Sequence[int]) -> None:
        self._outcomes, self._kept = outcomes, kept

    def __len__(self) -> int:
        return len(self._kept)

    @overload
    def __getitem__(self, index: int) -> Encoded: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[Encoded]: ...

    def __getitem__(self, index: int | slice) -> Encoded | Sequence[Encoded]:
        if isinstance(index, slice):
            return _Kept(self._outcomes, self._kept[index])
        outcome = self._outcomes[self._kept[index]]
        assert isinstance(outcome, Encoded), "a sample that was kept"
        return outcome


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
    tokenise: Tokenise | None = None,
    together: int = 1,
) -> Encodings:
    """Encode samples; one of more than `limit` tokens is dropped, never cut.

    Args:
        encoder: the model's template and processor.
        samples: n samples.
        weights: (n,); a sample of weight 0 is dropped.
        limit: the most tokens of a sample.
        odds: of being drawn (n,), where samples are; one of odds 0 is dropped.
        required: whether at least one sample must be left.
        tokenise: returns what became of each sample, kept elsewhere; in this process when None.
        together: how many samples in a row are kept or dropped as one, with one line of the ledger.

    Raises:
        InputError: no sample is left, and some are required.
        ModelError: as `ChatEncoder.encode` does.
    """
    outcomes = list(encoder.encode(samples)) if tokenise is None else tokenise(encoder, samples)
    kept: list[int] = []
    dropped: list[Drop] = []
    idle = weights == 0.0 if odds is None else (weights == 0.0) | (odds == 0.0)
    reasons = [
        _why_dropped(sample, outcome, limit, idle=bool(never))
        for sample, outcome, never in zip(samples, outcomes, idle, strict=True)
    ]
    for start in range(0, len(samples), together):
        members = range(start, start + together)
        drop = next((reasons[index] for index in members if reasons[index]), None)
        if drop is None:
            kept.extend(members)
        else:
            dropped.append(drop)
    if required and not samples:
        message = "there are no samples to train on; name another selection"
        raise InputError(message, code="selection_untrainable", reasons={})
    if required and not kept:
        raise _nothing_trainable(dropped)
    chosen = tuple(samples[index] for index in kept)
    drawn = None if odds is None else odds[kept]
    return Encodings(chosen, _Kept(outcomes, kept), weights[kept], tuple(dropped), drawn)


def _why_dropped(
    sample: Sample, outcome: Encoded | Refused, limit: int, *, idle: bool
) -> Drop | None:
    ids = sample.sample_id, sample.row_id
    if isinstance(outcome, Refused):
        return Drop(*ids, outcome.reason, detail=outcome.detail or None)
    if outcome.length > limit:
        # Not cut: the model would learn that answers break off.
        return Drop(*ids, "too_long", outcome.length, limit)
    # In a batch it would cost time and teach nothing.
    return Drop(*ids, "zero_weight", 0.0) if idle else None


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
