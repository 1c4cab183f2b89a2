"""Write kept traces as new samples: a file, and the recipe that curates it like any source."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import yaml

from curation.construct.choose import Trace
from medsift import records
from medsift.models.chat_format import with_reasoning
from medsift.replies.reasoning import answer_after_reasoning
from medsift.storage.atomic import atomic_file
from medsift.storage.locations import scheme
from medsift.storage.mirror import discard
from medsift.vocabulary import IMAGE_MARK

FILE_NAME: Final = "samples.jsonl"
ANSWERS_NAME: Final = "answers.jsonl"
SHUFFLED_NAME: Final = "shuffled.jsonl"
RECIPE_NAME: Final = "curate.yaml"
FACTS: Final = ("reasoning", "derived_from", "derived_row", "trace_kind", "text_solvable")
"""Columns of their own, which the manifest of a curated file has in `extra`."""


def new_messages(row: Mapping[str, Any], trace: Trace) -> list[dict[str, str]]:
    """Return a sample's messages with the trace's question, answer and reasoning, as far as any."""
    turns = [{"role": turn["role"], "content": turn["content"] or ""} for turn in row["messages"]]
    if trace.question is not None:
        marks = f"{IMAGE_MARK}\n" * len(row["images"] or ())
        turns = [{"role": "user", "content": f"{marks}{trace.question}"}, turns[-1]]
    if trace.answer is not None:
        turns[-1]["content"] = trace.answer
    turns[-1]["content"] = answer_after_reasoning(turns[-1]["content"])
    if trace.reasoning is not None:
        turns[-1]["content"] = with_reasoning(trace.reasoning, turns[-1]["content"])
    return turns


def new_id(row: Mapping[str, Any], trace: Trace) -> str:
    """Return the id that the new sample has once it is curated."""
    images = [image["image_id"] for image in row["images"] or ()]
    return records.sample_id(images, new_messages(row, trace))


def swap_reasoning(traces: Sequence[Trace]) -> list[Trace]:
    """Return traces that each have the reasoning of another sample, of nearly the same length.

    What they teach beyond answers alone is length and style: the control of a study. Empty for a
    single trace.
    """
    order = sorted(traces, key=lambda trace: (trace.tokens or 0, trace.sample_id))
    swapped: list[Trace] = []
    for start in range(0, len(order) - 1, 2):
        # The last three take turns where the number is odd.
        group = order[start:] if len(order) - start == 3 else order[start : start + 2]
        others = [*group[1:], group[0]]
        swapped += [
            replace(one, reasoning=other.reasoning, tokens=other.tokens)
            for one, other in zip(group, others, strict=True)
        ]
    place = {trace.sample_id: at for at, trace in enumerate(traces)}
    return sorted(swapped, key=lambda trace: place[trace.sample_id])


def write_samples(
    folder: Path,
    traces: Sequence[Trace],
    rows: Mapping[str, Mapping[str, Any]],
    recipe: Mapping[str, Any],
) -> Path:
    """Write the new samples, two controls, and a recipe that curates the samples.

    The controls are the same samples with answers alone, and with the reasoning of another sample;
    where the answers are new, the control is the samples as they were.

    Args:
        folder: where the files are written; older ones are replaced.
        traces: the kept ones.
        rows: rows of the manifest by sample id.
        recipe: the recipe of the run that they come from, for its settings.
    """
    samples = [(rows[trace.sample_id], trace) for trace in traces]
    path = folder / FILE_NAME
    named = _write(path, samples)
    plain = [(row, replace(one, reasoning=None, answer=None)) for row, one in samples]
    swapped = swap_reasoning([trace for trace in traces if trace.reasoning is not None])
    for name, control in (
        # A question of a caption has no older answer.
        (ANSWERS_NAME, [pair for pair in plain if pair[1].question is None]),
        (SHUFFLED_NAME, [(rows[one.sample_id], one) for one in swapped]),
    ):
        if control:
            _write(folder / name, control)
        else:
            discard([folder / name])
    refs = {image["ref"] for row, _ in samples for image in row["images"] or ()}
    source: dict[str, Any] = {
        "name": folder.name,
        "reader": "messages",
        "path": str(path.absolute()),
        "columns": {name: name for name in (*records.TAGS, *FACTS) if name in named},
    }
    if refs:
        source["image_root"] = _common_root(sorted(refs))
    settings = {**recipe, "name": folder.name, "sources": [source]}
    # Splits came with the samples; drawn again, a test picture might end up in training.
    settings.pop("splits", None)
    with atomic_file(folder / RECIPE_NAME) as partial:
        partial.write_text(yaml.safe_dump(settings, sort_keys=False, allow_unicode=True))
    return path


def _write(path: Path, samples: Iterable[tuple[Mapping[str, Any], Trace]]) -> set[str]:
    """Write one line for each sample, and return the names of their fields."""
    named: set[str] = set()
    with atomic_file(path) as partial, partial.open("w", encoding="utf-8") as file:
        for row, trace in samples:
            line = _line(row, trace)
            named.update(line)
            file.write(json.dumps(line, ensure_ascii=False) + "\n")
    return named


def _line(row: Mapping[str, Any], trace: Trace) -> dict[str, Any]:
    tags = {tag: row[tag] for tag in records.TAGS if row.get(tag) is not None}
    # What the old sample was tagged as need not be so of a new answer: curating infers it again.
    if trace.answer is not None:
        tags.pop("answer_type", None)
    if trace.question is not None:
        tags.pop("task_type", None)
    return {
        "messages": new_messages(row, trace),
        "images": [image["ref"] for image in row["images"] or ()],
        "reasoning": trace.reasoning,
        "derived_from": trace.sample_id,
        "derived_row": row["row_id"],
        "trace_kind": trace.kind,
        "text_solvable": trace.text_solvable,
        **tags,
    }


def _common_root(refs: Sequence[str]) -> str:
    """Return the folder or URL under which all pictures are."""
    if any(scheme(ref) for ref in refs):
        folders = [f"{ref.rpartition('/')[0]}/" for ref in refs]
        return os.path.commonprefix(folders).rpartition("/")[0]  # noqa: RUF071 - of URLs
    return os.path.commonpath([os.path.dirname(ref) for ref in refs])  # noqa: PTH120
