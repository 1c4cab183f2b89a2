"""Score stored replies: pure functions over rows, without a model and without torch.

A protocol is one file with a `score(item, reply)` and one entry in `PROTOCOLS`;
`predictions.score_predictions` applies one to a table.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import Final

from evaluation.scoring import llava_med, medevalkit, strict
from evaluation.scoring.scored import FAULTS, PARSED, UNPARSED, AnswerKey, Protocol, Scored
from medsift.records import ANSWER_TYPES

PROTOCOLS: Final = MappingProxyType(
    {
        protocol.name: protocol
        for protocol in (
            Protocol("medevalkit", ANSWER_TYPES, medevalkit.score),
            Protocol("llava-med", ("closed", "open"), llava_med.score),
            Protocol("strict", ANSWER_TYPES, strict.score),
        )
    }
)

__all__ = ["FAULTS", "PARSED", "PROTOCOLS", "UNPARSED", "AnswerKey", "Protocol", "Scored"]
