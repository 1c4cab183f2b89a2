"""Define the settings of a model behind a chat completions endpoint."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import urlsplit

from pydantic import Field, JsonValue, field_validator

from medsift.config import Config
from medsift.endpoint.http_client import Key, Poster
from medsift.endpoint.key_permission import check_permitted, never_sent
from medsift.endpoint.messages import ImageFormat
from medsift.errors import RecipeError, UsageError
from medsift.storage.addresses import leads_to_host_services

PAGE: Final = "chat/completions"
ADDRESS: Final = re.compile(r"https?://[^\s/?#@]+(?:/[^\s?#@]*)?", re.IGNORECASE)
VARIABLE: Final = re.compile(r"[A-Z_][A-Z0-9_]*")
OURS: Final = ("model", "messages", "stream", "n")


class EndpointConfig(Config):
    """Settings of a model behind an OpenAI-compatible endpoint.

    Its key is read where the requests are sent, and is no part of a recipe, a log, an error, a
    fingerprint or a file.
    """

    url: str
    """Base address, mostly ending in /v1; `chat/completions` is added to it."""
    model: str = Field(min_length=1)
    """Name of the model at the endpoint."""
    key_variable: str = "OPENAI_API_KEY"
    """Environment variable that has the key; no key is sent where it is unset.

    It has to be bound to the address outside of the recipe; see `key_permission`.
    """
    body: dict[str, JsonValue] = Field(default_factory=dict)
    """Further fields of a request, such as `top_p`; null leaves out one that is always sent."""
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

    def poster(self) -> Poster:
        """Read the key and return what posts to the endpoint; nothing is asked yet.

        Raises UsageError for what cannot be a key, or where a recipe alone would send it, and for
        an address of the machine's own services.
        """
        host = urlsplit(self.url).hostname or ""
        if leads_to_host_services(host):
            raise UsageError(
                f"the endpoint's url names {host}, an address of the machine's own services; name "
                "the server of the model",
                code="endpoint_url_invalid",
                host=host,
            )
        check_permitted(self.key_variable, self.url)
        return Poster(self.url, PAGE, Key.of(self.key_variable), self.timeout_s)
