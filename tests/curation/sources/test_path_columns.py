"""What the place of a file says: its name, partition keys and split, in every reader."""

from __future__ import annotations

import io
import json
import logging
import pickle
import tarfile
from pathlib import Path

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from curation.ingest import IngestConfig, ingest
from curation.sources.hf import HfReader
from curation.sources.image_folder import ImageFolderReader
from curation.sources.llava import LlavaReader
from curation.sources.messages import MessagesReader
from curation.sources.path_columns import folders_of, origins, partitions
from curation.sources.table import TableReader
from curation.sources.webdataset import WebDatasetReader
from medsift.images.blob_store import BlobStore
from tests.expect import raises_code

CHAT = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]
PAIR = {"question": "q", "answer": "a"}


def samples_of(reader, folder):
    reader = pickle.loads(pickle.dumps(reader))
    blobs = BlobStore(Path(folder) / "blobs")
    tables = [table for shard in reader.shards() for table in reader.read(shard, blobs)]
    result = ingest(pa.concat_tables(tables), IngestConfig())
    assert result.decisions.to_pylist() == []
    return result.samples.to_pylist()


def write(path, rows=1, **fields):
    """A file of `rows` records in the format of its suffix."""
    path.parent.mkdir(parents=True, exist_ok=True)
    items = [{**PAIR, **fields}] * rows
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(items), path)
    elif path.suffix == ".json":
        path.write_text(json.dumps(items))
    elif path.suffix == ".csv":
        names = ",".join(items[0])
        path.write_text(names + "\n" + "".join(",".join(item.values()) + "\n" for item in items))
    elif path.suffix == ".tar":
        with tarfile.open(path, "w") as archive:
            for at, item in enumerate(items):
                data = json.dumps(item).encode()
                info = tarfile.TarInfo(f"{at}.json")
                info.size = len(data)
                archive.addfile(info, io.BytesIO(data))
    else:
        path.write_text("".join(json.dumps(item) + "\n" for item in items))


def splits(source, root, *names):
    found = origins(source, str(root), list(names), list(names))
    return [dict(found[name]).get("split") for name in names]


ORIGIN = {"from_file": "filename", "at": "row_index + 1"}


@pytest.mark.parametrize("suffix", ["jsonl", "json", "csv", "parquet", "tar"])
def test_every_format_has_file_name_row_index_and_partition_keys(tmp_path, suffix):
    write(tmp_path / "in" / "modality=c%20t" / "body_part=head" / f"x.{suffix}", rows=3)
    kind = WebDatasetReader if suffix == "tar" else TableReader
    reader = kind(
        name="s",
        path=str(tmp_path / "in"),
        columns=ORIGIN,
    )
    found = samples_of(reader, tmp_path)
    assert [item["modality"] for item in found] == ["c t"] * 3
    assert [item["body_part"] for item in found] == ["head"] * 3
    extra = [json.loads(item["extra"]) for item in found]
    name = f"modality=c%20t/body_part=head/x.{suffix}"
    assert extra == [{"from_file": name, "at": str(at)} for at in (1, 2, 3)]


def test_every_reader_has_the_columns(tmp_path):
    import datasets

    write(tmp_path / "m" / "chats.jsonl", messages=CHAT)
    talk = [{"from": "human", "value": "q"}, {"from": "gpt", "value": "a"}]
    write(tmp_path / "l" / "chats.jsonl", conversations=talk)
    (tmp_path / "f" / "ct").mkdir(parents=True)
    (tmp_path / "f" / "ct" / "a.png").write_bytes(b"x")
    (tmp_path / "f" / "ct" / "a.txt").write_text("a")
    data = datasets.Dataset.from_list([PAIR])
    datasets.DatasetDict({"train": data}).save_to_disk(str(tmp_path / "h"))
    readers = {
        "chats.jsonl": [MessagesReader(name="s", path=str(tmp_path / "m"), columns=ORIGIN)],
        "train": [HfReader(name="s", path=str(tmp_path / "h"), columns=ORIGIN)],
        "ct/a.png": [ImageFolderReader(name="s", path=str(tmp_path / "f"), columns=ORIGIN)],
    }
    readers["chats.jsonl"].append(LlavaReader(name="s", path=str(tmp_path / "l"), columns=ORIGIN))
    for name, list_of in readers.items():
        for reader in list_of:
            (found,) = samples_of(reader, tmp_path)
            assert json.loads(found["extra"]) == {"from_file": name, "at": "1"}


