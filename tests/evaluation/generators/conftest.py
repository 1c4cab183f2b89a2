"""Requests, one thread for models this small, and an endpoint that answers by a script."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Sequence
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import MappingProxyType
from typing import Any

import pytest
from PIL import Image

from evaluation.generators import Request


def asked(
    question: str,
    pictures: Sequence[Image.Image] = (),
    *,
    candidates: tuple[str, ...] = (),
    before: Sequence[tuple[str, str]] = (),
) -> Request:
    """A request of a question, and of turns before it."""
    turns = (*before, ("user", question))
    return Request("b", question, "original", turns, tuple(pictures), candidates)


class Served:
    """A chat completions endpoint on loopback that answers each question by a script.

    `scripts` maps a question to its answers in order, of which the last stays: a text, a function
    of the handler, or a dictionary of `status`, `headers`, `body`, `usage` and `logprobs`.
    Questions without a script are repeated.
    """

    def __init__(self) -> None:
        self.scripts: dict[str, list[Any]] = {}
        self.requests: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.connections = self.at_once = self.most_at_once = 0
        self.closing = threading.Event()
        self.lock = threading.Lock()
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Handler, self))
        self.server.daemon_threads = True
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.02,))
        self.thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_address[1]}/v1"

    def asked(self, question: str) -> int:
        """How often a question came."""
        return sum(_question(body) == question for body in self.requests)

    def close(self) -> None:
        self.closing.set()
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def __init__(self, served: Served, *args: Any) -> None:
        self.served = served
        super().__init__(*args)

    def setup(self) -> None:
        super().setup()
        with self.served.lock:
            self.served.connections += 1

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        served, question = self.served, _question(body)
        with served.lock:
            served.requests.append(body)
            served.headers.append(dict(self.headers))
            served.at_once += 1
            served.most_at_once = max(served.most_at_once, served.at_once)
            script = served.scripts.get(question, [question])
            answer = script.pop(0) if len(script) > 1 else script[0]
        try:
            answer(self) if callable(answer) else self.answer(answer)
        finally:
            with served.lock:
                served.at_once -= 1

    def answer(self, script: Any) -> None:
        script = {"text": script} if isinstance(script, str) else script
        choice = {"message": {"role": "assistant", "content": script.get("text")}}
        choice["logprobs"] = script.get("logprobs")
        body = {"choices": [choice], "usage": script.get("usage")}
        self.send(script.get("status", 200), script.get("body", body), script.get("headers", {}))

    def send(self, status: int, body: Any, headers: dict[str, str] = MappingProxyType({})) -> None:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        for name, value in {"Content-Length": str(len(content)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *args: Any) -> None:
        pass


def _question(body: dict[str, Any]) -> str:
    content = body["messages"][-1]["content"]
    if isinstance(content, str):
        return content
    return " ".join(part["text"] for part in content if part["type"] == "text")


@pytest.fixture
def served() -> Iterator[Served]:
    """An endpoint that answers by a script."""
    endpoint = Served()
    yield endpoint
    endpoint.close()
