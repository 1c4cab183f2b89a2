"""Ask a chat completions endpoint as OpenAI defined it: vLLM, SGLang, llama.cpp and others."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from itertools import count
from random import Random
from threading import Event
from typing import Any, Final, Literal

import pyarrow as pa
from pydantic import Field, JsonValue, field_validator

from evaluation.generators.generator import (
    GenerationConfig,
    Generator,
    GeneratorConfig,
    Reply,
    Request,
)
from evaluation.generators.http_client import Key, Poster, Problem
from evaluation.generators.key_permission import check_permitted, never_sent
from evaluation.generators.messages import ImageFormat, read_reply, to_messages
from medsift import records
from medsift.errors import MedSiftError, ModelError, RecipeError
from medsift.execution import Resources

ENDPOINT_VERSION: Final = 1
"""Raised when equal requests are put to the endpoint otherwise."""
PAGE: Final = "chat/completions"
TOP_TOKENS: Final = 20
"""First tokens whose likelihood is asked for: the most that is commonly allowed."""
LONGEST_BACKOFF_S: Final = 60.0
# An endpoint that asks to wait longer ends the evaluation, which continues where it stopped.
LONGEST_WAIT_S: Final = 600.0
ADDRESS: Final = re.compile(r"https?://[^\s/?#@]+(?:/[^\s?#@]*)?", re.IGNORECASE)
VARIABLE: Final = re.compile(r"[A-Z_][A-Z0-9_]*")
OURS: Final = ("model", "messages", "stream", "n")
NOT_SENT: Final = {"label", "key_variable", "parallel", "timeout_s", "retries", "backoff_s"}
logger = logging.getLogger(__name__)


class EndpointGenerator(GeneratorConfig):
    """Settings of a model behind an OpenAI-compatible endpoint.

    Its key is read where the requests are sent, and is no part of a recipe, a log, an error, a
    fingerprint or a file.
    """

    kind: Literal["endpoint"] = "endpoint"
    """A model behind an endpoint."""
    url: str
    """Base address, mostly ending in /v1; `chat/completions` is added to it."""
    model: str = Field(min_length=1)
    """Name of the model at the endpoint."""
    key_variable: str = "OPENAI_API_KEY"
    """Environment variable that has the key; no key is sent where it is unset.

    It has to be bound to the address outside of the recipe; see `key_permission`.
    """
    generation: GenerationConfig = GenerationConfig()
    """How replies are generated."""
    body: dict[str, JsonValue] = Field(default_factory=dict)
    """Further fields of a request, such as `top_p`; null leaves out one that is always sent."""
    logprobs: bool = False
    """Whether to ask for probabilities of first tokens: of letters, or of yes and no."""
    max_pixels: int | None = Field(None, ge=1)
    """Pixels to which larger pictures are scaled down; by default the endpoint decides."""
    image_format: ImageFormat = "png"
    """Format in which pictures are sent; jpeg is smaller and changes pixels."""
    parallel: int = Field(8, ge=1, le=256)
    """Number of requests at once."""
    timeout_s: float = Field(120.0, gt=0.0, allow_inf_nan=False)
    """Seconds until an attempt is answered; the answer itself may take as long again."""
    retries: int = Field(5, ge=0)
    """Number of further attempts after one that failed in a way that may pass."""
    backoff_s: float = Field(1.0, ge=0.0, allow_inf_nan=False)
    """Seconds before the first retry; they double before each further one."""

    # A value that may hold a secret is refused without being shown, as pydantic would.
    @field_validator("url")
    @classmethod
    def _no_secrets(cls, url: str) -> str:
        if not ADDRESS.fullmatch(url):
            raise RecipeError(
                "the endpoint's url must be like http://host:8000/v1, without name, password, "
                "query or fragment; its key is read from the variable that key_variable names",
                code="endpoint_url_invalid",
            )
        return url

    @field_validator("key_variable")
    @classmethod
    def _no_key(cls, variable: str) -> str:
        if not VARIABLE.fullmatch(variable):
            raise RecipeError(
                "key_variable must name an environment variable, in capitals, digits and _; "
                "the key itself stays out of recipes",
                code="endpoint_key_invalid",
            )
        if never_sent(variable):
            raise RecipeError(
                f"key_variable names ${variable}, which opens the data or the cluster of a run and "
                "is never sent to an endpoint; name the variable of the endpoint's own key",
                code="endpoint_key_invalid",
                variable=variable,
            )
        return variable

    @field_validator("body")
    @classmethod
    def _not_ours(cls, body: dict[str, JsonValue]) -> dict[str, JsonValue]:
        for name in OURS:
            if name in body:
                raise ValueError(f"{name!r} cannot be set here; not allowed: {', '.join(OURS)}")
        return body

    @property
    def resources(self) -> Resources:
        """Return a CPU and no GPU, even where there are GPUs."""
        return Resources(lasting=True)

    def own_name(self) -> str:
        """Return the last part of the model's name."""
        return re.sub(r"[^\w.-]+", "-", self.model.rstrip("/").rpartition("/")[2]) or self.kind

    def fingerprint(self) -> str:
        """Return the identity of the replies: address, model and what is sent; nothing is asked."""
        sent = self.model_dump(mode="json", exclude=NOT_SENT)
        if not self.generation.temperature:
            del sent["generation"]["seed"]
        return records.fingerprint([ENDPOINT_VERSION, sent])

    def build(self, items: pa.Table) -> Generator:
        """Read the key and ask nothing yet.

        Raises UsageError for what cannot be a key, or where a recipe alone would send it.
        """
        check_permitted(self.key_variable, self.url)
        return Endpoint(self, Poster(self.url, PAGE, Key.of(self.key_variable), self.timeout_s))


