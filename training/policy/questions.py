"""Make questions of samples: the prompt, as evaluation words it, and the answer it is scored by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from evaluation.prompts import PromptConfig, ask
from evaluation.scoring import AnswerKey
from medsift.errors import InputError
from medsift.models.chat_format import Turn
from medsift.options import split_options
from medsift.replies.choice import right_options
from training.dataset.chat_labels import Refused
from training.dataset.encode_dataset import Drop
from training.dataset.samples import Sample
from training.policy.policy_settings import PolicyConfig


@dataclass(frozen=True, slots=True)
class Question:
    """A sample as it is asked: `turns` end with the user's."""

    sample: Sample
    turns: tuple[Turn, ...]
    key: AnswerKey


def question_of(sample: Sample, config: PolicyConfig) -> Question | Refused:
    """Return the question of a sample, or why a policy cannot learn from it."""
    roles = [role for role, _ in sample.turns if role != "system"]
    if roles != ["user", "assistant"]:
        return Refused("several_turns", f"the turns are {', '.join(roles) or 'none'}")
    said = dict(sample.turns)
    answer_type = sample.tags["answer_type"] or "open"
    if answer_type not in config.answer_types:
        return Refused("not_verifiable", f"answers that are {answer_type} are not asked for")
    text, options = said["user"], list[str]()
    if answer_type == "choice":
        text, options = split_options(text)
    key = AnswerKey("", answer_type, said["assistant"], tuple(options))
    if answer_type == "choice":
        try:
            right_options(key.gold, key.options)
        except InputError as error:
            return Refused("not_verifiable", str(error))
    item = {
        "question": text,
        "options": options,
        "gold": key.gold,
        "answer_type": answer_type,
        "images": [picture.ref for picture in sample.pictures],
        "language": sample.tags["language"],
    }
    prompts = PromptConfig(system=said.get("system"))
    return Question(sample, ask(item, prompts, looks=True), key)


def askable(
    samples: Sequence[Sample], config: PolicyConfig
) -> tuple[tuple[Sample, ...], tuple[Drop, ...]]:
    """Return the samples that make a question, and the ledger of the others."""
    kept: list[Sample] = []
    dropped: list[Drop] = []
    for sample in samples:
        made = question_of(sample, config)
        if isinstance(made, Question):
            kept.append(sample)
        else:
            dropped.append(Drop(sample.sample_id, sample.row_id, made.reason, detail=made.detail))
    return tuple(kept), tuple(dropped)
