"""Look for identifiers in every text and tag of a row, and do what the recipe says about them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, NamedTuple

import pyarrow as pa

from curation.privacy.names import words_of_names
from curation.privacy.pseudonyms import pseudonym
from curation.privacy.settings import PrivacyConfig
from curation.privacy.text import MASKS, Identifier, find_identifiers, masked
from medsift import records
from medsift.manifest.schema import arrow_schema
from medsift.text import clean

FINDINGS: Final = arrow_schema("privacy_findings")
PSEUDONYMS: Final = ("patient_id", "study_id")
UNSEARCHED: Final = ("split", "language", "license", "answer_type", *PSEUDONYMS)
"""Tags without free text; a licence is often a link."""
_KEYS: Final = (
    ("name", r"(?:patient|subject|person|doctor|physician|radiologist|operator|author|first|last"
             r"|full|family|given|sur|nick|maiden)[\s_-]*names?|uploader|uploaded[\s_-]*by|radiologist|referring[\s_-]*\w+"),
    ("date", r"(?:.*[\s_-])?(?:dob|date|datetime|timestamp|birth\w*)(?:[\s_-].*)?|birth\w*"),
    ("phone", r"(?:.*[\s_-])?(?:phone|tel|telephone|mobile|fax)(?:[\s_-].*)?"),
    ("email", r"(?:.*[\s_-])?e[\s_-]?mail(?:[\s_-].*)?"),
    ("address", r"(?:.*[\s_-])?(?:address|street|zip(?:[\s_-]?code)?|post(?:al)?[\s_-]?code)"),
    ("number", r"(?:.*[\s_-])?(?:mrn|ssn|accession|insurance)(?:[\s_-].*)?|(?:patient|record|chart"
               r"|account|encounter|medical[\s_-]record|social[\s_-]security)[\s_-]*(?:id|no|num|number)"),
)  # fmt: skip
_KINDS_OF_KEYS: Final = [(kind, re.compile(pattern, re.IGNORECASE)) for kind, pattern in _KEYS]


class Screened(NamedTuple):
    """Rows after what the recipe says was done, what was found, and rows that are dropped."""

    rows: pa.Table
    found: pa.Table
    decisions: pa.Table


def screen(rows: pa.Table, config: PrivacyConfig, key: bytes | None) -> Screened:
    """Look at each row of ``ROWS`` on its own; the rows come back in their order, all of them.

    Args:
        rows: The rows.
        config: What is done about which class.
        key: The secret of pseudonyms.

    Raises:
        ModelError: the packages of the extra `privacy` are not installed.
        UsageError: a row names a patient or study, and there is no key.
    """
    if config.text == "off":
        return Screened(rows, FINDINGS.empty_table(), records.decisions([]))
    looks = [_Look(row, config, key) for row in rows.to_pylist()]
    found = [finding for look in looks for finding in look.found]
    dropped = [look.decision() for look in looks if look.drops]
    return Screened(
        pa.Table.from_pylist([look.run() for look in looks], schema=rows.schema),
        pa.Table.from_pylist(found, schema=FINDINGS),
        records.decisions(dropped),
    )


@dataclass
class _Look:
    """One row while it is looked at."""

    row: dict[str, Any]
    config: PrivacyConfig
    key: bytes | None
    found: list[dict[str, Any]] = field(default_factory=list)
    names: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        # A name found by evidence in one text is looked for in all of the row's texts.
        for _, text in self._texts():
            of_text = [
                text[one.start : one.end] for one in find_identifiers(text) if one.kind == "name"
            ]
            self.names.update(words_of_names(of_text))
        self.changed = self._changed()
        self.drops = [line["kind"] for line in self.found if line["action"] == "drop"]

    def run(self) -> dict[str, Any]:
        """Return the row with its texts flagged or masked."""
        return self.changed

    def decision(self) -> dict[str, Any]:
        """Return the ledger entry of a row that is dropped."""
        kinds = sorted(set(self.drops))
        count = float(len(self.drops))
        detail = f"{', '.join(kinds)} in the row's texts or tags; see privacy_findings"
        return records.decision(
            self.row["row_id"],
            "ingest",
            records.DROPPED,
            f"privacy:{kinds[0]}",
            value=count,
            detail=detail,
        )

    def _texts(self) -> Iterable[tuple[str, str]]:
        for place, turn in zip(self._places(), self.row["messages"] or (), strict=True):
            yield place, clean(turn["content"] or "")[0]
        for tag in records.TAGS:
            if tag not in UNSEARCHED and self.row[tag]:
                yield tag, clean(self.row[tag])[0]
        for name, value in self._extra().items():
            for text in _strings(value):
                yield f"extra:{name}", clean(text)[0]

    def _places(self) -> list[str]:
        roles = [turn["role"] for turn in self.row["messages"] or ()]
        first = roles.index("user") if "user" in roles else None
        named = {first: "question", len(roles) - 1: "answer"}
        return [named.get(number, f"turn {number}") for number in range(len(roles))]

    def _extra(self) -> dict[str, Any]:
        extra = json.loads(self.row["extra"]) if self.row["extra"] else {}
        return extra if isinstance(extra, dict) else {"": extra}

    def _changed(self) -> dict[str, Any]:
        row = dict(self.row)
        if row["messages"] is not None:
            turns = zip(self._places(), row["messages"], strict=True)
            row["messages"] = [
                {**turn, "content": self._treated(place, turn["content"])} for place, turn in turns
            ]
        for tag in records.TAGS:
            if tag in PSEUDONYMS:
                row[tag] = self._pseudonym(tag, row[tag])
            elif tag not in UNSEARCHED:
                row[tag] = self._treated(tag, row[tag])
        if row["extra"]:
            extra = {name: self._cell(name, value) for name, value in self._extra().items()}
            if extra != self._extra():
                row["extra"] = json.dumps(extra, sort_keys=True, ensure_ascii=False)
        for place in ("notes", "detail"):
            row[place] = _mapped(row[place], partial(self._treated, place))
        return row

    def _treated(self, place: str, raw: str | None) -> str | None:
        """Return a text after what is done about its identifiers; each becomes a finding."""
        if not raw:
            return raw
        text = clean(raw)[0]
        taken = []
        for one in find_identifiers(text, self.names):
            action = self.config.text_action(one.kind)
            if action != "off":
                self._add(place, one, action)
            if action == "mask":
                taken.append(one)
        return masked(text, taken) if taken else raw

    def _cell(self, name: str, value: Any) -> Any:
        """Return a value of an extra column; the name of some columns says what all of it is."""
        place = f"extra:{name}"
        kind = next((kind for kind, names in _KINDS_OF_KEYS if names.fullmatch(name)), None)
        if kind is None or isinstance(value, bool) or value in (None, "", [], {}):
            return _mapped(value, lambda text: self._treated(place, text))
        action = self.config.text_action(kind)
        if action != "off":
            self._add(place, Identifier(kind, 0, len(str(value))), action)
        return MASKS.get(kind, f"[{kind}]") if action == "mask" else value

    def _pseudonym(self, tag: str, value: str | None) -> str | None:
        action = self.config.text_action("number")
        if not value or action == "off":
            return value
        self._add(tag, Identifier("number", 0, len(value)), "mask" if action == "mask" else "flag")
        return pseudonym(self.key, tag, value, self.config) if action == "mask" else value

    def _add(self, place: str, one: Identifier, action: str) -> None:
        position = {"start": one.start, "length": one.end - one.start}
        where = {"place": place, "row_id": self.row["row_id"]}
        self.found.append(where | {"kind": one.kind, "action": action} | position)


def _strings(value: Any) -> Iterable[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for part in value.values():
            yield from _strings(part)
    elif isinstance(value, list):
        for part in value:
            yield from _strings(part)


def _mapped(value: Any, change: Callable[[str], str | None]) -> Any:
    """Return a JSON-able value with a function applied to every text in it."""
    if isinstance(value, str):
        return change(value)
    if isinstance(value, Mapping):
        return {name: _mapped(part, change) for name, part in value.items()}
    if isinstance(value, list):
        return [_mapped(part, change) for part in value]
    return value
