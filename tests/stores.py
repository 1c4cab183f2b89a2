"""A bucket of the tests' own S3 server, and a proxy in front of it that misbehaves."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from uuid import uuid4

import obstore
from obstore.store import S3Store


def new_bucket(server: str) -> str:
    """Make a bucket on the server HOST:PORT; return its name."""
    name = f"medsift-{uuid4().hex[:12]}"
    asked = http.client.HTTPConnection(server)
    asked.request("PUT", f"/{name}")
    assert asked.getresponse().status == 200
    asked.close()
    return name


def keys_in(server: str, bucket: str) -> list[str]:
    """Every key of a bucket, as the server lists them."""
    client = S3Store(
        bucket,
        endpoint=f"http://{server}",
        region="us-east-1",
        client_options={"allow_http": True},
    )
    return sorted(item["path"] for page in obstore.list(client) for item in page)


Answer = Callable[[str, str, int], int | None]
"""Method, path and number of a request → a status to answer with instead of the server; None for
the server's own answer; -1 for the server's work done and its answer lost."""


@contextmanager
def proxy(server: str, answer: Answer) -> Iterator[str]:
    """HOST:PORT of a proxy in front of the server that answers some requests itself."""
    count, guard = [0], threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_any(self) -> None:
            with guard:
                count[0] += 1
                number = count[0]
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            status = answer(self.command, self.path, number)
            if status is None or status == -1:
                onward = http.client.HTTPConnection(server)
                onward.request(self.command, self.path, body, dict(self.headers))
                reply = onward.getresponse()
                data = reply.read()
                if status is None:
                    self.send_response(reply.status)
                    for name, value in reply.getheaders():
                        if name.lower() not in ("content-length", "connection", "date", "server"):
                            self.send_header(name, value)
                    size = reply.getheader("Content-Length") if self.command == "HEAD" else None
                    self.send_header("Content-Length", size or str(len(data)))
                    self.end_headers()
                    self.wfile.write(data)
                    return
                status = 503
            code = {403: "AccessDenied", 503: "SlowDown"}.get(status, "InternalError")
            data = f"<Error><Code>{code}</Code></Error>".encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(data)

        do_GET = do_PUT = do_HEAD = do_POST = do_DELETE = handle_any

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    front = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=front.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"127.0.0.1:{front.server_address[1]}"
    finally:
        front.shutdown()
        front.server_close()
