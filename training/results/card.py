"""The model card of a result: what it is, what it was made of, and what it is not for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import yaml

from medsift.manifest import read
from medsift.markdown import code, plain

LIMITS: Final = """\
Not a medical device. Not for diagnosis, triage or treatment, and not a substitute for a clinician.
It answers from a picture and a question alone, is wrong without saying so, and was not tested on
patients. Figures below, if any, hold for their benchmark alone. The licences of the base model and
of every training source apply."""
LEAKS: Final = {
    True: "**Trained despite known or unchecked leaks: scores on these benchmarks prove nothing.**",
    False: "No sample that was trained on is known to be in them, or near and unresolved.",
    None: "**Held against no benchmark: leaks are unchecked, and scores may rest on them.**",
}


def model_card(lineage: Mapping[str, Any], metrics: Sequence[Mapping[str, Any]]) -> str:
    """The card in Markdown, from a lineage and lines of the manifest's `metrics`."""
    base, chosen = lineage["base"], lineage["selection"]
    adapter = not lineage["recipe"]["lora"]["full"]
    head = {"base_model": base["name"], "tags": ["medical", "medsift"]}
    if adapter:
        head["library_name"] = "peft"
    steps = f"{lineage['steps']} steps, result of step {lineage['result_step']}"
    parts = [
        f"---\n{yaml.safe_dump(head, sort_keys=True)}---\n",
        f"# {plain(lineage['training_id'])}\n",
        f"{'An adapter for' if adapter else 'A full fine-tuning of'} {code(base['name'])}"
        f"{_at(base['revision'])}, trained by MedSift {lineage['packages']['medsift']} on "
        f"{lineage['trained_on']} of the {chosen['samples']} samples of selection "
        f"{code(chosen['name'])} of run {code(lineage['run_id'])} ({steps}).\n",
        f"## Limits\n\n{LIMITS}\n",
        f"## Benchmarks kept out\n\n{_kept_out(lineage)}\n",
        *_notes(lineage),
        f"## Evaluation\n\n{_scores(metrics)}\n",
        "`lineage.json` holds the recipe, seeds, versions and fingerprints.\n",
    ]
    return "\n".join(parts)


def evaluation_of(manifest: Path, training_id: str) -> list[dict[str, Any]]:
    """Accuracies of the newest evaluation of a training on each benchmark; none where none is."""
    found: list[dict[str, Any]] = read(
        manifest,
        "SELECT e.benchmark, m.protocol, m.value, m.low, m.high, m.n, m.clusters, m.unparsed_rate "
        "FROM evaluations e JOIN metrics m USING (run_id, evaluation_id, benchmark) "
        "WHERE e.training_id = $1 AND m.variant = 'original' "
        "AND m.facet = 'all' AND m.metric = 'accuracy' "
        "QUALIFY row_number() OVER (PARTITION BY e.benchmark ORDER BY e.created_at DESC) = 1 "
        "ORDER BY e.benchmark",
        [training_id],
    ).to_pylist()
    return found


def _at(revision: str | None) -> str:
    return f" at {code(revision)}" if revision else ""


def _kept_out(lineage: Mapping[str, Any]) -> str:
    names = ", ".join(code(name) for name in lineage["benchmarks"])
    reasons = "".join(f"\n- {plain(reason)}" for reason in lineage["reasons"])
    return f"{names + ': ' if names else ''}{LEAKS[lineage['contaminated']]}{reasons}"


def _notes(lineage: Mapping[str, Any]) -> list[str]:
    """A section of notes; none where there are none, or where an older training kept none."""
    lines = [f"- {plain(note)}" for note in lineage.get("notes", ())]
    return ["## Notes\n\n" + "\n".join(lines) + "\n"] if lines else []


def _scores(metrics: Sequence[Mapping[str, Any]]) -> str:
    if not metrics:
        return "Not evaluated yet; `medsift evaluate --adapter` does."
    head = "| benchmark | protocol | accuracy | 95% interval | n | images | unparsed |"
    lines = [
        f"| {plain(one['benchmark'])} | {plain(one['protocol'])} | {_number(one['value'])} "
        f"| {_number(one['low'])} to {_number(one['high'])} | {one['n']} | {one['clusters']} "
        f"| {_number(one['unparsed_rate'])} |"
        for one in metrics
    ]
    return "\n".join([head, "|---|---|---|---|---|---|---|", *lines])


def _number(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.3f}"
