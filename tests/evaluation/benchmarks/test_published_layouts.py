"""Every benchmark from a small copy in the layout it was published in."""

from __future__ import annotations

import base64
import io
import json
import zipfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

from evaluation.records import ITEMS
from tests.expect import raises_code

EMBEDDED = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


def parquet(columns):
    packed = io.BytesIO()
    fields = [(name, EMBEDDED if "image" in name else pa.string()) for name in columns]
    schema = pa.schema(fields)
    pq.write_table(pa.table(columns, schema=schema), packed, row_group_size=2)
    return packed.getvalue()


def archive(members):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as file:
        for name, data in members.items():
            file.writestr(name, data)
    return packed.getvalue()


def items(found):
    assert found.items.schema.equals(ITEMS)
    assert found.rows == found.items.num_rows
    rows = found.items.to_pylist()
    for row in rows:
        assert row["benchmark"] == found.name
        assert all(Path(ref).is_file() for ref in row["images"])
    return {row["item_id"]: row for row in rows}


def embedded(*pictures):
    return [{"bytes": data, "path": "img.jpg"} for data in pictures]


@pytest.mark.parametrize(("kind", "modality"), [("path_vqa", "pathology"), ("vqa_rad", None)])
def test_tables_with_pictures_inside(write, load, picture_bytes, kind, modality):
    one, two = picture_bytes(1), picture_bytes(2)
    columns = {
        "image": embedded(one, two, one),
        "question": ["is this a gland?", "what is shown?", "where is it?"],
        "answer": ["yes", "mucosa", "in the stomach"],
    }
    write("data/train-00000-of-00001.parquet", parquet(columns))
    folder = write("data/test-00000-of-00001.parquet", parquet(columns))
    found = load(kind=kind, path=str(folder))
    by_gold = {row["gold"]: row for row in items(found).values()}
    assert (found.name, found.rows, found.images) == (kind, 3, 2)
    assert by_gold["yes"]["answer_type"] == "closed"
    assert by_gold["mucosa"]["answer_type"] == "open"
    assert by_gold["mucosa"]["modality"] == modality
    assert by_gold["yes"]["image_id"] == by_gold["in the stomach"]["image_id"]
    assert Path(by_gold["mucosa"]["images"][0]).read_bytes() == two


def test_items_without_an_id_keep_theirs_in_whatever_order_and_file(write, load, picture_bytes):
    pictures = embedded(picture_bytes(1), picture_bytes(2), picture_bytes(1), picture_bytes(1))
    columns = {
        "image": pictures,
        "question": ["a?", "a?", "a?", "b?"],
        "answer": ["yes", "yes", "yes", "yes"],
    }
    folder = write("data/test-00000-of-00002.parquet", parquet(columns))
    whole = load(kind="path_vqa", path=str(folder))
    halves = [
        {name: column[at] for name, column in columns.items()} for at in (slice(2, 4), slice(0, 2))
    ]
    for number, half in enumerate(halves):
        write(f"data/test-0000{number}-of-00002.parquet", parquet(half))
    split = load(kind="path_vqa", path=str(folder))
    assert whole.rows == 4
    assert split.items.equals(whole.items)
    assert split.content_hash == whole.content_hash
    assert len(split.files) == 2


SLAKE = {
    "img_id": 1,
    "img_name": "xmlab1/source.jpg",
    "question": "Does the left lung look abnormal?",
    "answer": "Yes",
    "q_lang": "en",
    "location": "Lung",
    "modality": "X-Ray",
    "answer_type": "CLOSED",
    "base_type": "vqa",
    "content_type": "Abnormality",
    "triple": ["vhead", "_", "_"],
    "qid": 11934,
}
ORGANS = [{"Left Lung": [4, 5, 10, 10]}, {"Heart": [0, 0, 8, 4]}, {"Right Lung": [20, 0, 50, 10]}]


