"""Ask a model behind an endpoint once for each distinct request, and keep what it says."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields
from threading import Event
from typing import TYPE_CHECKING, Any, Final

from curation.construct.reply_log import ABOUT, ReplyLog
from curation.construct.settings import JudgeConfig, TeacherConfig
from medsift import records
from medsift.endpoint.http_client import Problem, complaint
from medsift.endpoint.messages import to_messages
from medsift.endpoint.retries import ask_again, body_without_nulls
from medsift.endpoint.window import BUSY, AdaptiveWindow
from medsift.models.chat_format import Turn
from medsift.text import SURROGATE
from medsift.vocabulary import IMAGE_MARK

if TYPE_CHECKING:
    from PIL.Image import Image

TEACHER_VERSION: Final = 1
"""Raised when equal requests are put to the teacher otherwise."""
SEED_DIGITS: Final = 7
MOST_TOKENS: Final = 1 << 62
PAIR_SIDE: Final = 56
"""Side of the pictures that are asked about to learn whether two are taken, in pixels."""


@dataclass(frozen=True, slots=True)
class TeacherReply:
    """What an endpoint gave: text, or None and the reason.

    `reasoning` is what came in a field of its own; `finish_reason` is `length` where the reply was
    cut. `refused` marks a request that would be refused again, such as a prompt that is too long.
    """

    text: str | None
    reasoning: str | None = None
    finish_reason: str | None = None
    prompt_tokens: int | None = None
    tokens: int | None = None
    latency_s: float | None = None
    error: str | None = None
    refused: bool = False


FIELDS: Final = tuple(field.name for field in fields(TeacherReply))


@dataclass(frozen=True, slots=True)
class Question:
    """One request: its turns, which sample and attempt it is of, and what loads its pictures.

    `about` is the digest of the sample's content, pictures included: by it, stored replies are
    removed with the sample. `content` is the digest of what the request shows.
    """

    about: str
    content: str
    turns: tuple[Turn, ...]
    attempt: int
    pictures: Callable[[], Sequence[Image]] = tuple


class Teacher:
    """Asks an endpoint, from any number of threads; a stored reply is not asked for again."""

    def __init__(
        self,
        config: TeacherConfig | JudgeConfig,
        log: ReplyLog,
        window: AdaptiveWindow,
        stop: Event,
    ) -> None:
        self.config, self.log, self.window, self.stop = config, log, window, stop
        self.poster = config.poster()
        self._sampling = sampling(config)

    def key(self, question: Question) -> str:
        """Return the digest under which the reply to a question is kept."""
        return records.fingerprint(
            [
                TEACHER_VERSION,
                question.content,
                prompt_hash(question.turns),
                self.config.model,
                self._sampling,
                question.attempt,
            ]
        )

    def ask(self, question: Question) -> TeacherReply:
        """Return the reply, stored before it is returned.

        A request that failed in a way that may pass is not stored, so that the next run asks again.
        Raises ModelError where no request can be served, StorageError where the disk refuses.
        """
        key = self.key(question)
        stored = self.log.get(key)
        if stored is not None:
            return TeacherReply(**{name: stored[name] for name in FIELDS if name in stored})
        body = self._body(question, key)
        result = ask_again(
            lambda: self._attempt(body), self.config, self.poster, seed=key, stop=self.stop
        )
        if isinstance(result, Problem):
            result = TeacherReply(None, error=result.words, refused=not result.again)
        if result.text is not None or result.refused:
            self.log.put(key, {ABOUT: question.about} | asdict(result))
        return result

    def _attempt(self, body: dict[str, Any]) -> TeacherReply | Problem:
        with self.window.place() as begun:
            if self.stop.is_set():
                return Problem("stopped")
            started = time.perf_counter()
            answer = self.poster.post(body)
            seconds = time.perf_counter() - started
        if not isinstance(answer, Problem):
            self.window.succeeded()
            return read_answer(answer, seconds)
        if answer.status in BUSY:
            self.window.refused(begun)
        return answer

    def _body(self, question: Question, key: str) -> dict[str, Any]:
        config = self.config
        pictures = question.pictures()
        sent = {
            "model": config.model,
            "messages": to_messages(
                question.turns, pictures, config.image_format, config.max_pixels
            ),
            "max_tokens": config.max_tokens,
            **self._sampling_fields(),
        }
        if sent["temperature"]:
            sent["seed"] = int(key[:SEED_DIGITS], 16)
        return body_without_nulls(sent, config)

    def _sampling_fields(self) -> dict[str, float]:
        if isinstance(self.config, TeacherConfig):
            return {"temperature": self.config.temperature, "top_p": self.config.top_p}
        return {"temperature": 0.0}


def refusal_of_pairs(teacher: Teacher) -> TeacherReply | None:
    """Ask about two small pictures; return the refusal of an endpoint that takes one alone.

    So a limit is known before any large picture is sent. Raises as `Teacher.ask` does.
    """
    from PIL import Image

    def pair() -> tuple[Image.Image, ...]:
        return tuple(Image.new("L", (PAIR_SIDE, PAIR_SIDE), grey) for grey in (64, 192))

    turns = (("user", f"{IMAGE_MARK}{IMAGE_MARK}Which of the two pictures is brighter?"),)
    nobody = records.digest("pair")
    reply = teacher.ask(Question(nobody, nobody, turns, 0, pair))
    return reply if reply.refused else None


def sampling(config: TeacherConfig | JudgeConfig) -> dict[str, Any]:
    """Return what decides a reply, next to model, prompt and attempt."""
    names = {"temperature", "top_p", "max_tokens", "max_pixels", "image_format", "body"}
    return config.model_dump(mode="json", include=names)


def prompt_hash(turns: Sequence[Turn]) -> str:
    """Return the digest of turns."""
    return records.digest("prompt", *(part for turn in turns for part in turn))


def read_answer(answer: dict[str, Any], seconds: float) -> TeacherReply | Problem:
    """Return the reply in an endpoint's answer, or why there is none.

    A reply without content is an empty one where it has reasoning, or was cut before its answer.
    """
    try:
        choice = answer["choices"][0]
        message = choice["message"]
        text = message.get("content")
    except (KeyError, IndexError, TypeError, AttributeError):
        words = complaint(answer)
        return Problem(f"the answer has no choices{words and f': {words}'}")
    reasoning = message.get("reasoning_content") or message.get("reasoning")
    reasoning = reasoning if isinstance(reasoning, str) else None
    finish = choice.get("finish_reason")
    finish = finish if isinstance(finish, str) else None
    if text is None and (reasoning or finish == "length"):
        text = ""
    if not isinstance(text, str):
        return Problem("the answer's content is not text")
    usage = answer.get("usage")
    usage = usage if isinstance(usage, dict) else {}
    return TeacherReply(
        _whole(text),
        reasoning and _whole(reasoning),
        finish,
        _count(usage.get("prompt_tokens")),
        _count(usage.get("completion_tokens")),
        round(seconds, 3),
    )


def _whole(text: str) -> str:
    """Return text without half characters, with which a cut reply may end."""
    return SURROGATE.sub("\ufffd", text)


def _count(value: Any) -> int | None:
    return value if type(value) is int and 0 <= value < MOST_TOKENS else None
