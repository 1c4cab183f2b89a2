"""The card of an exported data set: filled from the manifest, valid, and without placeholders."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from curation.exports.licences import hub_licences, licence_url
from curation.exports.write_export import export


@pytest.fixture(scope="module")
def card(manifest: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("card") / "hf"
    export(manifest, "hf", folder, record=False)
    return (folder / "README.md").read_text("utf-8")


def head(card: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(card.split("---\n")[1])
    return found


def test_head_is_what_hubs_read(card):
    from huggingface_hub import DatasetCard

    assert head(card) == {
        "pretty_name": "test: small",
        "license": ["cc-by-4.0", "other", "unknown"],
        "license_name": "PhysioNet Restricted",
        "language": ["en"],
        "task_categories": ["visual-question-answering"],
        "tags": ["medical", "medsift"],
        "size_categories": ["n<1K"],
        "configs": [
            {
                "config_name": "default",
                "data_files": [{"split": "train", "path": "data/*.parquet"}],
            }
        ],
    }
    assert DatasetCard(card).data.license == ["cc-by-4.0", "other", "unknown"]


def test_card_says_what_it_is_and_how_it_was_made(card):
    assert (
        "# test: small\n\n9 samples of 12, selected by facility_location to a budget of 75%."
        in card
    )
    for line in (
        "| run_id | run-a |",
        "| recipe_fingerprint | r1 |",
        "| input_fingerprint | i1 |",
        "| selection_method | facility_location |",
        "| selection_budget | 75% |",
        '| settings | {"kind": "facility_location", "quality_weight": 0.5} |',
        "| images | 10 |",
        "| text-only samples | 1 |",
        "| estimated tokens | 123 |",
        "| coverage of the pool's neighbour graph | 0.875 |",
        "| s | table | PhysioNet Restricted | 2 |",
        "| t | unknown | unknown | 2 |",
        "| pre\\|sence | 9 |",
        "| ingest | 9 | 9 | 0 | 0 |",
    ):
        assert line in card
    assert "3 samples name no licence" in card
    assert "/home/someone" not in card


def test_strata_stand_beside_what_the_pool_has(card):
    table = card.split("## Strata\n")[1].split("##")[0]
    lines = [
        [cell.strip() for cell in line.split("|")[1:-1]] for line in table.strip().splitlines()
    ]
    assert lines[0] == ["stratum", "pool", "selected", "weight", "share"]
    assert ["a", "9", "9", "49.5", "100.0%"] in lines[2:]


def test_what_a_source_names_is_text_on_the_card(samples, write_selection, tmp_path):
    from markdown_it import MarkdownIt

    named = "[x](javascript:alert(1)) ![y](http://h/p.png) <b>z</b> | `w`"
    tags = ("license", "source", "modality", "task_type", "body_part")
    lines = [samples[0] | dict.fromkeys(tags, named)]
    export(write_selection(tmp_path / "m.duckdb", lines), "hf", tmp_path / "hf", record=False)
    text = (tmp_path / "hf" / "README.md").read_text("utf-8").split("---\n", 2)[2]
    parser = MarkdownIt("commonmark", {"html": True}).enable("table")
    cells = [token for token in parser.parse(text) if token.type == "inline"]
    assert sum(cell.content.count("alert(1)") for cell in cells) >= 3
    live = {"link_open", "image", "html_inline"}
    assert not [child for cell in cells for child in cell.children or () if child.type in live]


def test_nothing_is_left_to_be_filled_in(card):
    assert not re.search(
        r"todo|tbd|fixme|lorem|\[more|\{\{|<[a-z]|needed\]|\| none \|", card.lower()
    )


def test_code_that_the_card_shows_runs(card, manifest, tmp_path, monkeypatch):
    export(manifest, "hf", tmp_path / "hf", record=False)
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    [code] = re.findall(r"```python\n(.*?)```", card, re.DOTALL)
    names: dict[str, Any] = {}
    exec(code.replace("path/to/this/folder", str(tmp_path / "hf")), names)
    assert len(names["samples"]) == 9


@pytest.mark.parametrize(
    ("names", "head"),
    [
        (["CC0 1.0", "cc-by-sa-4.0"], {"license": ["cc-by-sa-4.0", "cc0-1.0"]}),
        (["ODbL-1.0"], {"license": ["odbl"]}),
        (["Our own"], {"license": ["other"], "license_name": "Our own"}),
        ([None], {"license": ["unknown"]}),
        ([], {"license": ["unknown"]}),
        (["MIT", None], {"license": ["mit", "unknown"]}),
    ],
)
def test_licences_are_spelt_as_the_hub_spells_them(names, head):
    assert hub_licences(names) == head


def test_licences_link_to_their_text_where_there_is_one():
    assert licence_url("cc-by_4.0") == "https://spdx.org/licenses/CC-BY-4.0.html"
    assert licence_url("data use agreement") == "data use agreement"