@pytest.mark.parametrize("packed", [False, True])
def test_slake_in_either_language_packed_or_not(write, load, picture_bytes, packed):
    chinese = SLAKE | {"question": "这是什么模态?", "answer": "X光", "q_lang": "zh", "qid": 5}
    modality = SLAKE | {
        "question": "What modality is used?",
        "answer": "X-Ray",
        "answer_type": "OPEN",
        "content_type": "Modality",
        "qid": 7,
    }
    pictures = {
        "imgs/xmlab1/source.jpg": picture_bytes(kind="JPEG"),
        "imgs/xmlab1/detection.json": json.dumps(ORGANS).encode(),
    }
    if packed:
        write("imgs.zip", archive(pictures))
    else:
        for name, data in pictures.items():
            write(name, data if name.endswith(".jpg") else json.loads(data))
    folder = write("test.json", [SLAKE, chinese, modality])
    english = load(kind="slake", path=str(folder))
    found = items(english)
    assert (english.name, english.rows, english.images) == ("slake_en", 2, 1)
    first = found["11934"]
    assert (first["modality"], first["body_part"], first["task_type"]) == (
        "xray",
        "lung",
        "abnormality",
    )
    assert (first["answer_type"], first["gold"]) == ("closed", "Yes")
    # Only the region that is asked about, of a picture of 40 by 20 pixels.
    assert json.loads(first["extra"])["boxes"] == [[0.1, 0.25, 0.35, 0.75]]
    assert "boxes" not in json.loads(found["7"]["extra"])
    other = load(kind="slake", path=str(folder), language="zh")
    assert other.name == "slake_zh"
    assert items(other)["5"]["language"] == "zh"
    assert other.content_hash != english.content_hash


def test_a_folder_and_its_archive_are_the_same_benchmark(write, load, picture_bytes):
    picture = picture_bytes(kind="JPEG")
    folder = write("test.json", [SLAKE])
    write("imgs.zip", archive({"imgs/xmlab1/source.jpg": picture}))
    packed = load(kind="slake", path=str(folder))
    write("imgs/xmlab1/source.jpg", picture)
    loose = load(kind="slake", path=str(folder))
    assert packed.content_hash == loose.content_hash
    assert str(folder) in loose.items["images"][0].as_py()[0]


CLEAN = (
    "Figure_path,Question,Answer,Choice A,Choice B,Choice C,Choice D,Answer_label\n"
    'PMC1_F1.jpg,What is shown?,"Liver, normal"," A:Heart"," B:Liver, normal",C:Lung,D:Bone,B\n'
)
UNCHECKED = (
    "index,Figure_path,Caption,Question,Choice A,Choice B,Choice C,Choice D,Answer,split\n"
    "17,PMC2_F1.jpg,A caption,What is marked?, A: Aorta, B: Vein, C: Nerve, D: Bone,D,test\n"
)


def test_the_two_sets_of_pmc_vqa_are_two_benchmarks(write, load, picture_bytes):
    write("test_2.csv", UNCHECKED)
    write("images_2.zip", archive({"figures/PMC2_F1.jpg": picture_bytes(2, "JPEG")}))
    write("images.zip", archive({"images/PMC1_F1.jpg": picture_bytes(1, "JPEG")}))
    folder = write("test_clean.csv", CLEAN)
    clean = load(kind="pmc_vqa", path=str(folder), test="test_clean")
    unchecked = load(kind="pmc_vqa", path=str(folder), test="test_2")
    assert (clean.name, clean.files) == ("pmc_vqa_test_clean", ("test_clean.csv",))
    assert (unchecked.name, unchecked.files) == ("pmc_vqa_test_2", ("test_2.csv",))
    (first,) = items(clean).values()
    assert first["options"] == ["Heart", "Liver, normal", "Lung", "Bone"]
    assert (first["gold"], first["answer_type"]) == ("B", "choice")
    second = items(unchecked)["17"]
    assert (second["options"][3], second["gold"]) == ("Bone", "D")


def test_pmc_vqa_asks_which_set_is_meant(load):
    with pytest.raises(ValidationError) as error:
        load(kind="pmc_vqa")
    assert [fault["loc"] for fault in error.value.errors()] == [("pmc_vqa", "test")]


OMNI = {
    "dataset": "ACRIMA",
    "question_id": "ACRIMA_0000",
    "question_type": "Modality Recognition",
    "question": "What imaging technique was employed?",
    "gt_answer": "Fundus imaging",
    "image_path": "Images/ACRIMA/Im553_g_ACRIMA.png",
    "option_A": "PET scan",
    "option_B": "CT scan",
    "option_C": "Blood test",
    "option_D": "Fundus imaging.",
    "modality_type": "Fundus Photography",
}