def test_the_data_s_own_columns_stand_and_the_place_fills_what_is_missing(tmp_path):
    write(tmp_path / "in" / "split=test" / "x.jsonl", filename="mine", split="train")
    write(tmp_path / "in" / "split=test" / "y.jsonl")
    reader = TableReader(name="s", path=str(tmp_path / "in"), columns={"from_file": "filename"})
    found = samples_of(reader, tmp_path)
    assert [item["split"] for item in found] == ["train", "test"]
    assert json.loads(found[0]["extra"]) == {"from_file": "mine"}
    assert json.loads(found[1]["extra"]) == {"from_file": "split=test/y.jsonl"}


def test_partition_keys_are_those_that_pyarrow_reads(tmp_path):
    table = pa.table({"question": ["q"] * 4, "answer": ["a"] * 4, "split": ["train", "test"] * 2})
    table = table.append_column("modality", pa.array(["ct", "m r", None, "a=b/c"]))
    ds.write_dataset(
        table,
        tmp_path / "in",
        format="parquet",
        partitioning=["split", "modality"],
        partitioning_flavor="hive",
    )
    read = ds.dataset(tmp_path / "in", partitioning="hive").to_table().to_pylist()
    found = samples_of(TableReader(name="s", path=str(tmp_path / "in")), tmp_path)
    key = lambda item: (item["split"], item["modality"] or "")  # noqa: E731
    assert sorted(map(key, found)) == sorted(map(key, read))
    one = TableReader(name="s", path=str(tmp_path / "in" / "split=test"))
    assert {item["split"] for item in samples_of(one, tmp_path)} == {"test"}


def test_partitions_and_their_folders():
    assert partitions(["a", "k=v", "n=__HIVE_DEFAULT_PARTITION__", "x=1=2", "e="]) == {
        "k": "v",
        "n": None,
        "x": "1=2",
        "e": "",
    }
    assert folders_of("/data/y=1/k=v", "z=2/x.jsonl") == ["y=1", "k=v", "z=2"]
    assert folders_of("/data/y=1/plain", "x.jsonl") == []
    assert folders_of("s3://b/y=1?region=k=v", "x.jsonl") == ["y=1"]


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["train.json", "validate.json", "test.json"], ["train", "validation", "test"]),
        (
            [
                "data/train-00000-of-00002-1a2b3c4d5e6f.parquet",
                "data/test-00000-of-00001-ff00aa9.parquet",
            ],
            ["train", "test"],
        ),
        (["train/a.csv", "val/a.csv", "TEST/a.csv"], ["train", "validation", "test"]),
        (["slake_train.json", "slake_dev.json"], ["train", "validation"]),
        (["train_sft.jsonl", "test_sft.jsonl", "train_prefs.jsonl"], ["train", "test", "train"]),
        (["vqa.train.jsonl.gz", "vqa.test.jsonl.gz"], ["train", "test"]),
        (["test_2.csv"], ["test"]),
        (["pmc_train_2.csv"], ["train"]),
        (["eval.jsonl", "more.jsonl"], ["test", None]),
        (["测试集.jsonl", "训练集.jsonl"], ["test", "train"]),
        (["latest.json", "protest.json", "device.csv", "trains.csv"], [None] * 4),
        (["contest/a.json", "evaluations.json"], [None, None]),
    ],
)
def test_names_that_say_a_split_clearly_are_read(names, expected):
    assert splits("s", "/data", *names) == expected


@pytest.mark.parametrize(
    "names",
    [
        ["lab_test.csv"],
        ["test_prefs.jsonl", "train_sft.jsonl"],
        ["train_test.json"],
        ["my_test_rows.json"],
        ["train/test.json"],
        ["dev2.json"],
        ["val2017/a.json"],
        ["tst.json"],
        ["holdout.parquet", "train.parquet"],
    ],
)
def test_names_that_may_say_a_held_out_split_are_asked_about(names):
    with raises_code("split_unclear", source="s") as caught:
        splits("s", "/data", *names)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("root", ["/data/test", "/data/val/", "s3://b/dev?region=x"])
