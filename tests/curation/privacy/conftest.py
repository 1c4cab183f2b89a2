"""A small set with planted identifiers, curated once with everything masked."""

from __future__ import annotations

import importlib.util
import json
from dataclasses import dataclass
from pathlib import Path

import pytest

from curation.phantoms.identifiers import PlantedPicture, plant_picture, plant_texts
from curation.pipeline import RunResult, curate
from curation.recipe import Recipe, parse_recipe
from medsift.execution import LocalExecutor

SEED = 5
KEY = "a secret of the tests"
RECIPE = """
name: masked
sources:
  - name: clinic
    reader: table
    path: {root}/rows.jsonl
    image_root: {root}/images
    columns: {{note: note, mrn: mrn, uploader: uploader}}
encoder: {{kind: embedded}}
cache: {cache}
failures: {{tolerance: 0.5}}
privacy: {{text: mask, pictures: mask}}
"""


@dataclass(frozen=True)
class PlantedSet:
    """The folder of a set, what was drawn into its pictures, and every planted identifier."""

    root: Path
    pictures: list[PlantedPicture]
    identifiers: set[str]


@pytest.fixture(scope="session")
def planted(tmp_path_factory: pytest.TempPathFactory) -> PlantedSet:
    """Four pictures and the texts of all templates, in questions, answers, tags and columns."""
    for package in ("rapidocr_onnxruntime", "faker", "phonenumbers"):
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"{package} is not installed: pip install 'medsift[privacy]'")
    root = tmp_path_factory.mktemp("planted")
    (root / "images").mkdir()
    pictures = [plant_picture(SEED, index) for index in range(4)]
    for number, picture in enumerate(pictures):
        picture.image.save(root / "images" / f"{number}.png")
    plants = [plant for plant in plant_texts(SEED) if plant.kind != "age"]
    # Short runs of digits also occur inside other numbers.
    identifiers = {plant.identifier for plant in plants if len(plant.identifier) > 5}
    identifiers = {one for one in identifiers if len(one) > 7 or not one.isdigit()}
    for picture in pictures:
        drawn = [text for kind, text, _ in picture.lines if kind in ("name", "date", "number")]
        identifiers.update(drawn)
    rows = []
    for number, plant in enumerate(plants):
        row = {
            "question": f"Is there a mass? ({number})",
            "answer": "no",
            "images": [f"{number % 4}.png"],
        }
        row |= {
            "patient_id": f"ZQ-PATIENT-{number % 5}",
            "mrn": f"MZ88{number:05d}Q",
            "split": "train",
        }
        row |= {"uploader": f"Xanthippe Brumwell {number}", "note": None, "license": "CC BY 4.0"}
        where = ("question", "answer", "note", "modality")[number % 4]
        rows.append(
            row | {where: f"{plant.text} ({number})" if where != "modality" else plant.text}
        )
        identifiers |= {row["patient_id"], row["mrn"], row["uploader"]}
    lines = [json.dumps(row, ensure_ascii=False) for row in rows]
    # A row that fails, and a message that quotes what it has.
    lines += [json.dumps({"question": "Who is DOE^JANE?", "answer": None, "images": ["0.png"]})]
    lines += [
        '{"question": "Seen by Dr. Vornholt Ilmenau", "answer": "yes", "images": ["gone.png"]}'
    ]
    identifiers |= {"DOE^JANE", "Vornholt", "Ilmenau"}
    (root / "rows.jsonl").write_text("\n".join(lines), encoding="utf-8")
    return PlantedSet(root, pictures, identifiers)


@pytest.fixture(scope="session")
def masked_recipe(planted: PlantedSet, vectors: Path) -> Recipe:
    """The recipe that masks everything."""
    return parse_recipe(RECIPE.format(root=planted.root, cache=vectors))


@pytest.fixture(scope="session")
def masked_run(masked_recipe: Recipe, tmp_path_factory: pytest.TempPathFactory) -> RunResult:
    """The set, curated with everything masked."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MEDSIFT_PRIVACY_KEY", KEY)
        return curate(masked_recipe, tmp_path_factory.mktemp("masked") / "run", LocalExecutor())
