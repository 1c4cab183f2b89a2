"""A chat completions endpoint on loopback that answers each request by a rule, and counts them."""

from __future__ import annotations

import json
import re
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from medsift.records import digest

NUMBER = re.compile(r"case (\d+)")
THOUGHTS = (
    "The field is dark on one side and bright on the other, with a smooth border in between. "
    "No vessel crosses that border, and the shape keeps its size in every direction. "
    "Taken together, case {number} looks like what such pictures show in attempt {seed}."
)
DOUBTS = (
    "At first sight everything seems even, and both halves of the frame have an equal brightness. "
    "I would expect a clear edge if something were there, yet noise hides such edges easily. "
    "For case {number} I therefore settle on the quieter reading in attempt {seed}."
)

Rule = Callable[[dict[str, Any]], Any]
"""Returns a whole answer as a dictionary, its bytes, or (status, headers, body)."""


def text_of(body: dict[str, Any]) -> str:
    """All words of a request."""
    parts = []
    for message in body["messages"]:
        content = message["content"]
        listed = [{"type": "text", "text": content}] if isinstance(content, str) else content
        parts += [part["text"] for part in listed if part["type"] == "text"]
    return "\n".join(parts)


def pictures_in(body: dict[str, Any]) -> int:
    """How many pictures a request shows."""
    contents = (message["content"] for message in body["messages"])
    return sum(
        part["type"] == "image_url"
        for content in contents
        if not isinstance(content, str)
        for part in content
    )


def completion(text: str | None, reasoning: str | None = None, finish: str = "stop") -> Any:
    """An answer as servers write it."""
    message: dict[str, Any] = {"role": "assistant", "content": text}
    if reasoning is not None:
        message["reasoning_content"] = reasoning
    usage = {"prompt_tokens": 100, "completion_tokens": 60}
    return {"choices": [{"message": message, "finish_reason": finish}], "usage": usage}


def by_chance(body: dict[str, Any]) -> Any:
    """Right in half of the attempts, by the request's own seed, in three forms of reasoning.

    The right answer to case n is yes. Without the picture every fifth case is answered right.
    """
    number = int(NUMBER.search(text_of(body))[1])
    lot = int(digest("lot", str(number), str(body["seed"]))[:4], 16)
    right = lot % 2 == 0 if pictures_in(body) else number % 5 == 0
    said = "Yes" if right else "No"
    thoughts = (THOUGHTS if right else DOUBTS).format(number=number, seed=body["seed"])
    forms = (
        completion(said, thoughts),
        completion(f"<think>{thoughts}</think>\n{said}"),
        completion(f"{thoughts}\nAnswer: {said}"),
    )
    return forms[lot // 2 % 3]


class _QuietServer(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of connections that a killed client broke off."""
        if not isinstance(sys.exception(), OSError | json.JSONDecodeError):
            super().handle_error(request, client_address)


class TeacherServer:
    """Serves `rule`; `requests` are the bodies in the order in which they came."""

    def __init__(self, rule: Rule = by_chance, seconds: float = 0.0) -> None:
        self.rule, self.seconds = rule, seconds
        self.requests: list[dict[str, Any]] = []
        self.under_way = self.most_under_way = 0
        self.lock = threading.Lock()
        self.server = _QuietServer(("127.0.0.1", 0), partial(_Handler, self))
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.02,))
        self.thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_address[1]}/v1"

    @property
    def seeds(self) -> list[int]:
        """The seeds of the requests: one for each sample, prompt, model, sampling and attempt."""
        return [body["seed"] for body in self.requests]

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def __init__(self, teacher: TeacherServer, *args: Any) -> None:
        self.teacher = teacher
        super().__init__(*args)

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        teacher = self.teacher
        with teacher.lock:
            teacher.requests.append(body)
            teacher.under_way += 1
            teacher.most_under_way = max(teacher.most_under_way, teacher.under_way)
        try:
            time.sleep(teacher.seconds)
            answer = teacher.rule(body)
        finally:
            with teacher.lock:
                teacher.under_way -= 1
        status, headers, content = answer if isinstance(answer, tuple) else (200, {}, answer)
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        with suppress(OSError):  # who asked may have been killed
            self.answer(status, headers, data)

    def answer(self, status: int, headers: dict[str, str], data: bytes) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(data)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *args: Any) -> None:
        pass