def test_a_source_that_is_itself_a_held_out_folder_is_asked_about(root):
    with raises_code("split_unclear", source="s", file=None):
        splits("s", root, "a.jsonl")
    assert splits("s", root, "train.jsonl") == ["train"]
    assert origins("s", root, ["a.jsonl"], []) == {"a.jsonl": ()}


@pytest.mark.parametrize("suffix", ["jsonl", "json", "csv", "parquet", "tar"])
def test_test_files_of_a_glob_are_not_for_training_and_a_note_says_so(tmp_path, suffix, caplog):
    for name in ("train", "validate", "test"):
        write(tmp_path / f"{name}.{suffix}", rows=2)
    kind = WebDatasetReader if suffix == "tar" else TableReader
    with caplog.at_level(logging.WARNING):
        found = samples_of(kind(name="s", path=f"{tmp_path}/*.{suffix}"), tmp_path)
    assert [item["split"] for item in found] == [*["test"] * 2, *["train"] * 2, *["validation"] * 2]
    (note,) = caplog.messages
    assert "test: 1, train: 1, validation: 1" in note
    mapped = kind(name="s", path=f"{tmp_path}/*.{suffix}", columns={"split": "'train'"})
    assert {item["split"] for item in samples_of(mapped, tmp_path)} == {"train"}


def test_folders_of_pictures_say_their_split_and_names_of_pictures_do_not(tmp_path):
    for name in ("train/test_01.png", "val/b.png", "test/c.png"):
        path = tmp_path / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
        path.with_suffix(".txt").write_text("a")
    found = samples_of(ImageFolderReader(name="s", path=str(tmp_path / "in")), tmp_path)
    assert [item["split"] for item in found] == ["test", "train", "validation"]


CARD = """---
configs:
- config_name: default
  data_files:
  - split: train
    path: data/one.parquet
  - split: test
    path: data/two.parquet
---
"""


def copied(folder, *names, card=None):
    for name in names:
        write(folder / "data" / name, rows=3)
    if card:
        (folder / "README.md").write_text(card)
    return str(folder)


def test_a_copied_repository_has_the_splits_of_its_card(tmp_path, caplog):
    path = copied(tmp_path / "r", "one.parquet", "two.parquet", "three.parquet", card=CARD)
    with caplog.at_level(logging.WARNING):
        both = samples_of(HfReader(name="s", path=path), tmp_path)
    assert [item["split"] for item in both] == [*["train"] * 3, *["test"] * 3]
    assert any("data/three.parquet" in note for note in caplog.messages)
    for split in ("train", "test"):
        found = samples_of(HfReader(name="s", path=path, split=split), tmp_path)
        assert [item["split"] for item in found] == [split] * 3
        assert {item["row_id"].split(":")[1] for item in found} == {
            f"data/{'one' if split == 'train' else 'two'}.parquet"
        }
    with raises_code("split_unknown", split="dev", known=["test", "train"]):
        HfReader(name="s", path=path, split="dev").shards()


def test_a_copied_repository_has_the_splits_of_its_file_names(tmp_path):
    names = ["train-00000-of-00001.parquet", "test-00000-of-00001.parquet"]
    path = copied(tmp_path / "r", *names)
    assert len(samples_of(HfReader(name="s", path=path), tmp_path)) == 6
    found = samples_of(HfReader(name="s", path=path, split="train"), tmp_path)
    assert [item["split"] for item in found] == ["train"] * 3


def test_a_copied_repository_of_several_configs_asks_for_one(tmp_path):
    card = (
        "---\nconfigs:\n- config_name: x\n  data_files: data/one*\n"
        "- config_name: y\n  data_files: data/two*\n---\n"
    )
    path = copied(tmp_path / "r", "one.parquet", "two.parquet", card=card)
    with raises_code("dataset_unloadable", dataset=path) as caught:
        HfReader(name="s", path=path).shards()
    assert "['x', 'y']" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(samples_of(HfReader(name="s", path=path, config="y"), tmp_path)) == 3


def test_parts_of_files_that_have_none_are_refused(tmp_path):
    path = copied(tmp_path / "r", "one.parquet")
    for place in (f"{path}/data/*.parquet", f"{path}/data/one.parquet"):
        with raises_code("hub_option_unfit", source="s"):
            HfReader(name="s", path=place, split="train").shards()
    with raises_code("hub_option_unfit", source="s", option="revision"):
        HfReader(name="s", path=path, revision="main").shards()


