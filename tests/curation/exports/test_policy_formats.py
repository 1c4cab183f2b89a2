"""Questions for a policy are read by TRL itself, and by the documented steps of verl and EasyR1."""

# Fixtures of another file are imported, and then named by whoever wants them.
# ruff: noqa: F811

from __future__ import annotations

import io
import logging
import re
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from PIL import Image

from curation.exports.questions import answer_of, options_of
from curation.exports.write_export import export
from tests.training.conftest import qwen  # noqa: F401 - a fixture

Row = dict[str, Any]
POLICY_FORMATS = ("trl_grpo", "verl", "easyr1")


def exported(manifest: Path, format: str, folder: Path) -> Any:
    import datasets

    path = folder / f"{format}.parquet"
    assert export(manifest, format, path, record=False).rows == 9
    cache = str(folder / "cache")
    return datasets.load_dataset("parquet", data_files=str(path), split="train", cache_dir=cache)


def verl_messages(row: Row) -> list[Row]:
    """The steps of verl's `RLHFDataset`: marks in the text of a prompt become parts."""
    return [
        {"role": turn["role"], "content": marked_parts(turn["content"])} for turn in row["prompt"]
    ]


def easyr1_messages(row: Row) -> list[Row]:
    """The steps of EasyR1's `RLHFDataset`: one user turn, cut at its marks."""
    return [{"role": "user", "content": marked_parts(row["problem"])}]


def marked_parts(text: str) -> list[Row]:
    assert "<video>" not in text
    parts = [
        {"type": "image"} if part == "<image>" else {"type": "text", "text": part}
        for part in re.split("(<image>)", text)
    ]
    return [part for part in parts if part.get("text") != ""]


MESSAGES = {"trl_grpo": lambda row: row["prompt"], "verl": verl_messages, "easyr1": easyr1_messages}


@pytest.mark.parametrize("format", POLICY_FORMATS)
def test_every_row_has_a_placeholder_for_each_picture_and_fits_a_processor(
    manifest, tmp_path, format, expected, qwen
):
    from transformers import AutoProcessor

    processor = AutoProcessor.from_pretrained(qwen)
    pad = processor.tokenizer.convert_tokens_to_ids("<|image_pad|>")
    rows = list(exported(manifest, format, tmp_path))
    assert len(rows) == len(expected)
    for row, want in zip(rows, expected, strict=True):
        messages = MESSAGES[format](row)
        marks = [part for turn in messages for part in turn["content"] if part["type"] == "image"]
        assert len(marks) == len(row["images"]) == want["pictures"]
        assert messages[-1]["role"] == "user"
        text = processor.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
        inputs = processor(text=[text], images=row["images"] or None, return_tensors="pt")
        # Two by two patches are one token.
        sizes = inputs["image_grid_thw"].prod(1) // 4 if row["images"] else None
        wanted = 0 if sizes is None else int(sizes.sum())
        assert int((inputs["input_ids"] == pad).sum()) == wanted
        assert all(isinstance(picture, Image.Image) for picture in row["images"])


def test_verl_has_its_columns_and_finds_the_answer_by_them(manifest, tmp_path, expected):
    rows = exported(manifest, "verl", tmp_path)
    assert rows.column_names == [
        *("data_source", "prompt", "ability", "reward_model", "extra_info", "images")
    ]
    for place, (row, want) in enumerate(zip(rows, expected, strict=True)):
        assert row["data_source"] == row["extra_info"]["source"]
        assert row["reward_model"] == {"style": "rule", "ground_truth": "yes"}
        assert [type(turn["content"]) for turn in row["prompt"]] == [str] * len(row["prompt"])
        assert row["extra_info"]["index"] == place
        for name in ("sample_id", "row_id", "rank", "weight", "patient_id"):
            assert row["extra_info"][name] == want[name]
    # Pictures are structs of bytes and path, which verl opens by itself.
    raw = pq.read_table(tmp_path / "verl.parquet")["images"].to_pylist()
    opened = [Image.open(io.BytesIO(one["bytes"])) for images in raw for one in images]
    assert len(opened) == sum(want["pictures"] for want in expected)


