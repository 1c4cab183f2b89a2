"""Ask an endpoint again after a failure that may pass, later each time."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from itertools import count
from random import Random
from threading import Event
from typing import Any, Final, TypeVar

from medsift.endpoint.http_client import Poster, Problem
from medsift.endpoint.settings import EndpointConfig
from medsift.errors import ModelError

LONGEST_BACKOFF_S: Final = 60.0
# An endpoint that asks to wait longer ends the work, which continues where it stopped.
LONGEST_WAIT_S: Final = 600.0
Result = TypeVar("Result")
logger = logging.getLogger(__name__)


def ask_again(
    attempt: Callable[[], Result | Problem],
    config: EndpointConfig,
    poster: Poster,
    *,
    seed: str,
    stop: Event,
) -> Result | Problem:
    """Return a result, or the problem where another attempt cannot help or there were enough.

    Args:
        attempt: posts once, and returns its result or a problem.
        config: how often and how soon to ask again.
        poster: names the endpoint, and hides its key from messages.
        seed: of the pauses, which differ between requests and repeat between runs.
        stop: ends a pause, and with it the request.

    Raises:
        ModelError: the endpoint cannot be reached at all, or asks to wait longer than
            `LONGEST_WAIT_S`; or as the attempt does.
    """
    random = Random(seed)
    for number in count():
        result = attempt()
        if not isinstance(result, Problem):
            return result
        problem = replace(result, words=poster.key.hide(result.words))
        last = number == config.retries or not problem.again
        if last or stop.wait(pause(problem, number, random, config)):
            break
        logger.info("%s: %s; asked again", config.model, problem.words)
    if not problem.reached:
        raise ModelError(
            f"{config.url} cannot be reached: {problem.words}; start the endpoint or "
            "correct `url`, then run the same command again",
            code="endpoint_failed",
            url=config.url,
            reached=False,
        )
    return problem


def pause(problem: Problem, number: int, random: Random, config: EndpointConfig) -> float:
    """Return the seconds before the next attempt. Raises ModelError where they are too many."""
    if problem.wait_s > LONGEST_WAIT_S:
        raise ModelError(
            f"{config.url} answers {problem.words} and asks to wait "
            f"{problem.wait_s:,.0f} s; run the same command again then",
            code="endpoint_failed",
            url=config.url,
            wait_s=problem.wait_s,
        )
    backoff = min(config.backoff_s * 2.0 ** min(number, 60), LONGEST_BACKOFF_S)
    # Jitter keeps requests that failed together from coming back together.
    return max(problem.wait_s, backoff * random.uniform(0.5, 1.0))


def body_without_nulls(sent: dict[str, Any], config: EndpointConfig) -> dict[str, Any]:
    """Return a request's fields with those of the settings; null leaves a field out."""
    return {name: value for name, value in (sent | config.body).items() if value is not None}
