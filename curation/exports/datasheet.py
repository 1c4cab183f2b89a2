"""Write a datasheet of an export from facts of the manifest: what it is, and what it is not.

Its questions follow "Datasheets for Datasets" (Gebru et al., 2021); Croissant's responsible-AI
fields say the same for programs.
"""

from __future__ import annotations

from typing import Any, Final

from curation.exports.card import table
from curation.exports.lineage import Lineage
from medsift.licence_classes import excluding, licence_class, obligations
from medsift.markdown import plain

FILE_NAME: Final = "DATASHEET.md"
COMPOSITION: Final = ("modality", "body_part", "age", "sex", "language", "task_type")
RAI: Final = "http://mlcommons.org/croissant/RAI/1.0"


def datasheet(lineage: Lineage) -> str:
    """Return the datasheet as Markdown."""
    counts = lineage.counts
    facts = [
        ("samples", counts["samples"]),
        ("pictures", counts["images"]),
        ("samples without a picture", counts["text_only"]),
        ("patients named", lineage.patients["patients"]),
        ("studies named", lineage.patients["studies"]),
    ]
    licences = [
        (line["source"], lineage.readers.get(line["source"]), line["license"],
         ", ".join(obligations([line["license"]])) or "nothing", line["samples"])
        for line in lineage.sources
    ]  # fmt: skip
    sections = [
        f"# Datasheet: {plain(lineage.run['name'])}, {plain(lineage.selection)}",
        f"{plain(lineage.made())} Made by MedSift, run {plain(str(lineage.run['run_id']))}.",
        table("Size", ("fact", "value"), facts),
        table("Sources and licences", ("source", "reader", "licence", "asks", "samples"), licences),
        *(
            table(f"By {name.replace('_', ' ')}", (name, "samples"), lineage.tallies[name])
            for name in COMPOSITION
            if any(value is not None for value, _ in lineage.tallies[name])
        ),
        table(
            "What was removed, and why",
            ("stage", "action", "reason", "rows"),
            [tuple(line.values()) for line in lineage.reasons],
        ),
        table(
            "Identifiers found",
            ("class", "action", "in texts", "in pictures"),
            [tuple(line.values()) for line in lineage.findings],
        ),
        _paragraphs("Privacy", privacy_statements(lineage)),
        table(
            "Withdrawn consent",
            ("when (UTC)", "named by", "rows", "pictures"),
            [tuple(line.values()) for line in lineage.withdrawals],
        )
        or "## Withdrawn consent\n\nNo row was withdrawn.",
        _paragraphs("Known gaps", gaps(lineage)),
        "## Use\n\nTraining and evaluation of models in research. Not for clinical use.",
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


def rai_fields(lineage: Lineage) -> dict[str, Any]:
    """Return the datasheet's statements as fields of Croissant's responsible-AI vocabulary."""
    removed = [
        f"{line['rows']:,} rows {line['action']} by {line['stage']}: {line['reason']}"
        for line in lineage.reasons
    ]
    sources = [
        f"{line['source'] or 'unknown source'}: {line['samples']:,} samples, "
        f"{line['license'] or 'no licence named'}"
        for line in lineage.sources
    ]
    fields = {
        "rai:dataCollection": "; ".join(sources),
        "rai:dataPreprocessingProtocol": removed,
        "rai:personalSensitiveInformation": privacy_statements(lineage),
        "rai:dataLimitations": gaps(lineage),
        "rai:dataUseCases": ["training and evaluation of models in research; not for clinical use"],
        "rai:dataReleaseMaintenancePlan": "; ".join(
            f"{line['created_at']:%Y-%m-%d}: {line['rows']:,} rows withdrawn"
            for line in lineage.withdrawals
        ),
    }
    return {name: values for name, values in fields.items() if values}


def privacy_statements(lineage: Lineage) -> list[str]:
    """Return what is known about identifiers, in sentences."""
    masked, found = lineage.masked, lineage.findings
    statements = []
    for action, words in (("mask", "masked"), ("flag", "found and left"), ("drop", "dropped")):
        count = sum(line["texts"] + line["pictures"] for line in found if line["action"] == action)
        statements += [f"{count:,} identifiers were {words}."] if count else []
    if masked["pictures"]:
        statements.append(
            f"{masked['pictures']:,} pictures of the run were painted over, "
            f"{masked['painted']:.2%} of their pixels on average and {masked['most']:.1%} at most; "
            f"{masked['for_review']:,} are listed for review."
        )
    return statements or ["Identifiers were not looked for: the recipe has no `privacy`."]


def gaps(lineage: Lineage) -> list[str]:
    """Return what the manifest shows to be missing, in sentences."""
    total = lineage.counts["samples"]
    lines = []
    for name in ("modality", "body_part", "age", "sex"):
        missing = sum(count for value, count in lineage.tallies[name] if value is None)
        if missing:
            lines.append(f"{missing:,} of {total:,} samples have no {name.replace('_', ' ')}.")
    without = lineage.patients["without_patient"]
    if without:
        lines.append(
            f"{without:,} of {total:,} samples name no patient: splits cannot keep them apart."
        )
    unlicensed = sum(
        line["samples"] for line in lineage.sources if not licence_class(line["license"]).known
    )
    if unlicensed:
        lines.append(
            f"{unlicensed:,} of {total:,} samples have no licence, or one of unknown terms."
        )
    pairs = excluding(lineage.licences)
    lines += [f"The licences {one} and {other} exclude each other." for one, other in pairs]
    unselected = [line["stratum"] for line in lineage.strata if not line["selected"]]
    if unselected:
        shown = ", ".join(map(plain, unselected[:10]))
        lines.append(f"{len(unselected):,} strata of the pool have no sample: {shown}.")
    return lines


def _paragraphs(title: str, lines: list[str]) -> str:
    return f"## {title}\n\n" + "\n".join(f"- {line}" for line in lines) if lines else ""