@pytest.mark.parametrize(
    ("train", "test"),
    [
        ("slakeTrain.json", "slakeTest.json"),
        ("PMCVQATrain.json", "PMCVQATest.json"),
        ("slake_train/a.json", "slake_test/a.json"),
        ("TrainData/part-0.json", "TestData/part-7.json"),
        ("v1/VQA Train/a.json", "v1/VQA Test/a.json"),
    ],
)
def test_split_words_end_where_case_does_and_stand_in_folders_too(tmp_path, train, test):
    assert splits("s", tmp_path / "in", train, test) == ["train", "test"]


@pytest.mark.parametrize(
    "name",
    [
        *("testmini.json", "minival.json", "testA.json", "testB.json", "testa.json"),
        *("test1k.json", "val_v2017.json", "testOnly.json", "benchmark.json", "VQA_testset.json"),
        *("fold=test/a.json", "phase=dev/a.json", "lang=en/set=val2/a.json"),
        *("labTest/a.json", "lab_test/a.json", "test images/a.json"),
    ],
)
def test_held_out_words_in_other_places_are_asked_about(tmp_path, name):
    for names in ([name], ["other.json", name], ["train.json", name]):
        with raises_code("split_unclear", source="s"):
            origins("s", str(tmp_path / "in"), names, names)


@pytest.mark.parametrize(
    ("train", "test"),
    [
        ("pathvqa-tr.json", "pathvqa-te.json"),
        ("tr.json", "te.json"),
        ("x_train.json", "x_va.json"),
        ("tr/a.json", "ts/a.json"),
    ],
)
def test_short_words_are_asked_about_beside_a_training_file_alone(tmp_path, train, test):
    with raises_code("split_unclear", source="s"):
        origins("s", str(tmp_path / "in"), [train, test], [train, test])
    assert splits("s", tmp_path / "in", test) == [None]


@pytest.mark.parametrize(
    "name",
    [
        *("testosterone.json", "valve.json", "values.json", "device.json", "developer_notes.json"),
        *("testis_mri/a.json", "evaluable.json", "organ=testis/a.json", "valsalva.json"),
        *("te.json", "contest.json", "latest.json", "PMCtestimony.json", "interval.json"),
    ],
)
def test_words_that_only_begin_or_end_like_a_split_say_nothing(tmp_path, name):
    assert splits("s", tmp_path / "in", name, "other.json") == [None, None]


@pytest.mark.parametrize("word", ["train", "val", "test"])
def test_the_key_of_the_records_says_their_split(tmp_path, word):
    held = {"train": [PAIR], "val": [PAIR], "test": [PAIR]}
    (tmp_path / "all.json").write_text(json.dumps(held))
    [found] = samples_of(
        TableReader(name="s", path=str(tmp_path / "all.json"), records=word), tmp_path
    )
    assert found["split"] == {"val": "validation"}.get(word, word)
    held["test"] = [PAIR | {"split": "train"}]
    (tmp_path / "all.json").write_text(json.dumps(held))
    if word == "test":
        reader = TableReader(name="s", path=str(tmp_path / "all.json"), records=word)
        [found] = samples_of(reader, tmp_path)
        assert found["split"] == "train"


def test_tables_beside_pictures_are_named_and_read_as_the_warning_says(tmp_path, caplog):
    for part in ("train", "test"):
        (tmp_path / "in" / part).mkdir(parents=True)
        (tmp_path / "in" / part / "1.png").write_bytes(b"x")
        (tmp_path / "in" / part / "metadata.csv").write_text("file_name,text\n1.png,a lung\n")
    with caplog.at_level(logging.WARNING):
        ImageFolderReader(name="s", path=str(tmp_path / "in")).check()
    [said] = [item.args for item in caplog.records if "not read" in item.message]
    assert said == ("s", 2, "test/metadata.csv, train/metadata.csv")
    columns = {
        "images": "regexp_replace(filename, '[^/]*$', '') || file_name",
        "question": "'q'",
        "answer": "text",
    }
    found = samples_of(TableReader(name="s", path=str(tmp_path / "in"), columns=columns), tmp_path)
    assert [(item["split"], *item["refs"]) for item in found] == [
        (part, str((tmp_path / "in" / part / "1.png").resolve())) for part in ("test", "train")
    ]
