"""Small real models built here, and runs whose manifest holds a selection of chosen samples."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from PIL import Image
from tokenizers import Tokenizer
from tokenizers.decoders import ByteLevel as Bytes
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel
from tokenizers.trainers import BpeTrainer
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2_5_VLProcessor,
    Qwen2VLImageProcessor,
    Qwen2VLVideoProcessor,
)

from medsift import records
from medsift.images import ImagesConfig, decode
from medsift.manifest import RunRecord, write_manifest
from training.model.base_model import Base, PretrainedBase, load_base
from training.recipe import TrainingRecipe

START = datetime(2026, 1, 1)
LOOK = "<|vision_start|><|image_pad|><|vision_end|>"
SPECIAL = (
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|image_pad|>",
    "<|video_pad|>",
    "<|vision_start|>",
    "<|vision_end|>",
)
CHAT = (
    "{% for turn in messages %}{{ '<|im_start|>' + turn['role'] + '\n' }}"
    "{% if turn['content'] is string %}{{ turn['content'] }}{% else %}"
    "{% for part in turn['content'] %}"
    "{{ '" + LOOK + "' if part['type'] == 'image' else part['text'] }}"
    "{% endfor %}{% endif %}{{ '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
WORDS = [
    "is there a nodule in the left lung? no, the left lung is clear.",
    "what is the modality of this image? computed tomography of the chest, axial plane.",
    "which side is the effusion on? right side, small pleural effusion.",
    "user assistant system yes no left right lung heart liver",
]
TEXT: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "max_position_embeddings": 512,
    "initializer_range": 0.2,
}

Line = Mapping[str, Any]
MakeRun = Callable[..., Path]


def trained_tokenizer() -> PreTrainedTokenizerFast:
    """Byte-level BPE, learned from a few lines."""
    inner = Tokenizer(BPE())
    inner.pre_tokenizer = ByteLevel(add_prefix_space=False)
    inner.decoder = Bytes()
    alphabet = ByteLevel.alphabet()
    trainer = BpeTrainer(
        vocab_size=400, special_tokens=list(SPECIAL), initial_alphabet=alphabet, show_progress=False
    )
    inner.train_from_iterator(WORDS * 4, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=inner, eos_token="<|im_end|>", pad_token="<|endoftext|>"
    )


@pytest.fixture(scope="session")
def qwen(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a Qwen2.5-VL: as many tokens a picture as its size asks for, mrope."""
    folder = tmp_path_factory.mktemp("qwen")
    words = trained_tokenizer()
    pad, video, start, end = words.convert_tokens_to_ids(list(SPECIAL[3:]))
    pictures = Qwen2VLImageProcessor(
        min_pixels=28 * 28, max_pixels=112 * 112, patch_size=14, merge_size=2
    )
    processor = Qwen2_5_VLProcessor(pictures, words, Qwen2VLVideoProcessor(), chat_template=CHAT)
    rotary = {"rope_type": "default", "mrope_section": [2, 3, 3], "rope_theta": 10_000.0}
    ends = {"eos_token_id": words.eos_token_id, "bos_token_id": None}
    config = Qwen2_5_VLConfig(
        text_config={"vocab_size": len(words), "rope_parameters": rotary, **TEXT, **ends},
        vision_config={
            "depth": 2,
            "hidden_size": 32,
            "intermediate_size": 64,
            "out_hidden_size": 32,
            "num_heads": 2,
            "patch_size": 14,
            "spatial_merge_size": 2,
            "fullatt_block_indexes": [1],
        },
        image_token_id=pad,
        video_token_id=video,
        vision_start_token_id=start,
        vision_end_token_id=end,
    )
    torch.manual_seed(0)
    Qwen2_5_VLForConditionalGeneration(config).save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


