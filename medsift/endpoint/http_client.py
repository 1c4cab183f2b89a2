"""Post JSON to an endpoint that may be slow, busy, broken or gone, and never show its key.

One attempt gives a JSON object or a `Problem`; who asks decides whether to try again.
"""

from __future__ import annotations

import json
import os
import re
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from threading import local
from typing import TYPE_CHECKING, Any, Final

from medsift.errors import ModelError, UsageError
from medsift.text import clean

if TYPE_CHECKING:
    from requests import PreparedRequest, Response, Session

BLOCK: Final = 1 << 16
# An answer in words is smaller; a larger one is not read to its end.
MOST_BYTES: Final = 1 << 26
# Characters of an endpoint's own words that a message quotes.
QUOTED_CHARACTERS: Final = 200
BUSY: Final = (408, 409, 425, 429)
REFUSED: Final = {
    401: "set ${key} to a key that it accepts, where the requests are sent",
    402: "pay for the account of ${key}, then run the same command again",
    403: "set ${key} to a key that may use the model, where the requests are sent",
    404: "check `url`, which mostly ends in /v1, and the name of the model",
}
"""Statuses that every other request would get too, and the fix."""
SECONDS: Final = re.compile(r"\d{1,9}(?:\.\d{1,9})?")
SECRET: Final = re.compile(r"[!-~]+")


@dataclass(frozen=True, slots=True)
class Problem:
    """Why an attempt gave nothing; whether another may, `wait_s` later at the earliest.

    `reached` is false where there was no connection, `status` None where there was no answer.
    """

    words: str
    again: bool = True
    wait_s: float = 0.0
    reached: bool = True
    status: int | None = None


@dataclass(frozen=True, slots=True)
class Key:
    """The key of an endpoint, out of an environment variable; its repr shows the variable alone."""

    variable: str
    value: str | None = field(repr=False)

    @classmethod
    def of(cls, variable: str) -> Key:
        """Read the variable's value; None where it is unset or empty.

        Raises UsageError for a value that cannot be a key.
        """
        value = os.environ.get(variable, "").strip()
        if value and not SECRET.fullmatch(value):
            raise UsageError(
                f"${variable} has blanks or letters that no key has; set it to the key alone",
                code="endpoint_key_invalid",
                variable=variable,
            )
        return cls(variable, value or None)

    def __call__(self, request: PreparedRequest) -> PreparedRequest:
        """Sign a request. Without a key too this is its `auth`, or ~/.netrc would be sent."""
        if self.value:
            request.headers["Authorization"] = f"Bearer {self.value}"
        return request

    def hide(self, text: str) -> str:
        """Return what an endpoint says, as one short line without the key."""
        words = " ".join(clean(text)[0].split())
        words = words.replace(self.value, "[key]") if self.value else words
        return words if len(words) <= QUOTED_CHARACTERS else f"{words[:QUOTED_CHARACTERS]}..."


class Poster:
    """Posts JSON to the `page` of a base address, from any number of threads at once."""

    def __init__(self, base: str, page: str, key: Key, timeout_s: float) -> None:
        self.base, self.key, self.timeout_s = base, key, timeout_s
        self.address = f"{base.rstrip('/')}/{page}"
        self._own = local()

    def post(self, body: Any) -> dict[str, Any] | Problem:
        """Make one attempt: `timeout_s` seconds until an answer, which may then take as long again.

        Raises ModelError where any other request would fare no better: key, account, address or
        model are refused.
        """
        import requests
        from urllib3.exceptions import HTTPError

        until = time.monotonic() + self.timeout_s
        try:
            # A redirect is not followed: pictures go to no other place than the one named.
            with self._session.post(
                self.address, json=body, timeout=self.timeout_s, stream=True, allow_redirects=False
            ) as response:
                content = self._read(response, until)
        except (requests.RequestException, HTTPError, OSError) as error:
            return self._connection_problem(error)
        return content if isinstance(content, Problem) else self._result(response, content)

    @property
    def _session(self) -> Session:
        """Return the thread's own session: requests does not promise that one may be shared."""
        import requests

        if not hasattr(self._own, "session"):
            self._own.session = requests.Session()
            self._own.session.auth = self.key
        session: Session = self._own.session
        return session

    def _read(self, response: Response, until: float) -> bytes | Problem:
        """Return the whole body; a socket's timeout alone would let it trickle in for ever."""
        parts: list[bytes] = []
        left = MOST_BYTES
        while part := response.raw.read1(BLOCK, decode_content=True):
            parts.append(part)
            left -= len(part)
            if time.monotonic() > until:
                return self._late()
            if left < 0:
                return Problem(f"more than {MOST_BYTES:,} bytes in answer", again=False)
        return b"".join(parts)

    def _result(self, response: Response, content: bytes) -> dict[str, Any] | Problem:
        """Return the object of an answer, or the problem its status names. Raises ModelError."""
        status = response.status_code
        try:
            answer = json.loads(content)
        except (ValueError, RecursionError):
            answer = None
        if 200 <= status < 300:
            ok = isinstance(answer, dict)
            return answer if ok else Problem("the answer is not a JSON object")
        why = complaint(answer if isinstance(answer, dict) else {})
        words = self.key.hide(f"HTTP {status} {response.reason}{why and f': {why}'}")
        remedy = REFUSED.get(status, "").replace("{key}", self.key.variable)
        if 300 <= status < 400:
            remedy = "give the address it moved to as `url`"
        if remedy:
            raise ModelError(
                f"{self.base} answers {words}; {remedy}",
                code="endpoint_failed",
                url=self.base,
                status=status,
            )
        again = status in BUSY or status >= 500
        wait = retry_after(response.headers.get("Retry-After"))
        return Problem(words, again, wait, status=status)

    def _late(self) -> Problem:
        return Problem(f"no whole answer within {self.timeout_s:g} s")

    def _connection_problem(self, error: Exception) -> Problem:
        """Say what failed in our own words: the error's may name a proxy with its password."""
        import requests
        from urllib3.exceptions import NewConnectionError, ReadTimeoutError

        if isinstance(error, requests.ReadTimeout | ReadTimeoutError):
            return self._late()
        cause = getattr(error.args[0] if error.args else None, "reason", None)
        never = (requests.ConnectTimeout, requests.exceptions.ProxyError)
        if isinstance(error, never) or isinstance(cause, NewConnectionError):
            return Problem("no connection", reached=False)
        if isinstance(error, requests.exceptions.SSLError):
            return Problem("its certificate is not accepted", reached=False)
        return Problem("the connection broke off")


def complaint(content: dict[str, Any]) -> str:
    """Return an endpoint's own words for an error; nothing where it has none."""
    error = content.get("error", content)
    words = error.get("message") if isinstance(error, dict) else error
    return words if isinstance(words, str) else ""


def retry_after(header: str | None) -> float:
    """Return the seconds that a Retry-After header asks to wait; 0 for neither number nor date."""
    text = (header or "").strip()
    if SECONDS.fullmatch(text):
        return float(text)
    try:
        then = parsedate_to_datetime(text)
    except ValueError:
        return 0.0
    then = then if then.tzinfo else then.replace(tzinfo=UTC)
    return max(0.0, (then - datetime.now(UTC)).total_seconds())
