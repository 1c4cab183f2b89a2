"""Draw the replies of a recipe, count them, and store replies, counts and selection."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from curation.rl_set.questions import decide
from evaluation.benchmarks.manifest import ManifestSplit
from evaluation.rollouts import ROLLOUTS, DrawReplies
from medsift import records
from medsift.errors import InputError
from medsift.execution import Executor
from medsift.manifest import append_tables, resolve_selection
from medsift.manifest.training_queries import selection_weights
from medsift.replies.closed import polarity
from medsift.storage.parts import read_folder
from medsift.storage.run_lock import claimed
from ray_jobs.rollouts.recipe import RolloutsRecipe
from training.dataset.samples import manifest_of


@dataclass(frozen=True, slots=True)
class Rollouts:
    """What was stored: the questions with their verdicts, and where."""

    manifest: Path
    run_id: str
    questions: pa.Table


def draw_rollouts(recipe: RolloutsRecipe, executor: Executor) -> Rollouts:
    """Draw, count and decide; store it all in the manifest, kept questions as a selection.

    A killed command continues where it was. Raises MedSiftError.
    """
    manifest = manifest_of(recipe.run).absolute()
    run_id, selection = resolve_selection(manifest, recipe.selection, recipe.run_id)
    ids = selection_weights(manifest, run_id, selection)["sample_id"].to_pylist()
    folder = manifest.parent / "rollouts" / recipe.name
    source = ManifestSplit(path=str(manifest), run_id=run_id, sample_ids=tuple(ids))
    items = source.load(folder / "pictures").items
    if not items.num_rows:
        raise InputError(
            f"selection {selection!r} has no question of one turn; name another selection",
            code="selection_untrainable",
            selection=selection,
        )
    identity = recipe.model.fingerprint()
    replies = _draw(
        recipe, items, executor, folder / f"replies-{records.fingerprint([identity, *ids])[:16]}"
    )
    questions = decide(count(replies, items), recipe.keep)
    named = {"rollouts": pa.array([recipe.name] * replies.num_rows)}
    named["model"] = pa.array([recipe.model.name] * replies.num_rows)
    named["model_hash"] = pa.array([identity] * replies.num_rows)
    for name, values in named.items():
        replies = replies.append_column(name, values)
    of_set = pa.array([recipe.name] * questions.num_rows)
    tables = {
        "rollouts": replies,
        "rollout_questions": questions.append_column("rollouts", of_set),
        **_selection(recipe, questions),
    }
    with claimed(manifest.parent, wait=True):
        append_tables(manifest, run_id, tables)
    shutil.rmtree(folder, ignore_errors=True)
    return Rollouts(manifest, run_id, questions)


def count(replies: pa.Table, items: pa.Table) -> pa.Table:
    """Return one line a question, as `curation.rl_set.questions.decide` takes it."""
    blank, answered = replies["blank"], pc.is_valid(replies["reply"])
    seen = pc.and_(answered, pc.invert(blank))
    flags = {
        "drawn": seen,
        "correct": pc.and_(seen, pc.fill_null(replies["correct"], False)),
        "unparsed": pc.and_(seen, pc.equal(replies["parse_status"], "unparsed")),
        "cut": pc.and_(seen, pc.fill_null(replies["cut"], False)),
        "unanswered": pc.and_(pc.invert(answered), pc.invert(blank)),
        "blank_drawn": pc.and_(answered, blank),
        "blank_correct": pc.and_(blank, pc.fill_null(replies["correct"], False)),
    }
    table = replies.select(["sample_id", "row_id"])
    for name, flag in flags.items():
        table = table.append_column(name, pc.fill_null(flag, False).cast(pa.int64()))
    sums = table.group_by(["sample_id", "row_id"]).aggregate([(name, "sum") for name in flags])
    sums = sums.rename_columns([name.removesuffix("_sum") for name in sums.column_names])
    tags = pa.table(
        {
            "row_id": items["item_id"],
            "modality": items["modality"],
            "task_type": items["task_type"],
            "chance": pa.array(_chances(items), pa.float64()),
        }
    )
    return sums.join(tags, "row_id").sort_by("sample_id")


def _chances(items: pa.Table) -> list[float]:
    sizes = pc.fill_null(pc.list_value_length(items["options"]), 0).to_pylist()
    kinds, golds = items["answer_type"].to_pylist(), items["gold"].to_pylist()
    return [
        1.0 / size if size else 0.5 if kind == "closed" and polarity(gold) is not None else 0.0
        for size, kind, gold in zip(sizes, kinds, golds, strict=True)
    ]


def _draw(recipe: RolloutsRecipe, items: pa.Table, executor: Executor, out: Path) -> pa.Table:
    rows = items.to_pylist()
    step = recipe.questions_per_batch
    batches = [tuple(rows[start : start + step]) for start in range(0, len(rows), step)]
    model, prompts, seed = recipe.model, recipe.prompts, recipe.seed
    draws, blank = recipe.draws, recipe.blank_draws

    def make() -> DrawReplies:
        return DrawReplies(model, items, prompts, draws, blank, seed)

    executor.stream(batches, make, out, lambda _: None, model.resources)
    return read_folder(out / "rollouts", ROLLOUTS)


def _selection(recipe: RolloutsRecipe, questions: pa.Table) -> dict[str, pa.Table]:
    """Return the selection of what is kept, easy questions first."""
    kept = questions.filter(pc.equal(questions["verdict"], "kept"))
    share = pc.divide(kept["correct"].cast(pa.float64()), kept["drawn"].cast(pa.float64()))
    kept = kept.append_column("share", share)
    kept = kept.sort_by([("share", "descending"), ("sample_id", "ascending")])
    now, size = datetime.now(UTC).replace(tzinfo=None), kept.num_rows
    if not size:
        return {}
    settings = {
        "selection": recipe.name,
        "created_at": now,
        "method": "usefulness",
        "settings": json.dumps(recipe.resolved(), sort_keys=True),
        "seed": recipe.seed,
        "fingerprint": records.fingerprint([recipe.name, *kept["sample_id"].to_pylist()]),
        "pool": questions.num_rows,
        "selected": size,
    }
    return {
        "selection_settings": pa.Table.from_pylist([settings]),
        "selections": pa.table(
            {
                "selection": pa.array([recipe.name] * size),
                "created_at": pa.array([now] * size, pa.timestamp("us")),
                "rank": pa.array(range(size), pa.int64()),
                "sample_id": kept["sample_id"],
                "row_id": kept["row_id"],
                "weight": pa.array([1.0] * size),
                "gain": kept["usefulness"],
                "stratum": kept["stratum"],
            }
        ),
    }