@pytest.mark.parametrize("layout", ["folder", "top folder", "archive"])
def test_omnimedvqa_of_several_data_sets(write, load, picture_bytes, layout):
    other = {
        "dataset": "Chest CT Scan",
        "question_id": "Chest CT Scan_0001",
        "question_type": "Disease Diagnosis",
        "question": "Is this normal?",
        "gt_answer": "No",
        "image_path": "Images/Chest CT Scan/a.png",
        "option_A": "Yes",
        "option_B": "No",
        "modality": "CT(Computed Tomography)",
    }
    broken = OMNI | {"question_id": "ACRIMA_0001", "gt_answer": "Magic"}
    content = {
        "Images/ACRIMA/Im553_g_ACRIMA.png": picture_bytes(1),
        "Images/Chest CT Scan/a.png": picture_bytes(2),
        "QA_information/Open-access/ACRIMA.json": json.dumps([OMNI, broken]).encode(),
        "QA_information/Open-access/Chest CT Scan.json": json.dumps([other]).encode(),
        "QA_information/Restricted-access/AIDA.json": json.dumps([OMNI]).encode(),
    }
    if layout == "archive":
        packed = archive({f"OmniMedVQA/{name}": data for name, data in content.items()})
        folder = write("OmniMedVQA.zip", packed)
    else:
        top = "OmniMedVQA/" if layout == "top folder" else ""
        for name, data in content.items():
            given = json.loads(data) if name.endswith(".json") else data
            folder = write(f"{top}{name}", given)
    found = load(kind="omni_med_vqa", path=str(folder))
    rows = items(found)
    assert (found.rows, found.images, len(found.files)) == (2, 2, 2)
    assert found.unusable == {"its gold is none of the options": 1}
    first, second = rows["ACRIMA_0000"], rows["Chest CT Scan_0001"]
    assert (first["gold"], len(first["options"])) == ("D", 4)
    assert (first["modality"], first["task_type"]) == ("fundus_photography", "modality_recognition")
    assert (second["gold"], second["options"], second["modality"]) == ("B", ["Yes", "No"], "ct")


SUBJECTS = (
    "Basic_Medical_Science",
    "Clinical_Medicine",
    "Diagnostics_and_Laboratory_Medicine",
    "Pharmacy",
    "Public_Health",
)


def mmmu(subject, **changes):
    row = {
        "id": f"validation_{subject}_1",
        "question": "<image 1> What does <image 2> show?",
        "options": "['A \\'grey\\' liver', \"the heart\", 'see <image 3>']",
        "explanation": "",
        **{f"image_{number}": None for number in range(1, 8)},
        "img_type": "['Pathological Images']",
        "answer": "B",
        "topic_difficulty": "Medium",
        "question_type": "multiple-choice",
        "subfield": "Anatomy",
    }
    return row | changes


def write_mmmu(write, pictures, **changes):
    for subject in SUBJECTS:
        row = mmmu(subject, **pictures)
        if subject == "Pharmacy":
            row |= changes
        columns = {name: [value] for name, value in row.items()}
        name = f"{subject}/validation-00000-of-00001.parquet"
        schema = pa.schema(
            [(key, EMBEDDED if key[-1].isdigit() else pa.string()) for key in columns]
        )
        packed = io.BytesIO()
        pq.write_table(pa.table(columns, schema=schema), packed)
        folder = write(name, packed.getvalue())
    return folder


@pytest.fixture
def three_pictures(picture_bytes):
    return {
        f"image_{number}": {"bytes": picture_bytes(number), "path": "x.png"} for number in (1, 2, 3)
    }


def test_the_medical_subjects_of_mmmu(write, load, three_pictures):
    folder = write_mmmu(
        write,
        three_pictures,
        question_type="open",
        options="[]",
        answer="['12.5', 'about 12']",
        question="How much? <image 1>",
        img_type="['Tables', 'Body Scans: MRI, CT.']",
    )
    found = load(kind="mmmu_medicine", path=str(folder))
    rows = items(found)
    assert (found.name, found.rows, found.images, len(found.files)) == ("mmmu_medicine", 5, 3, 5)
    first = rows["validation_Clinical_Medicine_1"]
    assert first["options"] == ["A 'grey' liver", "the heart", "see <image 3>"]
    assert (first["gold"], first["answer_type"], len(first["images"])) == ("B", "choice", 3)
    assert (first["task_type"], first["modality"]) == ("clinical_medicine", "pathological_images")
    opened = rows["validation_Pharmacy_1"]
    assert (opened["gold"], opened["answer_type"], opened["options"]) == ("12.5", "open", [])
    assert json.loads(opened["extra"])["alternatives"] == ["about 12"]


def test_a_picture_that_a_question_speaks_of_but_does_not_bring_is_missing(
    write, load, three_pictures
):
    folder = write_mmmu(write, three_pictures, question="Compare <image 1> with <image 5>.")
    with raises_code("benchmark_incomplete", missing=1, items=5) as error:
        load(kind="mmmu_medicine", path=str(folder))
    assert error.value.values["first"].startswith("item validation_Ph")


