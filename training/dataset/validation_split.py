"""Hold samples out that are measured and never learned from, and share nothing with training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pyarrow as pa

from medsift.arrays import Indices
from medsift.errors import InputError
from medsift.leakage_groups import Level, components
from medsift.records import GROUPS
from medsift.split_assignment import assign_splits
from training.dataset.samples import Sample, Selected, as_table
from training.recipe import HeldOutConfig

TRAIN, HELD_OUT = "train", "held_out"


def hold_out(
    selected: Selected, config: HeldOutConfig | None, seed: int
) -> tuple[tuple[Sample, ...], tuple[Sample, ...]]:
    """Return samples to learn from and samples to measure; the latter are none without `config`.

    The samples of a split that `config` names were read with the selection.

    Raises InputError when one of the two would be empty, or when a given split shares pictures
    (or copies of them, or, without pictures, all words) with training.
    """
    if config is None:
        return selected.samples, ()
    if config.share is not None:
        training, held_out = _cut(selected, config.level, config.share, seed)
    elif selected.held_out:
        training, held_out = selected.samples, selected.held_out
    else:
        message = (
            f"run {selected.run_id} has no sample in split {config.split!r}, so that nothing can "
            "be held out; name another split, or data.held_out.share"
        )
        raise InputError(message, code="held_out_invalid", split=config.split)
    # A cut is checked too: that it stands apart should not rest on the code that made it.
    _check_apart(training, held_out, selected.groups)
    return training, held_out


def _cut(
    selected: Selected, level: Level, share: float, seed: int
) -> tuple[tuple[Sample, ...], tuple[Sample, ...]]:
    """Hold out a share of the selection in whole groups, alike in every stratum."""
    samples = selected.samples
    splits = assign_splits(
        [sample.row_id for sample in samples],
        _leakage_groups(samples, selected.groups, level),
        [sample.stratum for sample in samples],
        {TRAIN: 1.0 - share, HELD_OUT: share},
        seed,
    )
    parts = {
        name: tuple(sample for sample, split in zip(samples, splits, strict=True) if split == name)
        for name in (TRAIN, HELD_OUT)
    }
    for name, part in parts.items():
        if not part:
            message = (
                f"of {len(samples)} samples in whole groups none is left for {name} at "
                f"data.held_out.share {share:g}; change the share, or select more"
            )
            raise InputError(message, code="held_out_invalid", empty=name)
    return parts[TRAIN], parts[HELD_OUT]


def _check_apart(
    training: Sequence[Sample], held_out: Sequence[Sample], groups: Mapping[str, str]
) -> None:
    """Raise InputError, naming a pair, when held-out samples share content with training."""
    # Pictures and words are the least to keep apart, whatever level a cut was made by.
    labels = _leakage_groups([*training, *held_out], groups, "image").tolist()
    # Equal labels share content, so one dictionary of training's labels finds every pair.
    learned = dict(zip(labels[: len(training)], training, strict=True))
    shared = [
        (sample, learned[label])
        for sample, label in zip(held_out, labels[len(training) :], strict=True)
        if label in learned
    ]
    if shared:
        sample, other = shared[0]
        raise InputError(
            f"{len(shared)} of {len(held_out)} held-out samples share pictures or words with "
            f"training, for example {sample.row_id} with {other.row_id}; hold out whole groups by "
            "data.held_out.share, or let the curation assign splits",
            code="held_out_invalid",
            shared=len(shared),
            rows=[sample.row_id, other.row_id],
        )


def _leakage_groups(samples: Sequence[Sample], groups: Mapping[str, str], level: Level) -> Indices:
    copies = pa.table([list(groups), list(groups.values())], schema=GROUPS)
    return components(as_table(samples), copies, level)