class Endpoint:
    """Asks an endpoint, several requests at a time; a reply depends on its request alone."""

    def __init__(self, config: EndpointGenerator, poster: Poster) -> None:
        self.config, self.poster = config, poster
        self._threads = ThreadPoolExecutor(config.parallel, thread_name_prefix="endpoint")

    def generate(self, requests: Sequence[Request]) -> list[Reply]:
        """Return one reply a request, in order; without text where every attempt failed.

        Raises ModelError where the endpoint refuses key, account, address or model, cannot be
        reached at all, or asks to wait longer than `LONGEST_WAIT_S`.
        """
        stop = Event()
        try:
            return list(self._threads.map(partial(self._ask_unless_stopped, stop=stop), requests))
        finally:
            stop.set()

    def _ask_unless_stopped(self, request: Request, stop: Event) -> Reply:
        """Ask; what ends one request wakes the others from their pauses."""
        try:
            return self._ask(request, stop)
        except MedSiftError:
            stop.set()
            raise

    def _ask(self, request: Request, stop: Event) -> Reply:
        """Ask until there is a reply, another attempt cannot help, or there were enough."""
        body = self._body(request)
        # The request's own seed: pauses differ between requests and repeat between runs.
        random = Random(records.digest(request.benchmark, request.item_id, request.variant))
        for attempt in count():
            answer = self.poster.post(body)
            if not isinstance(answer, Problem):
                result = read_reply(answer, request.candidates)
                if isinstance(result, Reply):
                    return result
                answer = result
            problem = replace(answer, words=self.poster.key.hide(answer.words))
            last = attempt == self.config.retries or not problem.again
            if last or stop.wait(self._pause(problem, attempt, random)):
                break
            logger.info("%s: %s; asked again", self.config.name, problem.words)
        if not problem.reached:
            raise ModelError(
                f"{self.config.url} cannot be reached: {problem.words}; start the endpoint or "
                "correct `url`, then run the same command again",
                code="endpoint_failed",
                url=self.config.url,
                reached=False,
            )
        return Reply(None, error=problem.words)

    def _pause(self, problem: Problem, attempt: int, random: Random) -> float:
        """Return the seconds before the next attempt. Raises ModelError where they are too many."""
        if problem.wait_s > LONGEST_WAIT_S:
            raise ModelError(
                f"{self.config.url} answers {problem.words} and asks to wait "
                f"{problem.wait_s:,.0f} s; run the same command again then",
                code="endpoint_failed",
                url=self.config.url,
                wait_s=problem.wait_s,
            )
        backoff = min(self.config.backoff_s * 2.0 ** min(attempt, 60), LONGEST_BACKOFF_S)
        # Jitter keeps requests that failed together from coming back together.
        return max(problem.wait_s, backoff * random.uniform(0.5, 1.0))

    def _body(self, request: Request) -> dict[str, Any]:
        config, how = self.config, self.config.generation
        pictures, kind = request.pictures, config.image_format
        sent: dict[str, Any] = {
            "model": config.model,
            "messages": to_messages(request.turns, pictures, kind, config.max_pixels),
            "max_tokens": how.max_new_tokens,
            "temperature": how.temperature,
        }
        if how.temperature > 0:
            sent["seed"] = how.seed
        if config.logprobs and request.candidates:
            sent |= {"logprobs": True, "top_logprobs": TOP_TOKENS}
        return {name: value for name, value in (sent | config.body).items() if value is not None}
