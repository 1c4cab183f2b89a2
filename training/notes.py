"""Write the sentences that a reader of a result needs next to its figures."""

from __future__ import annotations

from training.contamination import Verdict
from training.prepare import Prepared


def notes_of(verdict: Verdict, prepared: Prepared) -> list[str]:
    """The notes of a training; they go into its lineage and card, and are said at its start."""
    found = []
    if verdict.contaminated is None:
        found.append(
            "held against no benchmark: leaks are unchecked; name some under benchmarks, and "
            "split:test for a split of the run"
        )
    parts = [material for material in (prepared.training, prepared.held_out) if material]
    encoded = [one for material in parts for one in material.encodings.encoded]
    shortened = [one.unlearned for one in encoded if one.unlearned]
    if shortened:
        found.append(
            f"{sum(shortened)} answers of {len(shortened)} samples are context and not learned: "
            "the chat template writes earlier turns anew as a chat goes on"
        )
    if prepared.unmeasured:
        found.append(
            f"nothing is held out: none of {len(prepared.unmeasured)} samples could be measured"
        )
    return found
