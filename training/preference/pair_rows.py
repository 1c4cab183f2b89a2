"""Read pairs of replies from a manifest, and make one row of each for a training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from medsift.errors import InputError
from medsift.manifest.preference_queries import reply_pairs
from medsift.models.chat_format import with_reasoning
from training.preference.preference_settings import PreferenceConfig

Row = dict[str, Any]
Pairs = Mapping[str, Sequence[Row]]
"""By sample id: `prompt` (null is the sample's own question), `chosen` and `rejected`."""


def paired_rows(rows: Sequence[Row], pairs: Pairs) -> list[Row]:
    """Return one row for each pair of replies to it; one without pairs stays as it is."""
    return [
        row | {"messages": _asked(row, pair), "rejected": pair["rejected"]} if pair else row
        for row in rows
        for pair in pairs.get(row["sample_id"]) or (None,)
    ]


def _asked(row: Row, pair: Row) -> list[dict[str, str]]:
    """Return a row's conversation with the prompt of a pair, up to its chosen reply."""
    turns = list(row["messages"] or ())
    while turns and turns[-1]["role"] == "assistant":
        turns.pop()
    if pair["prompt"] is not None:
        # Replies were drawn to one question, of which the options may stand in another order.
        turns[-1] = {"role": "user", "content": pair["prompt"]}
    return [*turns, {"role": "assistant", "content": pair["chosen"]}]


def read_pairs(manifest: Path, run_id: str, selection: str, config: PreferenceConfig) -> Pairs:
    """Return the pairs of each sample of a selection that has any.

    Raises InputError where the whole selection has none.
    """
    found: dict[str, list[Row]] = {}
    table = reply_pairs(manifest, run_id, selection, config.source, config.name, config.per_sample)
    for line in table.to_pylist():
        texts = {side: _text(line, side) for side in ("chosen", "rejected")}
        found.setdefault(line["sample_id"], []).append({"prompt": line["prompt"], **texts})
    if not found:
        named = f" of {config.name!r}" if config.name else ""
        raise InputError(
            f"no sample of selection {selection!r} has both a right and a wrong reply in the "
            f"{config.source}{named} of run {run_id}; draw replies to this selection with "
            "`medsift rollouts`, or change preference.source or preference.name",
            code="pairs_missing",
            selection=selection,
            source=config.source,
        )
    return found


def _text(line: Row, side: str) -> str:
    answer, reasoning = line[side], line[f"{side}_reasoning"]
    return with_reasoning(reasoning, answer) if reasoning else str(answer)
