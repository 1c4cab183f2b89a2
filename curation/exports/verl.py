"""Write the format `verl`: what verl's `RLHFDataset` and its rule rewards read.

Pictures are marked in the text of `prompt`; `data_source` chooses the reward function, to which
`reward_model.ground_truth` and `extra_info` go.
"""

from __future__ import annotations

from typing import Final

from curation.exports.export_format import ExportFormat, Json
from curation.exports.questions import (
    FACT_TYPES,
    answer_of,
    options_of,
    question_format,
    with_facts,
)
from curation.exports.turns import Line, Turn

ABILITY: Final = "medical"
RULE: Final = "rule"
COLUMNS: Final = {
    "data_source": "string",
    "prompt": [{"role": "string", "content": "string"}],
    "ability": "string",
    "reward_model": {"style": "string", "ground_truth": "string"},
    "extra_info": {
        "index": "int64",
        "question": "string",
        "answer": "string",
        "options": ["string"],
        **FACT_TYPES,
    },
}


def _entry(line: Line, turns: list[Turn], index: int) -> Json:
    answer = answer_of(line)
    extra = with_facts(
        line, index=index, question=line["question"], answer=answer, options=options_of(line)
    )
    return {
        "data_source": line["source"],
        "prompt": turns,
        "ability": line["task_type"] or ABILITY,
        "reward_model": {"style": RULE, "ground_truth": answer},
        "extra_info": extra,
    }


FORMAT: Final[ExportFormat] = question_format("verl", COLUMNS, _entry)
