"""Write the format `trl_grpo`: prompts and pictures for TRL's `GRPOTrainer`.

It takes conversations of parts that no template was applied to; other columns reach its reward
functions.
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
from curation.exports.turns import Line, Turn, parts

COLUMNS: Final = {
    "prompt": [{"role": "string", "content": [{"type": "string", "text": "string"}]}],
    "answer": "string",
    "options": ["string"],
    **FACT_TYPES,
}


def _entry(line: Line, turns: list[Turn], index: int) -> Json:
    prompt = [{"role": turn["role"], "content": parts(turn["content"])} for turn in turns]
    return with_facts(line, prompt=prompt, answer=answer_of(line), options=options_of(line))


FORMAT: Final[ExportFormat] = question_format("trl_grpo", COLUMNS, _entry)
