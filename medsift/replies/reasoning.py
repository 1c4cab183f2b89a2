"""Remove reasoning from a reply, in every common way that models mark it apart from the answer."""

from __future__ import annotations

import re
from typing import Final

_NAMES: Final = (
    r"(?:seed:)?think(?:ing)?|thoughts?|reason(?:ing|s)?|reflect(?:ion|ing)?|scratch_?pad|analysis"
    r"|(?:reasoning|thought|thinking)_process|chain_of_thought|rationale|cot|inner_?(?:monologue|thoughts?)|internal_?thoughts?|思考|推理"
)
# "<think>", "[/THINK]", "◁think▷", "<|begin_of_thought|>", "<|END_THINKING|>", "【思考】", and the
# two unused tokens by which Gemma's medical model marks thoughts.
TAG: Final = re.compile(
    rf"(?P<named>[<\[◁【《]\s{{0,3}}(?P<close>/|\|\s{{0,3}}/)?\s{{0,3}}\|?\s{{0,3}}(?P<edge>(?:begin|start|end)"
    rf"(?:_of)?_)?(?:{_NAMES})\s{{0,3}}\|?(?:\s[^<>\[\]]{{0,80}})?[>\]▷】》])"
    r"|(?P<gemma><unused94>(?:\s{0,3}thought(?![a-z]))?)|(?P<gemma_end><unused95>)",
    re.IGNORECASE,
)
CHANNEL: Final = re.compile(r"<\|channel\|>\s{0,3}([a-z]{1,20})[^<]{0,80}", re.IGNORECASE)
MESSAGE: Final = re.compile(r"<\|message\|>", re.IGNORECASE)
# The same two channels where a tokenizer has dropped the special tokens between them.
BARE_CHANNELS: Final = re.compile(r"\s{0,9}(?:analysis|commentary)\S", re.IGNORECASE)
BARE_FINAL: Final = "assistantfinal"
# Heads of two parts of a reply: thoughts first, then "## Final Response".
FINAL_HEAD: Final = re.compile(
    r"^[#*\s]{1,9}final\s(?:response|answer)[*:\s]{0,9}$", re.IGNORECASE | re.MULTILINE
)
THOUGHT_HEAD: Final = re.compile(r"\s{0,9}#{1,6}\s{0,3}think", re.IGNORECASE)
# What a chat template puts around a turn.
SPECIAL: Final = re.compile(
    r"<\|(?!begin_of_box|end_of_box)[a-z_]{1,40}\|>|</?s>|<(?:eos|bos|pad|end_of_turn)>",
    re.IGNORECASE,
)


def without_reasoning(reply: str) -> str:
    """Return the reply without its reasoning blocks.

    What precedes a closing tag that nothing opened is reasoning (the prompt opened it), and so is
    what follows an opening tag that nothing closes.
    """
    return split_reasoning(reply)[1]


def answer_after_reasoning(text: str) -> str:
    """Return what an answer of a training set says after the reasoning that it begins with.

    An answer that does not begin with reasoning, or is nothing else, is returned as it is.
    """
    if TAG.match(text.lstrip()) is None:
        return text
    return split_reasoning(text)[1].strip() or text


def split_reasoning(reply: str) -> tuple[str, str]:
    """Return the reasoning that a reply marks as such, and the rest; see `without_reasoning`."""
    text = _final_channel(reply)
    if text != reply:
        thoughts = SPECIAL.sub(" ", CHANNEL.sub(" ", reply[: reply.rfind(text)] if text else reply))
        return BARE_CHANNELS.sub("", thoughts).removesuffix(BARE_FINAL), _plain(text)[1]
    return _plain(text)


def _plain(text: str) -> tuple[str, str]:
    """Return reasoning and rest of a reply without channels."""
    thoughts = ""
    if any(mark in text for mark in "<[◁【《"):
        thoughts, text = _apart(text)
        text = SPECIAL.sub(" ", text)
    if THOUGHT_HEAD.match(text):
        heads = list(FINAL_HEAD.finditer(text))
        if heads:
            thoughts, text = text[: heads[-1].start()], text[heads[-1].end() :]
    return thoughts, text


def _apart(text: str) -> tuple[str, str]:
    """Return what is inside reasoning tags, and what is outside."""
    kept: list[str] = []
    thoughts: list[str] = []
    start, inside = 0, False
    for tag in TAG.finditer(text):
        closes = bool(tag["close"] or tag["gemma_end"] or (tag["edge"] or "").lower()[:3] == "end")
        part = text[start : tag.start()]
        # Tags do not nest: models that open a second one mean the same thoughts.
        if closes and not inside:
            thoughts += [*kept, part]
            kept = []
        elif inside:
            thoughts.append(part)
        else:
            kept.append(part)
        inside = not closes
        start = tag.end()
    (thoughts if inside else kept).append(text[start:])
    return " ".join(thoughts), " ".join(kept)


def _final_channel(reply: str) -> str:
    """Return the last message of channel `final`; nothing where there are only others."""
    if "<|channel|>" not in reply.lower():
        at = reply.lower().rfind(BARE_FINAL) if BARE_CHANNELS.match(reply) else -1
        return reply if at < 0 else reply[at + len(BARE_FINAL) :]
    finals = [tag for tag in CHANNEL.finditer(reply) if tag[1].lower() == "final"]
    if not finals:
        return ""
    begin = MESSAGE.match(reply, finals[-1].end()) or finals[-1]
    return reply[begin.end() :].split("<|", 1)[0]
