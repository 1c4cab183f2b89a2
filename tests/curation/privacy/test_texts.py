"""Identifiers in texts, in several orders, scripts and languages; and words that are none."""

from __future__ import annotations

import gzip
import json
from itertools import pairwise
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curation.phantoms.identifiers import Plant, plant_texts
from curation.privacy.sample_texts import screen
from curation.privacy.settings import TEXT_KINDS, PrivacyConfig
from curation.privacy.text import find_identifiers, masked
from curation.recipe import parse_recipe
from medsift import records
from tests.expect import raises_code

pytest.importorskip("faker", reason="needs the extra 'privacy'")
pytest.importorskip("phonenumbers", reason="needs the extra 'privacy'")
KEY = b"a secret of the tests"


def kinds(text: str) -> list[str]:
    return [one.kind for one in find_identifiers(text)]


@pytest.mark.parametrize("plant", plant_texts(1), ids=lambda plant: plant.template)
def test_every_template_of_planted_identifiers_is_found_and_masked(plant: Plant):
    start = plant.text.index(plant.identifier)
    end = start + len(plant.identifier)
    found = find_identifiers(plant.text)
    assert any(one.kind == plant.kind and one.start <= start and one.end >= end for one in found)
    if plant.kind != "age":
        assert plant.identifier not in masked(plant.text, found)


@pytest.mark.parametrize(
    "text",
    [
        "Crohn disease, Parkinson's disease and a Baker cyst",
        "May Gray's anatomy help? The patient may 3 times a day take it.",
        "Hodgkin lymphoma; Cushing syndrome; Charles Bonnet syndrome; Pierre Robin sequence",
        "T2-weighted MR, TR 4000 TE 100, 512 x 512, L5/S1, T12-L1, C3/4",
        "BP 120/80, 100-200 mg, ratio 1:1000, 1990-2000, 3.5 cm, 10^9 cells",
        "PMID 12345678, NCT01234567, EC 3.1.1.11, chi = 10.1, p = 0.05",
        "Is there a mass in the left lung? Yes, 2 may be seen in segment 3.",
        "患者有无肺结节?左肺见3个结节。 A 45-year-old man. 89 years old",
        "Spinal Cord Injury, Side Effects, Magnetic Resonance Imaging of the Brain",
        "",
    ],
)
def test_medical_words_are_no_identifiers(text: str):
    assert kinds(text) == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ＭＲＮ：００１２３４５", ["number"]),  # wide signs
        ("Visit on 03.04.2019 and 2019/4/3, not 13.13.2019", ["date", "date"]),
        ("令和5年3月1日と１２月３日", ["date", "date"]),
        ("born ٣/٤/١٩٧٠", ["date"]),
        ("Smith, John seen by Dr. J. Whitmore-Jones", ["name", "name"]),
        ("a@b.org, www.b.org/x and https://b.org/cases/12.", ["email", "url", "case_link"]),
        ("110105194912310021 或 11010519491231002X", ["number"]),  # the check digit decides
        ("uid 1.2.840.113619.2.55.3.604688119.971", ["number"]),
    ],
)
def test_orders_and_scripts(text: str, expected: list[str]):
    assert kinds(text) == expected


@given(st.text(max_size=200))
@settings(max_examples=150, deadline=None)
def test_findings_are_ordered_parts_of_any_text(text: str):
    found = find_identifiers(text)
    assert all(0 <= one.start < one.end <= len(text) and one.kind in TEXT_KINDS for one in found)
    assert all(one.end <= other.start for one, other in pairwise(found))
    kept = masked(text, found)
    assert masked(text, []) == text
    assert (kept == text) == (not found) or any(one.kind == "age" for one in found)


def rows(*changes: dict) -> pa.Table:
    lines = []
    for number, change in enumerate(changes):
        turns = [("user", "Is there a mass?"), ("assistant", "no")]
        row = dict.fromkeys(records.ROWS.names)
        row |= {"row_id": f"s:f:{number}", "source": "s", "file": "f", "index": number}
        row |= {"messages": [{"role": role, "content": text} for role, text in turns]}
        lines.append(row | {"images": [], "notes": []} | change)
    return pa.Table.from_pylist(lines, schema=records.ROWS)


def said(question: str, answer: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]