def write_llama(folder: Path) -> Path:
    """Write a Llama that chats."""
    words = trained_tokenizer()
    words.chat_template = CHAT
    torch.manual_seed(0)
    ends = {"eos_token_id": words.eos_token_id, "pad_token_id": words.pad_token_id}
    LlamaForCausalLM(LlamaConfig(vocab_size=len(words), **TEXT, **ends)).save_pretrained(folder)
    words.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a Llama that chats."""
    return write_llama(tmp_path_factory.mktemp("llama"))


@pytest.fixture(scope="session")
def qwen_base(qwen: Path) -> Base:
    """The loaded model; whoever changes it loads its own."""
    return load_base(PretrainedBase(model=str(qwen)), "float32", full=False)


@pytest.fixture(scope="session")
def llama_base(llama: Path) -> Base:
    """The loaded model; whoever changes it loads its own."""
    return load_base(PretrainedBase(model=str(llama)), "float32", full=False)


def draw(path: Path, seed: int, width: int = 40, height: int = 28) -> Path:
    """A noisy picture."""
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3))
    Image.fromarray(pixels.astype(np.uint8)).save(path)
    return path


def asked(question: str, answer: str, *pictures: Path, **more: Any) -> dict[str, Any]:
    """A line of `make_run`: one question and answer."""
    turns = [("user", question), ("assistant", answer)]
    return {"turns": turns, "pictures": pictures, **more}


def write_run(
    run: Path,
    lines: Sequence[Line],
    rest: Sequence[Line] = (),
    name: str = "chosen",
    groups: Mapping[str, str] | None = None,
) -> Path:
    """Write a run directory whose selection `name` is `lines`.

    A line has turns, pictures, and tags, weight or split if wanted. `groups` are those of copies,
    by file name.
    """
    rows = [_row(place, line) for place, line in enumerate([*lines, *rest])]
    images = {}
    for line in [*lines, *rest]:
        for picture in line["pictures"]:
            found = decode(picture.read_bytes(), picture.name, ImagesConfig())
            width, height = found.image.size
            images[found.image_id] = {
                "image_id": found.image_id,
                "byte_hash": "",
                "ref": str(picture),
                "width": width,
                "height": height,
                "group_id": (groups or {}).get(picture.name, found.image_id),
            }
    chosen = [_chosen(name, rank, line, rows[rank]) for rank, line in enumerate(lines)]
    tables: dict[str, Any] = {
        "rows": pa.Table.from_pylist(rows, schema=records.ROWS),
        "samples": pa.Table.from_pylist(rows, schema=records.SAMPLES),
        "images": pa.Table.from_pylist(list(images.values()), schema=IMAGES),
        "selections": pa.Table.from_pylist(chosen, schema=SELECTIONS),
    }
    run.mkdir(parents=True)
    write_manifest(run / "manifest.duckdb", tables, RunRecord("one", "test", START))
    return run


@pytest.fixture
def make_run(tmp_path: Path) -> MakeRun:
    """`write_run` into a folder of the test's own."""

    def make(lines: Sequence[Line], *more: Any, folder: str = "run", **settings: Any) -> Path:
        return write_run(tmp_path / folder, lines, *more, **settings)

    return make


SELECTIONS = pa.schema(
    [
        ("selection", pa.string()),
        ("rank", pa.int64()),
        ("sample_id", pa.string()),
        ("row_id", pa.string()),
        ("weight", pa.float64()),
        ("created_at", pa.timestamp("us")),
    ]
)
IMAGES = pa.schema(
    [
        ("image_id", pa.string()),
        ("byte_hash", pa.string()),
        ("ref", pa.string()),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("group_id", pa.string()),
    ]
)


def _row(place: int, line: Line) -> dict[str, Any]:
    pictures = line["pictures"]
    ids = [decode(one.read_bytes(), one.name, ImagesConfig()).image_id for one in pictures]
    return {
        "sample_id": f"id{place}",
        "row_id": f"s:f.jsonl:{place}",
        "source": line.get("source", "s"),
        "file": "f.jsonl",
        "index": place,
        "messages": [{"role": role, "content": content} for role, content in line["turns"]],
        "question": next((said for role, said in line["turns"] if role == "user"), None),
        "answer": next((said for role, said in line["turns"] if role == "assistant"), None),
        "refs": [str(picture) for picture in pictures],
        "images": ids,
        **{tag: line[tag] for tag in records.TAGS if tag in line},
    }


def _chosen(name: str, rank: int, line: Line, row: Line) -> dict[str, Any]:
    return {
        "selection": name,
        "rank": rank,
        "sample_id": row["sample_id"],
        "row_id": row["row_id"],
        "weight": float(line.get("weight", 1.0)),
        "created_at": START,
    }


def recipe(run: Path, base: Path | str, **settings: Any) -> TrainingRecipe:
    """A recipe of a small training."""
    given = {"name": "tiny", "run": run, "base": {"kind": "transformers", "model": str(base)}}
    return TrainingRecipe.model_validate(given | settings)
