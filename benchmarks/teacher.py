"""Serve a teacher of phantoms as an OpenAI endpoint on loopback, which needs no model.

    python -m benchmarks.teacher data/phantoms-400-0 --port 8000 --wrong 0.3

It knows each picture by its pixels and each answer by its question, reasons about what the picture
shows, and errs in a stated share of its attempts, by the seed of the request. Without a picture it
guesses. So constructions can be rehearsed, killed and timed without a GPU or a provider.
"""

from __future__ import annotations

import argparse
import base64
import io
import json
import random
from collections import defaultdict
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, Self

from curation.phantoms.questions import MODALITY_NAMES
from medsift.images import ImagesConfig, decode
from medsift.records import digest

OPENINGS = (
    "I start with how the picture was made.",
    "First, the kind of picture.",
    "Let me look at the picture as a whole.",
)
PLAIN = (
    "{opening} Its grey levels are those of {modality}. The outlines belong to the {body_part}, "
    "and they lie as in a view that is {plane}. What was asked follows from that."
)
REFLECTIVE = (
    "{opening} At first it might be {doubt}. Would grey levels and outlines be like these then? "
    "No: they are those of {modality}, of the {body_part}, in a view that is {plane}. So I refine "
    "the first thought."
)


class PhantomTeacher:
    """Answers chat completions about the pictures of a set of phantoms; `calls` counts them."""

    def __init__(self, phantoms: Path, wrong: float = 0.3, port: int = 0) -> None:
        self.wrong = wrong
        self.facts: dict[str, dict[str, str]] = {}
        self.answers: dict[tuple[str, str], str] = {}
        self.of_question: dict[str, list[str]] = defaultdict(list)
        pictures: dict[str, str | None] = {}
        lines = (phantoms / "samples.jsonl").read_text(encoding="utf-8").splitlines()
        for row in map(json.loads, lines):
            name = row["image"] if isinstance(row["image"], str) else None
            if name is None or not row.get("question") or not row.get("answer"):
                continue
            if name not in pictures:
                pictures[name] = _pixels_of(phantoms / "images" / name)
            key = pictures[name]
            if key is not None:
                self.facts.setdefault(key, row)
                self.answers.setdefault((key, row["question"]), row["answer"])
                if row["answer"] not in self.of_question[row["question"]]:
                    self.of_question[row["question"]].append(row["answer"])
        self.calls = 0
        self.server = ThreadingHTTPServer(("127.0.0.1", port), partial(_Handler, self))
        self.thread = Thread(target=self.server.serve_forever, args=(0.05,), daemon=True)

    @property
    def url(self) -> str:
        """Address of the endpoint."""
        return f"http://127.0.0.1:{self.server.server_address[1]}/v1"

    def reply(self, body: dict[str, Any]) -> str:
        """Return what the teacher says to a request."""
        content = body["messages"][-1]["content"]
        parts = [{"type": "text", "text": content}] if isinstance(content, str) else content
        text = "\n".join(part["text"] for part in parts if part["type"] == "text").strip()
        question = text.partition("\n\n")[0].strip()
        lot = random.Random(digest(question, str(body.get("seed"))))
        offered = self.of_question.get(question) or ["unknown"]
        shown = [part for part in parts if part["type"] == "image_url"]
        if not shown:
            return f"I cannot see it, so I guess.\nAnswer: {lot.choice(offered)}"
        key = _pixels_of(io.BytesIO(base64.b64decode(shown[0]["image_url"]["url"].split(",")[1])))
        right = self.answers.get((key or "", question))
        if right is None or key is None:
            return "I have not seen this picture.\nAnswer: unknown"
        facts = self._stated(key)
        said = right
        others = [one for one in offered if one != right]
        if others and lot.random() < self.wrong:
            said = lot.choice(others)
            facts = {name: said if value == right else value for name, value in facts.items()}
        form = REFLECTIVE if "four steps" in text else PLAIN
        doubt = lot.choice(others) if others else "something else"
        reasoning = form.format(opening=lot.choice(OPENINGS), doubt=doubt, **facts)
        return f"<think>{reasoning}</think>\nAnswer: {said}"

    def _stated(self, key: str) -> dict[str, str]:
        row = self.facts[key]
        modality = MODALITY_NAMES.get(row["modality"], row["modality"])
        return {"modality": modality, "body_part": row["body_part"], "plane": row["plane"]}

    def __enter__(self) -> Self:
        self.thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.server.shutdown()
        self.server.server_close()


def _pixels_of(source: Path | io.BytesIO) -> str | None:
    """Return the digest of a picture's pixels in RGB; None for a planted file that has none."""
    from medsift.errors import MedSiftError

    if isinstance(source, Path) and not source.is_file():
        return None
    data = source.getvalue() if isinstance(source, io.BytesIO) else source.read_bytes()
    try:
        picture = decode(data, "picture", ImagesConfig()).image.convert("RGB")
    except MedSiftError:
        return None
    return digest(str(picture.size), picture.tobytes().hex())


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def __init__(self, teacher: PhantomTeacher, *args: Any) -> None:
        self.teacher = teacher
        super().__init__(*args)

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.teacher.calls += 1
        text = self.teacher.reply(body)
        usage = {"prompt_tokens": 100, "completion_tokens": len(text) // 4}
        message = {"role": "assistant", "content": text}
        answer = {"choices": [{"message": message, "finish_reason": "stop"}], "usage": usage}
        data = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *args: Any) -> None:
        """Say nothing of each request."""


def main() -> None:
    """Serve until interrupted."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("phantoms", type=Path)
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--wrong", type=float, default=0.3)
    given = parser.parse_args()
    with PhantomTeacher(given.phantoms, given.wrong, given.port) as teacher:
        print(f"{len(teacher.facts):,} pictures known; asked at {teacher.url}", flush=True)
        teacher.thread.join()


if __name__ == "__main__":
    main()
