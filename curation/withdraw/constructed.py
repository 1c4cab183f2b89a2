"""Take withdrawn samples out of what was constructed from them: stored replies and new samples."""

from __future__ import annotations

import json
import shutil
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from curation.construct.load_tasks import content_digest
from curation.construct.new_samples import FILE_NAME as SAMPLES_NAME
from curation.construct.new_samples import SHUFFLED_NAME
from curation.construct.reply_log import FILE_NAME, remove_replies
from curation.report.construct_page import PAGE_NAME
from medsift.manifest import read
from medsift.manifest.any_version import ask, opened
from medsift.storage.atomic import atomic_file
from medsift.storage.mirror import discard, exists, fetch, files_below, here

CONSTRUCTED: Final = "constructed"
REPLIES: Final = "replies"
_GONE: Final = """
SELECT sample_id, any_value(messages) AS messages, any_value(images) AS images
FROM samples WHERE run_id = $run GROUP BY sample_id
HAVING bool_and(list_contains($gone, row_id))
"""
_ASKED: Final = """
SELECT DISTINCT reply_id FROM attempts WHERE run_id = $run AND list_contains($gone, sample_id)
"""


@dataclass(frozen=True, slots=True)
class PurgedConstructions:
    """How many stored replies about withdrawn samples were removed, and how many new samples."""

    replies: int = 0
    samples: int = 0


def purge_constructed(
    run_dir: Path, manifest: Path, run_id: str, gone: Collection[str]
) -> PurgedConstructions:
    """Remove replies about withdrawn samples, and samples made from them, completely or not at all.

    Files are written anew next to the old ones and replace them. A sample whose content another row
    still has stays.

    Args:
        run_dir: The run directory.
        manifest: Its manifest, which still has the run with the rows.
        run_id: That run.
        gone: Ids of the withdrawn rows.

    Raises:
        UsageError: another process uses a folder of replies.
        StorageError: the disk refuses.
    """
    rows = sorted(gone)
    samples = read(manifest, _GONE, {"run": run_id, "gone": rows}).to_pylist()
    ids = [sample["sample_id"] for sample in samples]
    about = {content_digest(sample["images"], sample["messages"]) for sample in samples}
    asked = read(manifest, _ASKED, {"run": run_id, "gone": ids})["reply_id"].to_pylist()
    folders = [folder for folder in _reply_folders(run_dir, manifest) if _has_replies(folder)]
    replies = sum(remove_replies(folder, about, set(asked)) for folder in folders)
    return PurgedConstructions(replies, _purge_samples(run_dir / CONSTRUCTED, set(ids), set(gone)))


def _reply_folders(run_dir: Path, manifest: Path) -> list[Path]:
    """Return every folder in which a construction of the run may have kept its replies."""
    with opened(manifest) as con:
        stored = [line["settings"] for line in ask(con, "SELECT settings FROM constructions")]
    named = [json.loads(settings or "{}").get("replies") for settings in stored]
    return [run_dir / REPLIES, *(Path(name) for name in dict.fromkeys(named) if name)]


def _has_replies(folder: Path) -> bool:
    return (folder / FILE_NAME).is_file()


def _purge_samples(folder: Path, ids: Collection[str], rows: Collection[str]) -> int:
    """Remove lines that were made from withdrawn samples; return how many new samples that were.

    Pages that show traces go as a whole, and so do attempts that a killed construction left: the
    next construction writes them again.
    """
    removed = 0
    for left in here(folder).glob("*/.attempts-*"):
        shutil.rmtree(left)
    discard([file for file in files_below(folder) if file.name == PAGE_NAME])
    files: dict[Path, list[Path]] = {}
    for file in sorted(files_below(folder)):
        if file.suffix == ".jsonl":
            files.setdefault(file.parent, []).append(file)
    for listed in files.values():
        said: set[str] = set()
        # The control has reasoning of other samples, so it comes last.
        for file in sorted(listed, key=lambda one: one.name == SHUFFLED_NAME):
            if not exists(file):
                continue
            lines = _lines(fetch(file))
            own = [line for line in lines if _is_of(line, ids, rows)]
            said |= {line["reasoning"] for line in own if line.get("reasoning")}
            control = file.name == SHUFFLED_NAME
            kept = [
                line
                for line in lines
                if not _is_of(line, ids, rows) and not (control and line.get("reasoning") in said)
            ]
            if len(kept) < len(lines):
                removed += len(own) if file.name == SAMPLES_NAME else 0
                _write(file, kept)
    return removed


def _is_of(line: dict[str, Any], ids: Collection[str], rows: Collection[str]) -> bool:
    return line.get("derived_from") in ids or line.get("derived_row") in rows


def _lines(file: Path) -> list[dict[str, Any]]:
    with file.open(encoding="utf-8") as opened_file:
        return [json.loads(line) for line in opened_file if line.strip()]


def _write(file: Path, lines: Iterable[dict[str, Any]]) -> None:
    texts = [json.dumps(line, ensure_ascii=False) + "\n" for line in lines]
    if not texts:
        discard([file])
        return
    with atomic_file(file) as partial:
        partial.write_text("".join(texts), encoding="utf-8")
