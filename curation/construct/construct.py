"""Construct samples or grades from those of a selection: ask, verify, choose, store all of it."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence, Set
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event
from types import MappingProxyType
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from curation.construct.ask_caption import ask_about_caption
from curation.construct.asking import Asked, Task, ask_about, refused
from curation.construct.attempt_tables import attempts_table, traces_table
from curation.construct.choose import Candidate, Trace, candidates_of, choose_traces
from curation.construct.judgements import (
    Agreement,
    agreement_table,
    agreements,
    judgement,
    judgements_table,
)
from curation.construct.load_tasks import Asking, load_tasks
from curation.construct.new_samples import write_samples
from curation.construct.projection import Projection, project
from curation.construct.reply_log import ReplyLog
from curation.construct.settings import ConstructRecipe
from curation.construct.teacher import Teacher, refusal_of_pairs
from curation.report.construct_page import PAGE_NAME, write_construction_page
from medsift.endpoint.window import AdaptiveWindow
from medsift.errors import MedSiftError, ModelError, UsageError
from medsift.manifest import append_tables, read
from medsift.manifest.schema import arrow_schema
from medsift.progress import Listener, StageAdvanced, StageStarted, silent
from medsift.records import digest
from medsift.storage.parts import write_table
from medsift.storage.run_lock import claimed

STAGE: Final = "construct"
ID_DIGITS: Final = 10
ACTIONS: Final = ("failed", "dropped", "kept")
SAMPLES_AT_ONCE: Final = 512
"""Samples with attempts in memory at a time."""
NEEDED: Final = MappingProxyType(
    {
        "reasoning": "that ends with a question and its answer",
        "rewrite": "with an answer of at most `sparse_words` words",
        "caption_to_qa": "whose `task_type` is one of `caption_tasks`",
        "quality": "that ends with a question and its answer",
    }
)
SAME_REPLIES: Final = 20
"""Samples after which a teacher that has said one thing to all is asked no more."""

Announce = Callable[[Projection], None]


@dataclass(frozen=True, slots=True)
class ConstructResult:
    """What a construction asked and kept; print it to read it.

    `facts` is its line in the table `constructions`; None of it where nothing was asked (dry run).
    """

    run_id: str
    construct_id: str
    manifest: Path
    projection: Projection
    samples: Path | None = None
    facts: dict[str, Any] = field(default_factory=dict)
    reasons: dict[str, int] = field(default_factory=dict)
    """How often there is no trace, by reason; of captions, questions are counted."""
    lines: int = 0
    agreement: list[Agreement] = field(default_factory=list)
    """How far a judge of quality agrees with scores of the run."""
    page: Path | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the result as JSON takes it."""
        facts = {
            key: str(value) if isinstance(value, datetime) else value
            for key, value in self.facts.items()
            if key != "settings"
        }
        return {
            "run_id": self.run_id,
            "construct_id": self.construct_id,
            "manifest": str(self.manifest),
            "projection": asdict(self.projection),
            "samples": self.samples and str(self.samples),
            "facts": facts,
            "reasons": self.reasons,
            "agreement": [asdict(one) for one in self.agreement],
            "page": self.page and str(self.page),
        }

    def __str__(self) -> str:
        if not self.facts:
            return str(self.projection)
        facts = self.facts
        why = ", ".join(f"{count:,} {reason}" for reason, count in self.reasons.items())
        lines = [
            f"{facts['samples']:,} samples: {facts['kept']:,} kept, {facts['dropped']:,} dropped, "
            f"{facts['failed']:,} failed{why and f' ({why})'}",
            f"{facts['calls']:,} calls, {facts['prompt_tokens']:,} tokens in, "
            f"{facts['tokens']:,} tokens out"
            + ("" if facts["cost"] is None else f", cost {facts['cost']:,.2f}"),
            *map(str, self.agreement),
            f"{'construct':<12}{self.construct_id}",
            *([f"{'samples':<12}{self.samples}"] if self.samples else []),
            f"{'page':<12}{self.page}",
            f"{'manifest':<12}{self.manifest}",
        ]
        return "\n".join(lines)


