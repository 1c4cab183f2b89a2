"""Write the model card of a result: what it is, what it was made of, and what it is not for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import yaml

from medsift.markdown import code, plain

LIMITS: Final = """\
Not a medical device. Not for diagnosis, triage or treatment, and not a substitute for a clinician.
It answers from a picture and a question alone, is wrong without saying so, and was not tested on
patients. Figures below, if any, hold for their benchmark alone. The licences of the base model and
of every training source apply."""
LEAKS: Final = {
    True: "**Trained despite known or unchecked leaks: scores on these benchmarks prove nothing.**",
    False: "No sample that was trained on is known to be in them, or near and unresolved.",
    None: "**Compared with no benchmark: leaks are unchecked, and scores may rest on them.**",
}


def model_card(lineage: Mapping[str, Any], metrics: Sequence[Mapping[str, Any]]) -> str:
    """Return the card in Markdown, from a lineage and rows of the manifest's `metrics`."""
    base, selection = lineage["base"], lineage["selection"]
    adapter = not lineage["recipe"]["lora"]["full"]
    head = {"base_model": base["name"], "tags": ["medical", "medsift"]}
    if adapter:
        head["library_name"] = "peft"
    revision = f" at {code(base['revision'])}" if base["revision"] else ""
    parts = [
        f"---\n{yaml.safe_dump(head, sort_keys=True)}---\n",
        f"# {plain(lineage['training_id'])}\n",
        f"{'An adapter for' if adapter else 'A full fine-tuning of'} {code(base['name'])}"
        f"{revision}, trained by MedSift {lineage['packages']['medsift']} on "
        f"{lineage['trained_on']} of the {selection['samples']} samples of selection "
        f"{code(selection['name'])} of run {code(lineage['run_id'])} "
        f"({lineage['steps']} steps, result of step {lineage['result_step']}).\n",
        f"## Limits\n\n{LIMITS}\n",
        f"## Benchmarks kept out\n\n{_kept_out(lineage)}\n",
        f"## Evaluation\n\n{_scores(metrics)}\n",
        "`lineage.json` holds the recipe, seeds, versions and fingerprints.\n",
    ]
    # Trainings before notes existed have none in their lineage.
    if notes := lineage.get("notes"):
        parts.insert(-2, "## Notes\n\n" + "\n".join(f"- {plain(note)}" for note in notes) + "\n")
    return "\n".join(parts)


def _kept_out(lineage: Mapping[str, Any]) -> str:
    names = ", ".join(code(name) for name in lineage["benchmarks"])
    reasons = "".join(f"\n- {plain(reason)}" for reason in lineage["reasons"])
    return f"{names + ': ' if names else ''}{LEAKS[lineage['contaminated']]}{reasons}"


def _scores(metrics: Sequence[Mapping[str, Any]]) -> str:
    if not metrics:
        return "Not evaluated yet; `medsift evaluate --adapter` does."

    def number(value: float | None) -> str:
        return "unknown" if value is None else f"{value:.3f}"

    head = "| benchmark | protocol | accuracy | 95% interval | n | images | unparsed |"
    rows = [
        f"| {plain(row['benchmark'])} | {plain(row['protocol'])} | {number(row['value'])} "
        f"| {number(row['low'])} to {number(row['high'])} | {row['n']} | {row['clusters']} "
        f"| {number(row['unparsed_rate'])} |"
        for row in metrics
    ]
    return "\n".join([head, "|---|---|---|---|---|---|---|", *rows])
