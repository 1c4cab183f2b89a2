"""What a worker tells while it is at work, brought to the process that waits for it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, wait
from typing import Any, TypeVar

Result = TypeVar("Result")

POLL_SECONDS = 0.2


class Relay:
    """An actor that holds events until they are fetched; `Relay.start` makes one."""

    def __init__(self) -> None:
        self.held: list[Any] = []

    @staticmethod
    def start() -> Any:
        """The handle of a new one. It takes no CPU from those who work."""
        import ray

        actor: Any = ray.remote(num_cpus=0)(Relay)
        return actor.remote()

    def say(self, event: Any) -> None:
        """Take an event."""
        self.held.append(event)

    def heard(self) -> list[Any]:
        """Hand over the events since the last call, in order."""
        held, self.held = self.held, []
        return held


def listen_while(work: Callable[[], Result], relay: Any, listener: Callable[[Any], None]) -> Result:
    """What `work` gives, done beside this thread, which passes events on and can be interrupted.

    Raises what `work` raises.
    """
    import ray

    done: Future[Result] = Future()
    threading.Thread(target=_carry_out, args=(work, done), daemon=True).start()
    while True:
        over = bool(wait([done], POLL_SECONDS).done)
        for event in ray.get(relay.heard.remote()):
            listener(event)
        if over:
            return done.result()


def _carry_out(work: Callable[[], Result], done: Future[Result]) -> None:
    try:
        done.set_result(work())
    except BaseException as error:  # noqa: BLE001 - raised again where it is waited for
        done.set_exception(error)
