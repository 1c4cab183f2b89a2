"""Ask a chat completions endpoint as OpenAI defined it: vLLM, SGLang, llama.cpp and others."""

from __future__ import annotations

import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from threading import Event
from typing import Any, Final, Literal

import pyarrow as pa

from evaluation.generators.generator import Generator, GeneratorConfig
from evaluation.generators.messages import read_reply
from medsift import records
from medsift.endpoint.http_client import Poster, Problem
from medsift.endpoint.messages import to_messages
from medsift.endpoint.retries import ask_again, body_without_nulls
from medsift.endpoint.settings import EndpointConfig
from medsift.errors import MedSiftError
from medsift.execution import Resources
from medsift.models.generation.request import GenerationConfig, Reply, Request

ENDPOINT_VERSION: Final = 1
"""Raised when equal requests are put to the endpoint otherwise."""
TOP_TOKENS: Final = 20
"""First tokens whose likelihood is asked for: the most that is commonly allowed."""
NOT_SENT: Final = {"label", "key_variable", "parallel", "timeout_s", "retries", "backoff_s"}


class EndpointGenerator(EndpointConfig, GeneratorConfig):
    """Settings of a model behind an OpenAI-compatible endpoint.

    Its key is read where the requests are sent, and is no part of a recipe, a log, an error, a
    fingerprint or a file.
    """

    kind: Literal["endpoint"] = "endpoint"
    """A model behind an endpoint."""
    generation: GenerationConfig = GenerationConfig()
    """How replies are generated."""
    logprobs: bool = False
    """Whether to ask for probabilities of first tokens: of letters, or of yes and no."""

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

        Raises UsageError for what cannot be a key, or where a recipe alone would send it, and for
        an address of the machine's own services.
        """
        return Endpoint(self, self.poster())


class Endpoint:
    """Asks an endpoint, several requests at a time; a reply depends on its request alone."""

    def __init__(self, config: EndpointGenerator, poster: Poster) -> None:
        self.config, self.poster = config, poster
        self._threads = ThreadPoolExecutor(config.parallel, thread_name_prefix="endpoint")

    def generate(self, requests: Sequence[Request]) -> list[Reply]:
        """Return one reply a request, in order; without text where every attempt failed.

        Raises ModelError where the endpoint refuses key, account, address or model, cannot be
        reached at all, or asks to wait too long.
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

        def attempt() -> Reply | Problem:
            answer = self.poster.post(body)
            return answer if isinstance(answer, Problem) else read_reply(answer, request.candidates)

        seed = records.digest(request.benchmark, request.item_id, request.variant)
        result = ask_again(attempt, self.config, self.poster, seed=seed, stop=stop)
        return Reply(None, error=result.words) if isinstance(result, Problem) else result

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
            sent["seed"] = how.seed + request.draw
        if config.logprobs and request.candidates:
            sent |= {"logprobs": True, "top_logprobs": TOP_TOKENS}
        return body_without_nulls(sent, config)
