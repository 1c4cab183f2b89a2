"""Samples that are measured and never learned from: which, and the proof that they stand apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pyarrow as pa

from medsift.errors import InputError
from medsift.leakage_groups import components
from medsift.split_assignment import assign_splits
from training.dataset.samples import Sample, Selected, as_table
from training.recipe import HeldOutConfig

TRAIN, HELD_OUT = "train", "held_out"


def hold_out(
    selected: Selected, config: HeldOutConfig | None, seed: int
) -> tuple[tuple[Sample, ...], tuple[Sample, ...]]:
    """Samples to learn from and samples to measure; the latter are none without `config`.

    Of a split that `config` names, `selected` has the samples.

    Raises InputError when one of them would be empty, or when a given split shares pictures
    (or copies of them, or, without pictures, all words) with training.
    """
    if config is None:
        return selected.samples, ()
    if config.split is not None:
        _check_some(selected, config.split)
        check_apart(selected.samples, selected.held, selected.groups)
        return selected.samples, selected.held
    assert config.share is not None
    return _cut(selected, config, config.share, seed)


def _check_some(selected: Selected, split: str) -> None:
    if not selected.held:
        raise InputError(
            f"run {selected.run_id} has no sample in split {split!r}, so that nothing can be held "
            "out; name another split, or data.held_out.share",
            code="held_out_invalid",
        )


def check_apart(
    training: Sequence[Sample], held: Sequence[Sample], groups: Mapping[str, str]
) -> None:
    """Raise InputError, naming a pair, when held-out samples share content with training."""
    labels = components(as_table([*training, *held]), _group_table(groups), "image").tolist()
    learned = dict(zip(labels[: len(training)], training, strict=True))
    shared = [
        (sample, learned[label])
        for sample, label in zip(held, labels[len(training) :], strict=True)
        if label in learned
    ]
    if shared:
        sample, other = shared[0]
        raise InputError(
            f"{len(shared)} of {len(held)} held-out samples share pictures or words with training, "
            f"for example {sample.row_id} with {other.row_id}; hold out whole groups by "
            "data.held_out.share, or let the curation assign splits",
            code="held_out_invalid",
        )


def _cut(
    selected: Selected, config: HeldOutConfig, share: float, seed: int
) -> tuple[tuple[Sample, ...], tuple[Sample, ...]]:
    samples = selected.samples
    splits = assign_splits(
        [sample.row_id for sample in samples],
        components(as_table(samples), _group_table(selected.groups), config.level),
        [sample.stratum for sample in samples],
        {TRAIN: 1.0 - share, HELD_OUT: share},
        seed,
    )
    parts = {
        name: tuple(one for one, split in zip(samples, splits, strict=True) if split == name)
        for name in (TRAIN, HELD_OUT)
    }
    for name, part in parts.items():
        if not part:
            raise InputError(
                f"of {len(samples)} samples in whole groups none is left for {name} at "
                f"data.held_out.share {share:g}; change the share, or select more",
                code="held_out_invalid",
            )
    check_apart(parts[TRAIN], parts[HELD_OUT], selected.groups)
    return parts[TRAIN], parts[HELD_OUT]


def _group_table(groups: Mapping[str, str]) -> pa.Table:
    return pa.table(
        {
            "image_id": pa.array(list(groups), pa.string()),
            "group_id": pa.array(list(groups.values()), pa.string()),
        }
    )