def construct(
    recipe: ConstructRecipe,
    *,
    dry_run: bool = False,
    announce: Announce = lambda projection: None,
    listener: Listener = silent,
) -> ConstructResult:
    """Ask the teacher about every sample of a selection, and store attempts, traces and samples.

    The same recipe on the same run asks only for replies that are not stored yet, and gives the
    same traces: it can be killed at any time and started again.

    Args:
        recipe: run, teacher, kinds and what is accepted.
        dry_run: stop after the projection; nothing is asked.
        announce: called with the projection before the first request.
        listener: called with events as samples are done.

    Raises:
        UsageError: the selection has no sample to ask about, or another process uses the replies.
        ModelError: the endpoint cannot be reached or refuses, or says the same to everything.
        ManifestError, StorageError: as reading and writing do.
    """
    started = time.perf_counter()
    asking = load_tasks(recipe)
    if not asking.tasks:
        raise UsageError(
            f"selection {asking.selection!r} of run {asking.run_id} has no sample "
            f"{NEEDED[recipe.purpose]}; name another selection",
            code="construct_nothing_to_ask",
            selection=asking.selection,
            reasons=sorted(set(asking.unasked.values())),
        )
    construct_id = _identify(recipe, asking)
    with ReplyLog(recipe.replies_dir) as log, _teachers(recipe, log) as (teacher, judge, stop):
        projection = project(asking.tasks, teacher, recipe)
        announce(projection)
        if dry_run:
            return ConstructResult(asking.run_id, construct_id, asking.manifest, projection)
        shows = recipe.purpose != "rewrite"
        several = shows and any(task.pictures > 1 for task in asking.tasks)
        refusal = refusal_of_pairs(teacher) if several else None

        def ask(task: Task) -> Asked:
            if refusal is not None and task.pictures > 1:
                return refused(task, teacher, refusal, recipe.questions)
            about = ask_about_caption if recipe.purpose == "caption_to_qa" else ask_about
            return about(task, teacher, judge, recipe)

        listener(StageStarted(STAGE, len(asking.tasks), "samples"))
        folder = asking.manifest.parent / "constructed" / recipe.name
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=folder, prefix=".attempts-", suffix=".partial") as name:
            parts = Path(name)
            candidates: list[Candidate] = []
            judged: list[dict[str, Any]] = []
            for number, batch in enumerate(
                _asked_batches(asking.tasks, ask, recipe, stop, listener)
            ):
                part = parts / f"part-{number:09d}.parquet"
                write_table(attempts_table(construct_id, batch, recipe), part)
                if recipe.purpose == "quality":
                    judged += [judgement(one) for one in batch]
                else:
                    candidates += [one for each in batch for one in candidates_of(each, recipe)]
            tables: dict[str, pa.Table | Path] = {"attempts": parts}
            if recipe.purpose == "quality":
                path, fates = None, _all_judged(asking, judged)
                compared = agreements(asking.manifest, asking.run_id, judged)
                tables |= {
                    "judgements": judgements_table(construct_id, fates, asking.rows),
                    "judge_agreement": agreement_table(construct_id, compared),
                }
            else:
                compared = []
                traces = _all_traces(asking, choose_traces(candidates, recipe))
                path = _write_samples(asking, traces, folder)
                fates = [{"action": one.action, "reason": one.reason} | {"sample_id": one.sample_id}
                         for one in traces]  # fmt: skip
                tables["traces"] = traces_table(construct_id, traces, asking.rows)
            facts = _facts(recipe, asking, fates, parts) | {
                "construct_id": construct_id,
                "path": path and str(path),
                "seconds": time.perf_counter() - started,
            }
            lines = pa.Table.from_pylist([facts], arrow_schema("constructions"))
            with claimed(asking.manifest.parent, wait=True):
                append_tables(asking.manifest, asking.run_id, {"constructions": lines} | tables)
            page = write_construction_page(
                asking.manifest, asking.run_id, construct_id, folder / PAGE_NAME
            )
    reasons = Counter(one["reason"] for one in fates if one["reason"])
    return ConstructResult(
        asking.run_id,
        construct_id,
        asking.manifest,
        projection,
        path,
        facts,
        dict(sorted(reasons.items())),
        len(fates),
        compared,
        page,
    )


def _identify(recipe: ConstructRecipe, asking: Asking) -> str:
    content = digest(recipe.fingerprint(), *(task.content for task in asking.tasks))
    return f"{recipe.name}-{content[:ID_DIGITS]}"


@contextmanager
def _teachers(
    recipe: ConstructRecipe, log: ReplyLog
) -> Iterator[tuple[Teacher, Teacher | None, Event]]:
    """Yield teacher and judge, and what stops both; they are stopped at the end."""
    stop = Event()
    made = [
        None if config is None else Teacher(config, log, AdaptiveWindow(config.parallel), stop)
        for config in (recipe.teacher, recipe.judge)
    ]
    teacher, judge = made
    assert teacher is not None
    try:
        yield teacher, judge, stop
    finally:
        stop.set()


