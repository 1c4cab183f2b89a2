"""`medevalkit`: the rules of MedEvalKit (commit 9b12e3b, 2026-02) without its language-model judge.

Reproduced with their faults: VQA_RAD, PathVQA and SLAKE scoring, multiple choice, exact match,
BLEU-1, token shares. Not reproduced: BLEU-2 to 4, its ROUGE, the judge its published tables use
for open answers, and their totals.
"""

from __future__ import annotations

import re
from difflib import SequenceMatcher
from typing import Final

from evaluation.scoring.scored import AnswerKey, Scored, explain, stands_apart, verdict
from medsift.replies.choice import LETTERS
from medsift.replies.text_overlap import bleu_1

ANSWER_PHRASES: Final = (
    *("**answer**:", "**answer**", "*answer*:", "**answer:**", "answer is", "answer:"),
    *("答案:", "final answer", "final answer is"),
)
BOX: Final = "\\boxed{"
TAGGED: Final = re.compile("<answer>(.*?)</answer>", re.DOTALL)


def score(item: AnswerKey, reply: str) -> Scored:
    """Score one reply as the kit does; an empty reply, which stops it, is wrong here."""
    if item.answer_type == "choice":
        return _score_choice(item, reply.lower())
    text = _boxed(reply) or (_between_tags(reply) if "<answer>" in reply else reply)
    gold = item.gold
    # The kit believes the answer types of SLAKE alone; elsewhere closed means a yes or no.
    closed = item.answer_type == "closed"
    if not item.benchmark.lower().startswith("slake"):
        text, gold = text.strip(), gold.lower().strip()
        closed = gold in ("yes", "no")
    text, lost = _parsed(text.lower())
    flat = text.replace("\n", "").replace(".", "")
    if not closed:
        scored, rule = _score_open(text, gold.lower(), lost), "words"
    elif gold in ("yes", "no"):
        rule = "yes and no as substrings"
        yes, no = "yes" in flat, "no" in flat
        said = ("no", "yes")[yes] if yes != no else None
        as_words = stands_apart("yes", flat) == yes and stands_apart("no", flat) == no
        scored = verdict(said, said == gold, lost or (None if as_words else "substring"))
    else:
        rule = "whole string"
        right = flat == gold.lower()
        scored = verdict(flat.strip() or None, right, lost or (None if right else "whole_string"))
    return scored._replace(explanation=explain(rule, text, _where(reply)))


def _where(reply: str) -> str:
    """Return how the text is marked that the kit reads."""
    lower = reply.lower()
    if "boxed" in lower:
        return "box"
    if "<answer>" in lower:
        return "tag"
    return "marker" if any(phrase in lower for phrase in ANSWER_PHRASES) else "whole reply"


def _score_choice(item: AnswerKey, reply: str) -> Scored:
    options = [option.lower() for option in item.options]
    letters = list(LETTERS.lower()[: len(options)])
    parts = reply.split("\n\n")
    if parts[0] in letters:
        reply = parts[0]
    elif (last := parts[-1].split(".")[0]) in letters:
        reply = last
    text, fault = _parsed(reply)
    text, gold = text.strip().replace("\n", ""), item.gold.strip().lower()
    said = text.split(".")[0].split(":")[-1]
    if said in letters:
        right = gold in (said, options[letters.index(said)])
        return verdict(said.upper(), right, fault, explain("letter", text, _where(reply)))
    if said in options:
        right = said == gold or (gold in letters and options[letters.index(gold)] == said)
        letter = LETTERS[options.index(said)]
        return verdict(letter, right, fault, explain("text", text, _where(reply)))
    # Of equally similar options the kit takes the first, as `index` does.
    likeness = [SequenceMatcher(None, option, text).ratio() for option in options]
    closest = likeness.index(max(likeness))
    right = said == gold or gold in (letters[closest], options[closest])
    return verdict(None, right, "closest_option", explain("closest", text, _where(reply)))


def _score_open(text: str, gold: str, lost: str | None) -> Scored:
    """Score exact match, and the three token shares under the wrong names that the kit has."""
    exact = float(text == gold)
    said, asked = set(text.lower().split()), set(gold.split())
    if not said or not asked:
        return verdict(None, text == gold, "empty_reply")._replace(exact_match=exact)
    shared = len(said & asked)
    precision, recall = shared / len(said), shared / len(asked)
    f1 = 2 * shared / (len(said) + len(asked))
    fault = lost or (None if precision == recall else "swapped_columns")
    bleu = bleu_1(*(side.lower().replace(".", " .").split(" ") for side in (text, gold)))
    read = verdict(text.strip(), text == gold, fault)
    read = read._replace(token_precision=f1, token_recall=precision, token_f1=recall)
    return read._replace(exact_match=exact, bleu_1=bleu)


def _parsed(text: str) -> tuple[str, str | None]:
    """Return the kit's answer in a lower-case text, and the fault if the kit loses it."""
    lost = None
    if "boxed" in text:
        box = _boxed(text)
        text, lost = (box, None) if box is not None else ("None", "lost_box")
    elif "<answer>" in text:
        text = _between_tags(text)
    for phrase in ANSWER_PHRASES:
        text = text.split(phrase)[-1]
    return text, lost


def _boxed(text: str) -> str | None:
    """Return the content of the last box; None where there is none or it is not closed."""
    start, depth = text.rfind(BOX), 0
    if start < 0:
        return None
    start += len(BOX)
    for at in range(start, len(text)):
        depth += (text[at] == "{") - (text[at] == "}")
        if depth < 0:
            return text[start:at].strip()
    return None


def _between_tags(text: str) -> str:
    """Return the content of all closed answer tags; the text where that is nothing."""
    # Up to the last closing tag every opening one is closed, which keeps the search linear.
    closed = text[: text.rfind("</answer>") + len("</answer>")] if "</answer>" in text else ""
    return " ".join(TAGGED.findall(closed)).strip() or text
