"""JSON posted to an endpoint that may be slow, busy, broken or gone; its key, never shown.

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
MOST_BYTES: Final = 1 << 26
"""An answer in words is smaller; one that is not is not read to its end."""
SHOWN: Final = 200
BUSY: Final = (408, 409, 425, 429)
REFUSED: Final = {
    401: "set ${key} to a key that it accepts, where the requests are sent",
    402: "pay for the account of ${key}, then run the same command again",
    403: "set ${key} to a key that may use the model, where the requests are sent",
    404: "check `url`, which mostly ends in /v1, and the name of the model",
}
"""What no other request would be spared, and the fix."""
SECONDS: Final = re.compile(r"\d{1,9}(?:\.\d{1,9})?")
SECRET: Final = re.compile(r"[!-~]+")


@dataclass(frozen=True, slots=True)
class Problem:
    """Why an attempt gave nothing; whether another may, `wait_s` later at the earliest.

    `reached` is false where there was no connection.
    """

    words: str
    again: bool = True
    wait_s: float = 0.0
    reached: bool = True


@dataclass(frozen=True, slots=True)
class Key:
    """The key of an endpoint, out of an environment variable; its repr shows the variable alone."""

    variable: str
    value: str | None = field(repr=False)

    @classmethod
    def of(cls, variable: str) -> Key:
        """The variable's value; None where it is unset or empty.

        Raises UsageError for a value that cannot be a key.
        """
        value = os.environ.get(variable, "").strip()
        if value and not SECRET.fullmatch(value):
            raise UsageError(
                f"${variable} holds blanks or letters that no key has; set it to the key alone",
                code="endpoint_key_invalid",
            )
        return cls(variable, value or None)

    def __call__(self, request: PreparedRequest) -> PreparedRequest:
        """Sign a request. Without a key too this is its `auth`, or ~/.netrc would be sent."""
        if self.value:
            request.headers["Authorization"] = f"Bearer {self.value}"
        return request

    def hide(self, text: str) -> str:
        """What an endpoint says, as one short line without the key."""
        line = " ".join(clean(text)[0].split())
        line = line.replace(self.value, "[key]") if self.value else line
        return line if len(line) <= SHOWN else f"{line[:SHOWN]}..."


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
                self.address,
                json=body,
                timeout=self.timeout_s,
                stream=True,
                allow_redirects=False,
            ) as response:
                content = self._read(response, until)
        except (requests.RequestException, HTTPError, OSError) as error:
            return self._fault(error)
        return content if isinstance(content, Problem) else self._told(response, content)

    @property
    def _session(self) -> Session:
        """The thread's own session: requests does not promise that one may be shared."""
        import requests

        if not hasattr(self._own, "session"):
            self._own.session = requests.Session()
            self._own.session.auth = self.key
        found: Session = self._own.session
        return found

    def _read(self, response: Response, until: float) -> bytes | Problem:
        """The whole body; a timeout of a socket alone would let it trickle in for ever."""
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

    def _told(self, response: Response, content: bytes) -> dict[str, Any] | Problem:
        """What an answer of any status says. Raises ModelError."""
        status, found = response.status_code, _object(content)
        if 200 <= status < 300:
            return Problem("the answer is not a JSON object") if found is None else found
        told = complaint(found or {})
        words = self.key.hide(f"HTTP {status} {response.reason}{told and f': {told}'}")
        if 300 <= status < 400:
            raise ModelError(
                f"{self.base} answers {words}; give the address it moved to as `url`",
                code="endpoint_failed",
                url=self.base,
                status=status,
            )
        if remedy := REFUSED.get(status):
            remedy = remedy.replace("{key}", self.key.variable)
            raise ModelError(
                f"{self.base} answers {words}; {remedy}",
                code="endpoint_failed",
                url=self.base,
                status=status,
            )
        again = status in BUSY or status >= 500
        return Problem(words, again, retry_after(response.headers.get("Retry-After")))

    def _late(self) -> Problem:
        return Problem(f"no whole answer within {self.timeout_s:g} s")

    def _fault(self, error: Exception) -> Problem:
        """What befell a connection. The error's own words may name a proxy with its password."""
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
    """What an endpoint's own words for an error are; nothing where it has none."""
    error = content.get("error", content)
    said = error.get("message") if isinstance(error, dict) else error
    return said if isinstance(said, str) else ""


def retry_after(header: str | None) -> float:
    """Seconds that a Retry-After header asks to wait: a number or a date; 0 for anything else."""
    said = (header or "").strip()
    if SECONDS.fullmatch(said):
        return float(said)
    try:
        then = parsedate_to_datetime(said)
    except ValueError:
        return 0.0
    then = then if then.tzinfo else then.replace(tzinfo=UTC)
    return max(0.0, (then - datetime.now(UTC)).total_seconds())


def _object(content: bytes) -> dict[str, Any] | None:
    """A JSON object, None for anything else."""
    try:
        found = json.loads(content)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None