def _asked_batches(
    tasks: Sequence[Task],
    ask: Callable[[Task], Asked],
    recipe: ConstructRecipe,
    stop: Event,
    listener: Listener,
) -> Iterator[list[Asked]]:
    """Ask about all samples, and yield them in order, some hundreds at a time."""

    def ask_unless_stopped(task: Task) -> Asked:
        try:
            return ask(task)
        except MedSiftError:
            # What ends one sample's requests wakes the others from their pauses.
            stop.set()
            raise

    done, said = 0, set()
    threads = ThreadPoolExecutor(recipe.teacher.parallel, thread_name_prefix=STAGE)
    try:
        for start in range(0, len(tasks), SAMPLES_AT_ONCE):
            batch: list[Asked] = []
            for one in threads.map(ask_unless_stopped, tasks[start : start + SAMPLES_AT_ONCE]):
                batch.append(one)
                done += 1
                # A judge may find all samples equally good.
                if done <= SAME_REPLIES and recipe.purpose != "quality":
                    said |= {(each.reply.text, each.reply.reasoning) for each in one.attempts}
                    _check_varies(said, done, recipe)
                listener(StageAdvanced(STAGE, done))
            yield batch
    finally:
        stop.set()
        threads.shutdown(cancel_futures=True)


def _check_varies(
    said: Set[tuple[str | None, str | None]], samples: int, recipe: ConstructRecipe
) -> None:
    """Raise ModelError for a teacher that has said one thing to so many samples."""
    if samples == SAME_REPLIES and len(said) == 1 and next(iter(said))[0] is not None:
        raise ModelError(
            f"{recipe.teacher.model} gives one and the same reply to {samples} samples; look at "
            f"the replies in {recipe.replies_dir}, and correct the endpoint or its settings",
            code="teacher_constant",
            model=recipe.teacher.model,
            samples=samples,
        )


def _all_traces(asking: Asking, traces: Sequence[Trace]) -> list[Trace]:
    """Return the fates of all samples of the selection, in rank order."""
    fates = {name: [Trace(name, "dropped", why)] for name, why in asking.unasked.items()}
    for trace in traces:
        fates.setdefault(trace.sample_id, []).append(trace)
    return [trace for name in asking.rows for trace in fates[name]]


def _all_judged(asking: Asking, judged: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the grades of all samples of the selection, or why there are none, in rank order."""
    fates = {one["sample_id"]: one for one in judged}
    for name, why in asking.unasked.items():
        fates[name] = {"sample_id": name, "action": "dropped", "reason": why, "readings": 0}
    return [fates[name] for name in asking.rows]


def _write_samples(asking: Asking, traces: Sequence[Trace], folder: Path) -> Path:
    """Write the new samples next to a recipe with the settings of their run."""
    recipes = read(asking.manifest, "SELECT recipe FROM runs WHERE run_id = $1", [asking.run_id])
    kept = [one for one in traces if one.action == "kept"]
    settings = json.loads(recipes["recipe"][0].as_py() or "{}")
    return write_samples(folder, kept, asking.rows, settings)


def _facts(
    recipe: ConstructRecipe, asking: Asking, fates: Sequence[dict[str, Any]], parts: Path
) -> dict[str, Any]:
    """Return what the table `constructions` says of settings, samples and replies."""
    best: dict[str, str] = {}
    for one in fates:
        # A caption is kept with one of its questions, and failed only without any reply.
        best[one["sample_id"]] = max(
            one["action"], best.get(one["sample_id"], "failed"), key=ACTIONS.index
        )
    counted = Counter(best.values())
    return {
        "created_at": datetime.now(UTC).replace(tzinfo=None),
        "selection": asking.selection,
        "settings": json.dumps(recipe.resolved(), sort_keys=True),
        "teacher": recipe.teacher.model,
        "judge": recipe.judge and recipe.judge.model,
        "samples": len(best),
        **{action: counted[action] for action in ACTIONS},
        **_totals(parts),
    }


def _totals(parts: Path) -> dict[str, Any]:
    """Return how many replies there are, their tokens and their cost."""
    import pyarrow.dataset as ds

    table = ds.dataset(parts, format="parquet").to_table(
        columns=["prompt_tokens", "tokens", "cost"], filter=ds.field("text").is_valid()
    )
    return {
        "calls": table.num_rows,
        "prompt_tokens": pc.sum(table["prompt_tokens"]).as_py() or 0,
        "tokens": pc.sum(table["tokens"]).as_py() or 0,
        "cost": pc.sum(table["cost"]).as_py(),
    }
