"""Read the answers of chat completions as replies."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final

from medsift.endpoint.http_client import Problem, complaint
from medsift.models.generation.request import Reply
from medsift.text import SURROGATE

MOST_TOKENS: Final = 1 << 62


def read_reply(content: dict[str, Any], candidates: Sequence[str]) -> Reply | Problem:
    """Return the reply in an endpoint's answer, or why there is none."""
    try:
        choice = content["choices"][0]
        text = choice["message"]["content"]
    except (KeyError, IndexError, TypeError):
        words = complaint(content)
        return Problem(f"the answer has no choices{words and f': {words}'}")
    if not isinstance(text, str):
        return Problem("the answer's content is not text")
    usage = content.get("usage")
    tokens = usage.get("completion_tokens") if isinstance(usage, dict) else None
    if type(tokens) is not int or not 0 <= tokens < MOST_TOKENS:
        tokens = None
    return Reply(
        # A reply cut in the middle of a character may end with half of it, which no file can hold.
        SURROGATE.sub("\ufffd", text),
        candidate_probabilities(choice.get("logprobs"), candidates),
        tokens,
        cut={"length": True, "stop": False}.get(str(choice.get("finish_reason"))),
    )


def candidate_probabilities(logprobs: Any, candidates: Sequence[str]) -> tuple[float, ...] | None:
    """Return probabilities of the candidates from the likeliest first tokens, summing to 1.

    A token counts for the candidate that it spells, blanks around it and capitals aside ("yes"
    is "Yes"; the letter A is not the article "a"). None where no token spells one.
    """
    spelled = {
        form: number
        for number, candidate in enumerate(candidates)
        for form in (candidate, candidate.capitalize(), candidate.upper())
    }
    mass = [0.0] * len(candidates)
    for token, value in _first_tokens(logprobs):
        if token.strip() in spelled:
            # Some endpoints round a certain token to a logarithm above 0.
            mass[spelled[token.strip()]] += math.exp(min(value, 0.0))
    total = math.fsum(mass)
    return tuple(value / total for value in mass) if total > 0 else None


def _first_tokens(logprobs: Any) -> list[tuple[str, float]]:
    """Return (token, log-probability) of possible first tokens; none where none are reported."""
    try:
        top = logprobs["content"][0]["top_logprobs"]
        pairs = [(entry["token"], float(entry["logprob"])) for entry in top]
    except (KeyError, IndexError, TypeError, ValueError):
        return []
    return [(token, value) for token, value in pairs if isinstance(token, str) and value == value]