def test_a_name_with_evidence_in_one_text_is_masked_in_all_texts_of_the_row():
    table = rows(
        {"messages": said("Mr. Velbarow coughs.", "VELBAROW has a mass; Velbarow smokes.")},
        {"messages": said("Is brown fat seen?", "Velbarow, no")},
    )
    out = screen(table, PrivacyConfig(text="mask"), KEY).rows["messages"].to_pylist()
    assert out[0] == said("Mr. [name] coughs.", "[name] has a mass; [name] smokes.")
    assert out[1] == said("Is brown fat seen?", "Velbarow, no")  # another row, without evidence


def test_actions_go_by_class():
    text = "Mr. Velbarow, see https://b.org, seen on 2019-04-03"
    table = rows({"messages": said(text, "no")}, {})
    config = PrivacyConfig(text="mask", kinds={"url": "flag", "date": "off"})
    out = screen(table, config, KEY)
    assert out.rows["messages"][0].as_py()[0]["content"] == text.replace("Velbarow", "[name]")
    listed = out.found.select(["kind", "action", "start", "length"]).to_pylist()
    assert [tuple(line.values()) for line in listed] == [
        ("name", "mask", 4, 8),
        ("url", "flag", 18, 13),
    ]
    dropped = screen(table, PrivacyConfig(text="flag", kinds={"name": "drop"}), KEY)
    assert dropped.decisions.select(["row_id", "action", "reason"]).to_pylist() == [
        {"row_id": "s:f:0", "action": "dropped", "reason": "privacy:name"}
    ]
    assert dropped.rows.num_rows == 2  # the ledger needs every row


def test_tags_extra_columns_and_notes_are_masked_and_licences_are_not():
    extra = {
        "patient_name": "Zed",
        "dob": 19650812,
        "options": ["A: Mr. Torlorman", "B: no"],
        "n": 3,
    }
    table = rows(
        {
            "extra": json.dumps(extra),
            "modality": "ct of Mr. Torlorman",
            "license": "https://creativecommons.org/licenses/by/4.0/",
            "notes": ["answer: 'Mr. Torlorman' read as text"],
            "patient_id": "77",
        }
    )
    [row] = screen(table, PrivacyConfig(text="mask"), KEY).rows.to_pylist()
    assert json.loads(row["extra"]) == {
        **{"patient_name": "[name]", "dob": "[date]", "options": ["A: Mr. [name]", "B: no"], "n": 3}
    }
    assert row["modality"] == "ct of Mr. [name]"
    assert row["license"] == "https://creativecommons.org/licenses/by/4.0/"
    assert row["notes"] == ["answer: 'Mr. [name]' read as text"]
    assert row["patient_id"].startswith("patient-")


def test_pseudonyms_depend_on_the_key_and_need_one():
    table = rows({"patient_id": "77"}, {"patient_id": "77"}, {"study_id": "77"})
    one, two = (screen(table, PrivacyConfig(text="mask"), key).rows for key in (KEY, b"another"))
    first, second, _ = one["patient_id"].to_pylist()
    assert first == second != one["study_id"][2].as_py()
    assert first not in two["patient_id"].to_pylist()
    with raises_code("privacy_key_missing", variable="MEDSIFT_PRIVACY_KEY"):
        screen(table, PrivacyConfig(text="mask"), None)


def test_off_changes_nothing_and_null_rows_pass():
    table = rows({"messages": None, "error": "bad", "detail": "Mr. Velbarow"}, {"extra": "[]"})
    assert screen(table, PrivacyConfig(), None).rows.equals(table)
    out = screen(table, PrivacyConfig(text="mask"), KEY).rows
    assert out["detail"].to_pylist() == ["Mr. [name]", None]


@pytest.mark.parametrize("kinds", ["{nose: mask}", "{side: mask}", "{name: burn}"])
def test_the_recipe_refuses_unknown_classes_and_masked_markers(kinds: str):
    text = "name: a\nsources: [{name: s, reader: table, path: x}]\nencoder: {kind: embedded}\n"
    with raises_code("recipe_invalid"):
        parse_recipe(f"{text}privacy: {{text: mask, kinds: {kinds}}}")


@pytest.mark.nightly
def test_few_names_are_seen_in_medical_prose(medical_text: Path):
    with gzip.open(medical_text / "medquad_answered.jsonl.gz", "rt", encoding="utf-8") as lines:
        texts = [json.loads(line)["answer"] for place, line in enumerate(lines) if place % 20 == 0]
    named = sum("name" in kinds(text) for text in texts)
    assert named / len(texts) < 0.02
