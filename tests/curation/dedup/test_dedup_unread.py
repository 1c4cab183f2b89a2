"""Texts that the encoder cannot read: equal normal forms alone are the same, on any picture."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from curation.dedup.config import SemanticConfig
from curation.dedup.samples import Pictures
from curation.dedup.semantic import joint_vectors
from curation.matching.image_copies import image_set
from curation.matching.settings import SampleConfig
from curation.matching.text_match import Conversations, compare, read_conversations
from medsift import records
from medsift.storage.vectors import ContentVectors


def talk(question: str, answer: str) -> dict[str, object]:
    turns = [("user", question), ("assistant", answer)]
    return {
        "row_id": answer,
        "source": "s",
        "question": question,
        "answer": answer,
        "answer_type": "open",
        "images": ["p"],
        "messages": [{"role": role, "content": text} for role, text in turns],
    }


SAMPLES = pa.Table.from_pylist(
    [
        talk("图中是什么？", "肺结核"),
        talk("图中是什么", "肺结核。"),
        talk("图中是什么？", "肺腺癌"),
        talk("what is shown?", "a mass"),
    ],
    schema=records.SAMPLES,
)


@pytest.fixture
def conversations() -> Conversations:
    texts = {turn["content"] for talk in SAMPLES["messages"].to_pylist() for turn in talk}
    known = sorted(texts)
    matrix = np.array([[float(text.isascii()), 0.0] for text in known], np.float32)
    return read_conversations(
        SAMPLES, ContentVectors([records.text_id(text) for text in known], matrix)
    )


def test_unread_texts_are_the_same_in_equal_normal_form_alone(conversations: Conversations) -> None:
    left, right = np.array([0, 0, 1]), np.array([1, 2, 2])
    found = compare(conversations, left, right, SampleConfig())
    assert found.same.tolist() == [True, False, False]


def test_one_picture_does_not_make_unread_samples_redundant(conversations: Conversations) -> None:
    thumb = bytes(64 * 64)
    fact = {"image_id": "p", "byte_hash": "p", "ref": "p", "phash": "0" * 16, "thumb": thumb}
    vectors = ContentVectors(["p"], np.eye(1, 4, dtype=np.float32))
    images = image_set(pa.Table.from_pylist([fact], schema=records.IMAGES), vectors)
    pictures = Pictures.of(SAMPLES["images"].to_pylist(), ["p"])
    joint = joint_vectors(np.arange(4), conversations, pictures, images, SemanticConfig())
    assert joint.any(axis=1).tolist() == [False, False, False, True]
