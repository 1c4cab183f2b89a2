"""Score how much an answer's likelihood gains by the question about a picture."""

from __future__ import annotations

from typing import ClassVar, Literal

from curation.scoring.answer_views import GainConfig, View


class QuestionGainConfig(GainConfig):
    """Settings of `question_gain`: log p(A | I, Q) − log p(A | I), mean nats a token.

    Q is every word before the answer, system prompt and earlier turns included; log p(A | I) is of
    the answer to one turn that shows the pictures and says nothing. Near 0 the answer follows from
    the picture or from habit, whatever was asked; below 0 question and answer do not fit together.

    The idea is CVS's (Sun et al. 2026, arXiv 2603.09715): in a good sample the question changes
    what a frozen model makes of the answer. CVS compares the probability of a verdict, "yes, this
    answer is valid", with and without the question; here it is the answer's own probability,
    which needs no prompt for a verdict and shares its first term with `multimodal_gain`.

    Null without a picture: for text alone `ifd` compares the answer with and without its question.
    """

    removed: ClassVar[View] = "without_words"
    kind: Literal["question_gain"] = "question_gain"
