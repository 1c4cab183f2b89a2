"""Write the format `easyr1`: problem, answer and pictures, as EasyR1's data sets have them.

Its settings name the columns: `prompt_key: problem`, `answer_key: answer`, `image_key: images`.
"""

from __future__ import annotations

from typing import Final

from curation.exports.export_format import ExportFormat, Json
from curation.exports.questions import FACT_TYPES, answer_of, question_format, with_facts
from curation.exports.turns import Line, Turn

COLUMNS: Final = {"problem": "string", "answer": "string", **FACT_TYPES}


def _entry(line: Line, turns: list[Turn], index: int) -> Json:
    # A problem is one user turn, so that a system turn starts it.
    problem = "\n\n".join(turn["content"] for turn in turns)
    return with_facts(line, problem=problem, answer=answer_of(line))


FORMAT: Final[ExportFormat] = question_format("easyr1", COLUMNS, _entry)
