"""`negated_premise`: a closed question turned into its opposite, and its gold with it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import ClassVar, Final

from evaluation.perturb.image_swaps import Donors
from evaluation.perturb.item import ItemRow, language_of
from evaluation.perturb.perturbation import Skip, Variant
from medsift.text import protected_tokens

OPPOSITE: Final[Mapping[str, Mapping[str, str]]] = {
    "en": {"yes": "no", "no": "yes"},
    "zh": {
        **dict.fromkeys(("是", "是的", "有", "存在", "包含", "包括"), "否"),
        **dict.fromkeys(("否", "不是", "没有", "无", "不存在", "不包含", "不包括"), "是"),
    },
}
"""The gold of the turned question by the gold as given."""
_NOUN: Final = r"(?:(?:an?|any) )?(?P<rest>\S.*?)[\s?.]*$"
_SHOWN: Final = r"(?P<what>(?:this|the) (?:image|picture|scan|x-?ray|patient))"
_VERB: Final = "(?P<verb>show|have|contain)"
RULES: Final[Mapping[str, tuple[tuple[str, str], ...]]] = {
    "en": (
        (rf"^is there {_NOUN}", r"Is it true that there is no \g<rest>?"),
        (rf"^are there {_NOUN}", r"Is it true that there are no \g<rest>?"),
        (
            rf"^does {_SHOWN} {_VERB} (?P<rest>\S.*?)[\s?.]*$",
            r"Is it true that \g<what> does not \g<verb> \g<rest>?",
        ),
        (
            r"^is this (?P<rest>an? \S.*?|the \S.*?)[\s?.]*$",
            r"Is it true that this is not \g<rest>?",
        ),
    ),
    "zh": (
        (
            "^(?P<head>[^是否，。]*)是否(?P<verb>存在|包含|包括)(?P<rest>[^？?，]+)[？?]?$",
            r"“\g<head>不\g<verb>\g<rest>”，这种说法是否正确？",
        ),
        (
            "^(?P<head>[^是否，。]*)是否有(?P<rest>[^？?，]+)[？?]?$",
            r"“\g<head>没有\g<rest>”，这种说法是否正确？",
        ),
        (
            "^(?P<head>[^是否有，。]*)(?P<verb>存在|包含|包括)(?P<rest>[^？?，]+)吗[？?]?$",
            r"“\g<head>不\g<verb>\g<rest>”，这种说法是否正确？",
        ),
        (
            "^(?P<head>[^是否有，。]*)有(?P<rest>[^？?，]+)吗[？?]?$",
            r"“\g<head>没有\g<rest>”，这种说法是否正确？",
        ),
    ),
}
"""Openings that can be negated without a doubt, and what becomes of them."""
UNSURE: Final = re.compile(
    r"\b(?:and|or|but|only|just|both|still|enough|much|many|more|less|fewer|all|every|each|either"
    r"|if|because|than|the same)\b|[&/,;]|(?<!\w)\d|和|及|与|或|都|只|仅",
    re.IGNORECASE,
)
"""Words with which the negated sentence would not be the opposite, or not plain."""


class NegatedPremise(Variant):
    """A yes/no question of a known form, asked the other way round with the other gold."""

    family: ClassVar[str] = "negated_premise"

    def change(self, item: ItemRow, seed: int, donors: Donors) -> ItemRow | Skip:
        """The item negated, question and gold."""
        language = language_of(item, RULES)
        if language is None or item["answer_type"] != "closed" or item["options"]:
            return Skip("no closed question in a known language")
        gold = OPPOSITE[language].get(item["gold"].strip().casefold())
        if gold is None:
            return Skip("its gold is neither yes nor no")
        question = " ".join(item["question"].split())
        unsure = UNSURE.search(question) or protected_tokens(question.replace("是否", ""))["not"]
        matches = ((re.match(form, question, re.I), turned) for form, turned in RULES[language])
        negated = next((found.expand(turned) for found, turned in matches if found), None)
        if unsure or negated is None:
            return Skip("no form that can be negated")
        # The new gold has the capitals of the one given.
        gold = gold.capitalize() if item["gold"].strip()[:1].isupper() else gold
        return {**item, "question": negated, "gold": gold}
