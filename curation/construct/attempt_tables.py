"""Write a construction as tables of the manifest."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pyarrow as pa

from curation.construct.asking import Asked
from curation.construct.choose import Trace
from curation.construct.new_samples import new_id
from curation.construct.projection import cost_of
from curation.construct.settings import ConstructRecipe
from curation.construct.teacher import sampling
from medsift.manifest.schema import arrow_schema


def attempts_table(construct_id: str, asked: Iterable[Asked], recipe: ConstructRecipe) -> pa.Table:
    """Return the attempts of some samples."""
    how = json.dumps(sampling(recipe.teacher), sort_keys=True)
    lines = [
        {
            "construct_id": construct_id,
            "sample_id": one.task.sample_id,
            "kind": attempt.kind,
            "attempt": attempt.number,
            "reply_id": attempt.reply_id,
            "prompt_hash": attempt.prompt_hash,
            "model": recipe.teacher.model,
            "sampling": how,
            "text": attempt.reply.text,
            "reasoning": attempt.parts.reasoning,
            "answer": attempt.parts.answer,
            "form": attempt.parts.form,
            "finish_reason": attempt.reply.finish_reason,
            "prompt_tokens": attempt.reply.prompt_tokens,
            "tokens": attempt.reply.tokens,
            "reasoning_tokens": attempt.tokens,
            "latency_s": attempt.reply.latency_s,
            "cost": cost_of(recipe, attempt.reply.prompt_tokens or 0, attempt.reply.tokens or 0),
            "verdict": attempt.verdict.outcome,
            "verdict_by": attempt.verdict.by,
            "faults": list(attempt.faults),
            "accepted": attempt.accepted,
            "error": attempt.reply.error,
        }
        for one in asked
        for attempt in one.attempts
    ]
    return pa.Table.from_pylist(lines, schema=arrow_schema("attempts"))


def traces_table(
    construct_id: str, traces: Sequence[Trace], rows: Mapping[str, Mapping[str, Any]]
) -> pa.Table:
    """Return the fates of all samples."""
    lines = [
        {
            "construct_id": construct_id,
            "derived_from": trace.sample_id,
            "row_id": rows[trace.sample_id]["row_id"],
            "sample_id": new_id(rows[trace.sample_id], trace) if trace.action == "kept" else None,
            "action": trace.action,
            "reason": trace.reason,
            "kind": trace.kind,
            "attempt": trace.number,
            "reasoning": trace.reasoning,
            "tokens": trace.tokens,
            "verdict_by": trace.rung,
            "text_solvable": trace.text_solvable,
            "number": trace.question_number,
            "question": trace.question,
            "answer": trace.answer,
        }
        for trace in traces
    ]
    return pa.Table.from_pylist(lines, schema=arrow_schema("traces"))
