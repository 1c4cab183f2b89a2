"""`paraphrase`: the question in other words, by fixed templates."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import ClassVar, Final

from evaluation.perturb.image_swaps import Donors
from evaluation.perturb.item import ItemRow, language_of
from evaluation.perturb.perturbation import Skip, Variant

FRAMES: Final[Mapping[str, tuple[str, ...]]] = {
    "en": (
        "Please answer the following question: {question}",
        "{question} Please give your answer.",
        "Here is a question for you to answer. {question}",
    ),
    "zh": (
        "请回答下面的问题：{question}",
        "{question}请作答。",
        "现有一个问题请你解答。{question}",
    ),
}
"""What may stand around any question without touching a word of it."""
REWORDED: Final = 4
OPENINGS: Final[Mapping[str, tuple[tuple[str, str], ...]]] = {
    "en": (
        (r"^(?:is|are) there\b", "Do you see"),
        (r"^do(?:es)? (?:this|the) (?:image|picture) (?:show|contain)\b", "Do you see"),
        (r"^can you see\b", "Do you see"),
        (r"^where (is|are)\b", r"In what location \1"),
        (r"^how many\b", "What number of"),
        (r"^what (?=(?:\w+ )?(?:modality|plane|organ|side|type|kind|color|lobe|view)\b)", "Which "),
    ),
    "zh": (
        ("是否存在", "是否有"),
        ("是否有", "是否存在"),
        ("什么(?=器官|部位|模态|平面|方式|颜色)", "哪种"),
    ),
}
"""Wordings that are exchanged for others of the same meaning; the first that fits is."""


class Paraphrase(Variant):
    """``paraphrase@1`` to ``@3`` put the question in a frame, ``@4`` rewords how it opens."""

    family: ClassVar[str] = "paraphrase"
    levels: ClassVar[tuple[int, ...]] = (1, 2, 3, REWORDED)

    def change(self, item: ItemRow, seed: int, donors: Donors) -> ItemRow | Skip:
        """The item with its question in other words."""
        language = language_of(item, FRAMES)
        if language is None:
            return Skip(f"no templates for language {item['language']!r}")
        if self.level != REWORDED:
            frame = FRAMES[language][self.level - 1]
            return {**item, "question": frame.format(question=item["question"].strip())}
        for pattern, other in OPENINGS[language]:
            question = item["question"].strip()
            reworded, count = re.subn(pattern, other, question, count=1, flags=re.IGNORECASE)
            if count:
                return {**item, "question": reworded}
        return Skip("no known opening")
