"""Write the data card of an exported data set from facts of the manifest."""

from __future__ import annotations

import json
from typing import Any, Final

from curation.exports.licences import hub_licences
from curation.exports.lineage import Lineage
from medsift.markdown import UNSEEN, plain

SIZES: Final = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"),
                (1_000_000, "100K<n<1M"), (10_000_000, "1M<n<10M"))  # fmt: skip
LOADING: Final = """## How to load

```python
from datasets import load_dataset

samples = load_dataset("path/to/this/folder", split="train")
```

`messages` and `images` are as TRL's `SFTTrainer` takes them: contents are lists of parts, and the
n-th image part of a conversation is the n-th of `images`. `croissant.json` describes the same
files for Croissant loaders."""
COLUMNS: Final = {
    "messages": "the conversation: turns of role and content, a content being image and text parts",
    "images": "pictures in the order of the image parts; none for a text-only sample",
    "image_ids": "digests of their pixels: equal ids are equal pictures",
    "question, answer": "first user turn and last assistant turn, as text",
    "sample_id": "digest of pictures and text",
    "row_id": "input row: source, file and record",
    "rank": "place in the selection, from 0, best first",
    "weight": "input rows that the sample represents",
    "stratum": "group that was balanced",
}


def card(lineage: Lineage) -> str:
    """Return Markdown with the YAML head that data set hubs read."""
    strata = [
        (line["stratum"], line["pool"], line["selected"], round(line["weight"], 3),
         f"{100 * line['selected'] / line['pool']:.1f}%" if line["pool"] else "–")
        for line in lineage.strata
    ]  # fmt: skip
    sections = [
        _head(lineage),
        f"# {plain(lineage.run['name'])}: {plain(lineage.selection)}",
        f"{plain(lineage.made())} Curated by MedSift.",
        LOADING,
        table("Columns", ("column", "holds"), list(COLUMNS.items())),
        _selection(lineage),
        _sources(lineage),
        table("Strata", ("stratum", "pool", "selected", "weight", "share"), strata),
        *(
            table(name.replace("_", " ").capitalize(), (name, "samples"), counts)
            for name, counts in lineage.tallies.items()
            if any(value is not None for value, _ in counts)
        ),
        table(
            "Where rows went",
            ("stage", "in", "kept", "dropped", "failed"),
            [tuple(line.values()) for line in lineage.funnel],
        ),
        "## Limits\n\nNot for clinical use. Check the licence and the terms of every source before "
        "training.",
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


def _head(lineage: Lineage) -> str:
    count = lineage.counts["samples"]
    head: dict[str, Any] = {
        "pretty_name": f"{lineage.run['name']}: {lineage.selection}",
        **hub_licences(lineage.licences),
    }
    if lineage.languages:
        head["language"] = lineage.languages
    head |= {
        "task_categories": ["visual-question-answering"],
        "tags": ["medical", "medsift"],
        "size_categories": [next((words for bound, words in SIZES if count < bound), "n>10M")],
        "configs": [
            {"config_name": "default", "data_files": [{"split": "train", "path": "data/*.parquet"}]}
        ],
    }
    # JSON values are YAML values, quoting included, once characters are escaped that YAML refuses
    # or takes for the end of a line.
    lines = (f"{key}: {json.dumps(value, ensure_ascii=False)}" for key, value in head.items())
    escaped = (UNSEEN.sub(lambda sign: f"\\u{ord(sign.group()):04x}", line) for line in lines)
    return "---\n" + "\n".join(escaped) + "\n---"


def _selection(lineage: Lineage) -> str:
    settings, counts = lineage.settings or {}, lineage.counts
    facts: dict[str, Any] = {
        **lineage.identity(),
        "created (UTC)": counts["created_at"],
        "settings": settings.get("settings"),
        "candidates": settings.get("pool"),
        "samples": counts["samples"],
        "images": counts["images"],
        "text-only samples": counts["text_only"],
        "total weight": round(counts["weight"], 3),
        "estimated tokens": settings.get("tokens"),
        "objective": settings.get("objective"),
        "coverage of the pool's neighbour graph": settings.get("coverage"),
    }
    known = [(key, value) for key, value in facts.items() if value is not None]
    return table("Selection", ("fact", "value"), known)


def _sources(lineage: Lineage) -> str:
    lines = [
        (line["source"], lineage.readers.get(line["source"]), line["license"], line["samples"])
        for line in lineage.sources
    ]
    sources = table("Sources and licences", ("source", "reader", "licence", "samples"), lines)
    missing = sum(line["samples"] for line in lineage.sources if line["license"] is None)
    if not missing:
        return sources
    return f"{sources}\n\n{missing:,} samples name no licence: ask their source before use."


def table(title: str, head: tuple[str, ...], lines: list[tuple[Any, ...]]) -> str:
    """Return a section with one table, or nothing where there are no lines."""
    if not lines:
        return ""
    rows = ["| " + " | ".join(map(_cell, line)) + " |" for line in (head, *lines)]
    return "\n".join([f"## {title}\n", rows[0], "|" + "---|" * len(head), *rows[1:]])


def _cell(value: object) -> str:
    if value is None:
        return "unknown"
    return plain(f"{value:,}" if isinstance(value, int) else str(value))
