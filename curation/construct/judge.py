"""Ask a judge whether two answers say the same, in both orders: only agreement decides."""

from __future__ import annotations

from curation.construct.prompts import judging_turns
from curation.construct.teacher import Question, Teacher
from curation.construct.verify import UNDECIDED, AskedQuestion, Verdict
from medsift import records
from medsift.replies.closed import read_yes_no
from medsift.replies.reasoning import without_reasoning
from medsift.replies.spans import fold


def judge_answer(judge: Teacher, about: str, asked: AskedQuestion, answer: str) -> Verdict:
    """Return right or wrong where the judge says so in both orders, else undecided.

    An answer without words is not put to the judge. `about` is the digest of the sample's content.
    Raises as `Teacher.ask` does.
    """
    if not answer.strip():
        return UNDECIDED
    said = set()
    for first, second in ((asked.gold, answer), (answer, asked.gold)):
        turns = judging_turns(asked.question, first, second)
        content = records.digest("judged", asked.question, first, second)
        reply = judge.ask(Question(about, content, turns, 0))
        said.add(read_yes_no(fold(without_reasoning(reply.text or ""))).answer)
    if said == {"yes"}:
        return Verdict("right", "judge")
    return Verdict("wrong", "judge") if said == {"no"} else UNDECIDED
