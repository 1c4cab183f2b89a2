"""Turn requests into the messages of chat completions, and answers into replies."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final, Literal

from evaluation.generators.generator import Reply
from evaluation.generators.http_client import Problem, complaint
from evaluation.generators.image_text import scaled
from medsift.errors import UsageError
from medsift.models.chat_format import Turn
from medsift.text import SURROGATE
from medsift.vocabulary import IMAGE_MARK

if TYPE_CHECKING:
    from PIL.Image import Image

ImageFormat = Literal["png", "jpeg"]
JPEG_QUALITY: Final = 95
MOST_TOKENS: Final = 1 << 62


def to_messages(
    turns: Sequence[Turn],
    pictures: Sequence[Image],
    image_format: ImageFormat,
    max_pixels: int | None = None,
) -> list[dict[str, Any]]:
    """Return the turns as messages, with the next picture as a data URL at each mark.

    Args:
        turns: role and words of each turn, with a mark where a picture belongs.
        pictures: the pictures (mode L or RGB), in the order of the marks.
        image_format: how pictures are encoded.
        max_pixels: pixels to which larger pictures are scaled down.

    Raises:
        UsageError: there are not as many marks as pictures.
    """
    marks = sum(content.count(IMAGE_MARK) for _, content in turns)
    if marks != len(pictures):
        raise UsageError(
            f"a request has {marks} marks for {len(pictures)} pictures; put one {IMAGE_MARK} for"
            " each picture into its turns",
            code="samples_inconsistent",
            marks=marks,
            pictures=len(pictures),
        )
    urls = (data_url(picture, image_format, max_pixels) for picture in pictures)
    return [{"role": role, "content": _content(content, urls)} for role, content in turns]


def data_url(picture: Image, image_format: ImageFormat, max_pixels: int | None = None) -> str:
    """Return a picture (mode L or RGB) as a data URL, of at most `max_pixels` pixels."""
    buffer = io.BytesIO()
    how = {"quality": JPEG_QUALITY} if image_format == "jpeg" else {}
    scaled(picture, max_pixels).save(buffer, image_format, **how)
    return f"data:image/{image_format};base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"


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


def _content(words: str, urls: Iterator[str]) -> str | list[dict[str, Any]]:
    """Return a turn's content: words alone, or words and pictures in order."""
    if IMAGE_MARK not in words:
        return words
    parts: list[dict[str, Any]] = []
    for number, text in enumerate(words.split(IMAGE_MARK)):
        if number:
            parts.append({"type": "image_url", "image_url": {"url": next(urls)}})
        if text.strip():
            parts.append({"type": "text", "text": text.strip()})
    return parts


def _first_tokens(logprobs: Any) -> list[tuple[str, float]]:
    """Return (token, log-probability) of possible first tokens; none where none are reported."""
    try:
        top = logprobs["content"][0]["top_logprobs"]
        pairs = [(entry["token"], float(entry["logprob"])) for entry in top]
    except (KeyError, IndexError, TypeError, ValueError):
        return []
    return [(token, value) for token, value in pairs if isinstance(token, str) and value == value]