def test_a_split_without_answers_is_refused(write, load, three_pictures):
    for subject in SUBJECTS:
        folder = write_mmmu(write, three_pictures)
        row = mmmu(subject, **three_pictures, answer="?", question_type="open")
        columns = {name: [value] for name, value in row.items()}
        schema = pa.schema(
            [(key, EMBEDDED if key[-1].isdigit() else pa.string()) for key in columns]
        )
        packed = io.BytesIO()
        pq.write_table(pa.table(columns, schema=schema), packed)
        write(f"{subject}/dev-00000-of-00001.parquet", packed.getvalue())
    with raises_code("benchmark_unreadable", items=0, unusable=["no gold is published"]):
        load(kind="mmmu_medicine", path=str(folder), split="dev")


def test_a_missing_subject_is_named(write, load, three_pictures):
    folder = write_mmmu(write, three_pictures)
    (folder / "Pharmacy/validation-00000-of-00001.parquet").unlink()
    with raises_code("benchmark_missing", patterns=["Pharmacy/validation-*.parquet"]):
        load(kind="mmmu_medicine", path=str(folder))


@pytest.mark.parametrize("name", ["GMAI_mm_bench_VAL.tsv", "GMAI-MMBench_VAL.tsv"])
def test_gmai_mmbench_with_pictures_in_base64(write, load, picture_bytes, name):
    columns = (
        "index\timage\tquestion\tA\tB\tC\tD\tE\tanswer\tcategory\tclinical VQA task\tdepartment\t"
        "perceptual granularity\tmodality\tsplit"
    )
    # A picture longer than the 131,072 characters that the csv module allows by default.
    large = picture_bytes(1, size=(500, 400))
    text = base64.b64encode(large).decode()
    assert len(text) > 200_000
    lines = [
        f'3\t{text}\t"What is ""this""?"\tcyst\tpolyp\t\t\t\tB\tpolyp\tDD\tGastro\timage\t'
        "X-ray\tval",
        f"4\t{base64.b64encode(picture_bytes(2)).decode()}\tWhich?\ta\tb\tc\td\tNone\tE\tx\tAR\t"
        "Eye\tmask\tOCT (Optical Coherence Tomography)\tval",
    ]
    folder = write(name, "\n".join([columns, *lines]) + "\n")
    found = load(kind="gmai_mmbench", path=str(folder))
    rows = items(found)
    assert (found.name, found.rows, found.images) == ("gmai_mmbench_val", 2, 2)
    first, second = rows["3"], rows["4"]
    assert (first["question"], first["options"]) == ('What is "this"?', ["cyst", "polyp"])
    assert (first["gold"], first["modality"], first["task_type"]) == ("B", "xray", "dd")
    assert Path(first["images"][0]).read_bytes() == large
    assert (second["options"][4], second["gold"], second["modality"]) == ("None", "E", "oct")


EXPERT = {
    "id": "MM-0",
    "question": "Which step helps most?\nAnswer Choices: (A) Repair (B) Plication (C) Graft",
    "options": {"A": "Repair", "B": "Plication", "C": "Graft"},
    "label": "A",
    "images": ["MM-0-a.jpeg", "MM-0-b.jpeg"],
    "medical_task": "Treatment",
    "body_system": "Skeletal",
    "question_type": "Reasoning",
}


@pytest.mark.parametrize("prefix", ["images/", ""])
def test_medxpertqa_shows_all_pictures_of_a_question(write, load, picture_bytes, prefix):
    pictures = {
        f"{prefix}MM-0-a.jpeg": picture_bytes(1, "JPEG"),
        f"{prefix}MM-0-b.jpeg": picture_bytes(2, "JPEG"),
    }
    write("images.zip", archive(pictures))
    folder = write("MM/test.jsonl", [EXPERT])
    found = load(kind="medxpertqa_mm", path=str(folder))
    item = items(found)["MM-0"]
    assert (found.name, found.rows, found.images) == ("medxpertqa_mm", 1, 2)
    assert item["question"] == "Which step helps most?"
    assert item["options"] == ["Repair", "Plication", "Graft"]
    assert [Path(ref).read_bytes() for ref in item["images"]] == list(pictures.values())
    assert (item["body_part"], item["task_type"]) == ("skeletal", "treatment")


def test_an_item_that_lists_no_picture_is_never_asked_as_text(write, load):
    folder = write("MM/test.jsonl", [EXPERT | {"images": []}])
    first = "item MM-0: it names no image"
    with raises_code("benchmark_incomplete", missing=1, items=1, first=first):
        load(kind="medxpertqa_mm", path=str(folder))
