"""What a study says: a bar over its trials and a line for each, or JSON objects for machines."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from typing import TYPE_CHECKING, Protocol

from rich.text import Text

from ray_jobs.console import HumanAudience, JsonAudience

if TYPE_CHECKING:
    from medsift.progress import Event
    from ray_jobs.study.study import StudyResult, TrialFinished


class StudyAudience(Protocol):
    """Hears a study, and how it ends."""

    def __call__(self, event: Event | TrialFinished) -> None:
        """Handle one event."""
        ...

    def study_finished(self, result: StudyResult) -> None:
        """Hear where the results are."""
        ...

    def failed(self, error: BaseException, exit_code: int) -> None:
        """Hear that it stopped; the command line prints the error line itself."""
        ...


class HumanStudy(HumanAudience):
    """A bar over all trials on a terminal, and everywhere a line for each as it ends."""

    def __call__(self, event: Event | TrialFinished) -> None:
        """Draw one event."""
        from ray_jobs.study.study import TrialFinished

        if not isinstance(event, TrialFinished):
            super().__call__(event)
        elif event.error is not None:
            self.console.print(Text(f"{event.trial} failed: {event.error}", "red"))
        else:
            self.console.print(f"{event.trial}{'  reused' if event.reused else ''}")

    def study_finished(self, result: StudyResult) -> None:
        """Take the bar away; the results go to stdout."""
        self._clear()


class JsonStudy(JsonAudience):
    """One JSON object a line; the last is `study_finished` or `error`."""

    def __call__(self, event: Event | TrialFinished) -> None:
        """Write one event."""
        self.tell(event)

    def study_finished(self, result: StudyResult) -> None:
        """Write `study_finished` with the places of the results."""
        told = {
            "study_id": result.study_id,
            "run_id": result.run_id,
            "manifest": str(result.manifest),
            "page": str(result.page),
            "trials": len(result.trials),
            "failed": len(result.failed),
        }
        self.write("study_finished", told)


@contextmanager
def study_audience(log_json: bool) -> Iterator[StudyAudience]:
    """The listener that the command line asks for."""
    if not log_json:
        with HumanStudy() as people:
            yield people
        return
    machine = JsonStudy(sys.stdout)
    # Whatever a library prints must not land between the JSON lines.
    with redirect_stdout(sys.stderr):
        yield machine