def test_easyr1_has_problem_answer_and_images(manifest, tmp_path, expected):
    rows = exported(manifest, "easyr1", tmp_path)
    assert {"problem", "answer", "images"} <= set(rows.column_names)
    assert rows["answer"] == ["yes"] * 9
    problems = dict(zip(rows["sample_id"], rows["problem"], strict=True))
    assert problems["id2"].startswith("Be brief.\n\n")


@pytest.mark.parametrize("pictured", [True, False])
def test_trl_generates_and_scores_from_the_file(manifest, tmp_path, qwen, expected, pictured):
    from transformers import AutoProcessor, Qwen2_5_VLForConditionalGeneration
    from trl import GRPOConfig, GRPOTrainer

    heard: list[tuple[str, list[str]]] = []

    def reward(
        completions: list[Any], answer: list[str], options: list[list[str]], **_: Any
    ) -> list[float]:
        heard.extend(zip(answer, options, strict=True))
        return [float(len(str(one)) % 5) for one in completions]

    # TRL 1.16 takes no batch in which some prompts have pictures and others have none.
    loaded = exported(manifest, "trl_grpo", tmp_path).filter(
        lambda row: bool(row["images"]) == pictured
    )
    trainer = GRPOTrainer(
        model=Qwen2_5_VLForConditionalGeneration.from_pretrained(qwen),
        reward_funcs=reward,
        processing_class=AutoProcessor.from_pretrained(qwen),
        train_dataset=loaded,
        args=GRPOConfig(
            output_dir=str(tmp_path / "trl"),
            report_to="none",
            use_cpu=True,
            bf16=False,
            disable_tqdm=True,
            gradient_checkpointing=False,
            num_generations=2,
            per_device_train_batch_size=2 * len(loaded),
            max_completion_length=2,
        ),
    )
    batch = next(iter(trainer.get_train_dataloader()))
    made = trainer._generate_and_score_completions(batch)
    count = 2 * sum(bool(want["pictures"]) == pictured for want in expected)
    assert heard == [("yes", [])] * count
    assert len(made["completion_ids"]) == count
    if pictured:
        shown = sum(want["pictures"] for want in expected)
        assert len(made["image_grid_thw"]) == 2 * shown


def line(*turns: tuple[str, str], **more: Any) -> Row:
    messages = [{"role": role, "content": content} for role, content in turns]
    return {"messages": messages, "answer_type": None} | more


def test_the_answer_is_told_without_its_reasoning_and_options_without_letters():
    asked = ("user", "which side? A. left B. right")
    thought = line(asked, ("assistant", "<think>\nnot right\n</think>\n\nA"), answer_type="choice")
    assert answer_of(thought) == "A"
    assert options_of(thought) == ["left", "right"]
    assert options_of(thought | {"answer_type": "open"}) == []


@pytest.mark.parametrize("format", POLICY_FORMATS)
def test_samples_that_are_no_question_are_left_out_and_named(
    samples, write_selection, tmp_path, format, caplog
):
    turns = [
        [("user", "a?"), ("assistant", "b")],
        [("user", "a?"), ("assistant", "b"), ("user", "and c?"), ("assistant", "d")],
        [("user", "is <video> a mark?"), ("assistant", "b")],
        [("user", "a?"), ("assistant", "")],
    ]
    odd = [
        {**samples[0], "sample_id": f"odd{place}", "row_id": f"s:f:{place}"} | line(*said)
        for place, said in enumerate(turns)
    ]
    manifest = write_selection(tmp_path / "manifest.duckdb", odd)
    path = tmp_path / "out.parquet"
    with caplog.at_level(logging.WARNING):
        assert export(manifest, format, path, record=False).rows == 1
    [record] = caplog.records
    assert record.args is not None
    assert record.args[0] == 3
    assert pq.read_table(path).num_rows == 1
