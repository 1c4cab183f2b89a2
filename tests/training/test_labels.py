"""What is learned of a chat: every answer, the end of its turn, and nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.expect import raises_code
from tests.tiny_models import idefics, llava, saved
from tests.training.conftest import CHAT
from training.dataset.chat_labels import IGNORED, ChatEncoder, Encoded, Refused
from training.dataset.encode_dataset import encode_samples, ledger, longest_allowed
from training.dataset.samples import Picture, Sample
from training.model.base_model import Base, PretrainedBase, load_base

TAGS: dict[str, str | None] = {"source": "s", "stratum": "x"}


def sample(
    turns: list[tuple[str, str]], sizes: list[tuple[int, int]] = (), name: str = "r"
) -> Sample:
    pictures = tuple(Picture(f"{w}x{h}", f"{w}x{h}", w, h) for w, h in sizes)
    return Sample(name, name, tuple(turns), pictures, 1.0, TAGS)


def processed(base: Base, encoder: ChatEncoder, one: Sample) -> np.ndarray:
    """The processor's token ids of the whole chat, with pictures of the right sizes."""
    text = encoder.text(one)
    pictures = [Image.new("RGB", (p.width, p.height), (9, 90, 200)) for p in one.pictures]
    how: dict[str, Any] = {"add_special_tokens": False}
    if pictures:
        return np.array(base.processor(text=[text], images=[pictures], **how)["input_ids"][0])
    return np.array(base.tokenizer([text], **how)["input_ids"][0])


def learned(base: Base, labels: np.ndarray) -> list[str]:
    """The text of each unbroken run of labels."""
    places = np.flatnonzero(labels != IGNORED)
    runs = np.split(places, np.flatnonzero(np.diff(places) > 1) + 1)
    return [base.tokenizer.decode(labels[run].tolist()) for run in runs]


CHATS = [
    ([("user", "is it clear?"), ("assistant", "yes")], []),
    ([("system", "be brief"), ("user", "<image>is it clear?"), ("assistant", "no")], [(40, 28)]),
    (
        [
            ("user", "<image>first <image>so?"),
            ("assistant", "left lung"),
            ("user", "left lung?"),
            ("assistant", "left lung"),
            ("user", "and <image>?"),
            ("assistant", "right lung"),
            ("user", "an answer that nobody gave?"),
        ],
        [(40, 28), (28, 84), (90, 60)],
    ),
]


@pytest.mark.parametrize(("turns", "sizes"), CHATS)
def test_every_answer_is_learned_with_its_end_and_nothing_else(qwen_base: Base, turns, sizes):
    encoder = ChatEncoder(qwen_base)
    one = sample(turns, sizes)
    encoded = next(encoder.encode([one]))
    assert isinstance(encoded, Encoded)
    ids = processed(qwen_base, encoder, one)
    assert encoded.length == len(ids)
    labels = encoder.labels(encoded, ids)
    answers = [f"{words}<|im_end|>" for role, words in turns if role == "assistant"]
    assert learned(qwen_base, labels) == answers
    assert encoded.supervised == (labels != IGNORED).sum()
    assert (labels[labels != IGNORED] == ids[labels != IGNORED]).all()


@pytest.mark.parametrize("make", [llava, idefics])
def test_other_families_put_pictures_in_their_own_way(make, tmp_path: Path):
    saved(make(), tmp_path)
    base = load_base(PretrainedBase(model=str(tmp_path)), "float32", full=False)
    encoder = ChatEncoder(base)
    for turns, sizes in CHATS:
        one = sample(turns, sizes)
        encoded = next(encoder.encode([one]))
        assert isinstance(encoded, Encoded)
        ids = processed(base, encoder, one)
        assert encoded.length == len(ids)
        answers = [f"{words}</s>" for role, words in turns if role == "assistant"]
        assert learned(base, encoder.labels(encoded, ids)) == answers


def test_text_alone_on_a_causal_model(llama_base: Base):
    encoder = ChatEncoder(llama_base)
    one = sample([("user", "a?"), ("assistant", "yes"), ("user", "b?"), ("assistant", "no")])
    encoded = next(encoder.encode([one]))
    labels = encoder.labels(encoded, processed(llama_base, encoder, one))
    assert learned(llama_base, labels) == ["yes<|im_end|>", "no<|im_end|>"]
    assert encoder.decoded_example(encoded) == (
        "<|im_start|>user\na?<|im_end|>\n<|im_start|>assistant\n⟦yes<|im_end|>⟧\n"
        "<|im_start|>user\nb?<|im_end|>\n<|im_start|>assistant\n⟦no<|im_end|>⟧\n"
    )


def test_larger_pictures_take_more_tokens_up_to_the_limit(qwen_base: Base):
    free, limited = ChatEncoder(qwen_base), ChatEncoder(qwen_base, max_pixels=56 * 56)
    one = sample([("user", "<image>?"), ("assistant", "no")], [(112, 112)])
    lengths = [next(encoder.encode([one])).length for encoder in (free, limited)]
    assert lengths[0] - lengths[1] == 16 - 4


def test_a_picture_before_a_model_without_eyes_is_refused(llama_base: Base):
    one = sample([("user", "<image>?"), ("assistant", "no")], [(40, 28)])
    with raises_code("model_unsuitable", row_id="r"):
        list(ChatEncoder(llama_base).encode([one]))


@pytest.mark.parametrize(
    ("turns", "sizes", "reason"),
    [
        ([("user", "a?")], [], "no_answer"),
        ([("assistant", "a")], [], "no_question"),
        ([("user", "<image>?"), ("assistant", "see <image>")], [(40, 28)] * 2, "picture_in_answer"),
        ([("user", "<image>?"), ("assistant", "no")], [(2000, 4)], "picture_refused"),
    ],
)
def test_what_cannot_be_learned_is_dropped_with_a_reason(qwen_base: Base, turns, sizes, reason):
    found = next(ChatEncoder(qwen_base).encode([sample(turns, sizes)]))
    assert isinstance(found, Refused)
    assert found.reason == reason


def with_template(base: Base, template: str) -> ChatEncoder:
    encoder = ChatEncoder(base)
    encoder.base.tokenizer.chat_template = template
    return encoder


@pytest.fixture
def own_llama(llama: Path) -> Base:
    return load_base(PretrainedBase(model=str(llama)), "float32", full=False)


def test_a_template_that_refuses_a_chat_drops_it(own_llama: Base):
    refusing = "{% if messages|length > 2 %}{{ raise_exception('too long') }}{% endif %}" + CHAT
    encoder = with_template(own_llama, refusing)
    chat = [("user", "a?"), ("assistant", "yes")]
    first, second = encoder.encode([sample(chat), sample(chat * 2)])
    assert isinstance(first, Encoded)
    assert second == Refused("template_refused", "the chat template refuses these turns")


# What Qwen3 does: an empty thought before an answer that nothing follows, and none before others.
THINKING = CHAT.replace(
    "{% if turn['content'] is string %}",
    "{% if turn['role'] == 'assistant' and loop.last %}{{ '<think>\n\n</think>\n\n' }}{% endif %}"
    "{% if turn['content'] is string %}",
)
FORGETFUL = CHAT.replace(
    "{{ turn['content'] }}",
    "{{ turn['content'] if loop.last or turn['role'] != 'assistant' else '...' }}",
)
WINDOWED = CHAT.replace(
    "in messages %}", "in (messages[2:] if messages|length > 2 else messages) %}", 1
)
COUNTING = "{{ messages|length }} turns\n" + CHAT


@pytest.mark.parametrize(
    ("template", "last", "before"),
    [
        (THINKING, "<think>\n\n</think>\n\nno<|im_end|>", "yes<|im_end|>"),
        (FORGETFUL, "no<|im_end|>", "..."),
        (WINDOWED, "no<|im_end|>", ""),
    ],
    ids=["thinking", "forgetful", "windowed"],
)
def test_where_a_template_rewrites_earlier_turns_the_last_answer_alone_is_learned(
    own_llama: Base, template: str, last: str, before: str
):
    encoder = with_template(own_llama, template)
    one = sample([("user", "a?"), ("assistant", "yes"), ("user", "b?"), ("assistant", "no")])
    encoded = next(encoder.encode([one]))
    assert isinstance(encoded, Encoded)
    ids = processed(own_llama, encoder, one)
    labels = encoder.labels(encoded, ids)
    assert encoded.unlearned == 1
    assert learned(own_llama, labels) == [last]
    assert before in own_llama.tokenizer.decode(ids[labels == IGNORED].tolist())


@pytest.mark.parametrize("template", [CHAT, THINKING, FORGETFUL], ids=["plain", "think", "forget"])
def test_whatever_the_template_no_label_lies_outside_of_an_answer(own_llama: Base, template: str):
    encoder = with_template(own_llama, template)
    drawn = np.random.default_rng(3)
    words = ["yes", "no", "left lung", "right lung", "a?", "<think>", "clear. clear."]
    for _ in range(60):
        roles = ["user", "assistant"] * int(drawn.integers(1, 4)) + ["user"] * int(
            drawn.integers(2)
        )
        turns = [(role, str(drawn.choice(words))) for role in roles]
        one = sample(turns)
        encoded = next(encoder.encode([one]))
        assert isinstance(encoded, Encoded)
        labels = encoder.labels(encoded, processed(own_llama, encoder, one))
        answers = [said for role, said in turns if role == "assistant"]
        texts = learned(own_llama, labels)
        assert len(texts) + encoded.unlearned == len(answers)
        for text, answer in zip(reversed(texts), reversed(answers), strict=False):
            thought = "<think>\n\n</think>\n\n" if template is THINKING else ""
            assert text == f"{thought}{answer}<|im_end|>"


def test_a_chat_without_any_answer_of_a_sure_place_is_dropped_alone(own_llama: Base):
    encoder = with_template(own_llama, COUNTING)
    chat = [("user", "a?"), ("assistant", "yes")]
    found = next(encoder.encode([sample(chat)]))
    assert isinstance(found, Refused)
    assert found.reason == "template_rewrites"


def test_a_template_that_drops_turns_with_their_pictures_drops_the_sample(qwen: Path):
    base = load_base(PretrainedBase(model=str(qwen)), "float32", full=False)
    base.processor.chat_template = WINDOWED
    first = [("user", "<image>a?"), ("assistant", "yes")]
    second = [("user", "b?"), ("assistant", "no")]
    kept, gone = ChatEncoder(base).encode(
        [sample(first, [(40, 28)]), sample(first + second, [(40, 28)])]
    )
    assert isinstance(kept, Encoded)
    assert isinstance(gone, Refused)
    assert gone.reason == "template_refused"


def test_what_a_template_sets_once_for_all_pictures_counts_for_none(qwen: Path):
    base = load_base(PretrainedBase(model=str(qwen)), "float32", full=False)
    once = "{% set seen = namespace(any=false) %}{% for turn in messages %}"
    once += "{% for part in turn['content'] if part is mapping and part['type'] == 'image' %}"
    once += "{% set seen.any = true %}{% endfor %}{% endfor %}"
    base.processor.chat_template = once + "{{ '<|endoftext|>' if seen.any }}" + CHAT
    two = sample([("user", "<image>a <image>?"), ("assistant", "yes")], [(40, 28)] * 2)
    assert isinstance(next(ChatEncoder(base).encode([two])), Encoded)


SPELLED = [
    ("what is <|image_pad|>?", "yes", "<|image_pad|>"),
    ("<|vision_start|><|image_pad|><|vision_end|>is it clear?", "yes", "<|vision_start|>"),
    ("is it clear?", "yes<|im_end|>\n<|im_start|>user\nno?<|im_end|>", "<|im_end|>"),
    ("is the <|video_pad|> clear?", "yes", "<|video_pad|>"),
    ("is it clear?", "no <|endoftext|>", "<|endoftext|>"),
]


@pytest.mark.parametrize(("question", "answer", "token"), SPELLED)
@pytest.mark.parametrize("sizes", [[], [(40, 28)]], ids=["text", "picture"])
def test_a_turn_that_spells_a_token_of_the_model_drops_its_sample_alone(
    qwen_base: Base, question: str, answer: str, token: str, sizes: list[tuple[int, int]]
):
    mark = "<image>" * len(sizes)
    odd = sample([("user", mark + question), ("assistant", answer)], sizes, name="odd")
    fine = sample([("user", f"{mark}a < b, [b] and {{c}}?"), ("assistant", "yes")], sizes)
    found = encode_samples(ChatEncoder(qwen_base), [fine, odd], np.ones(2), 512)
    assert [one.row_id for one in found.samples] == ["r"]
    [drop] = found.dropped
    assert (drop.row_id, drop.reason) == ("odd", "special_token")
    assert token in (drop.detail or "")


def test_a_picture_mark_in_a_text_without_pictures_is_none(qwen_base: Base, llama_base: Base):
    one = sample([("user", "is <image> clear?"), ("assistant", "yes")])
    seen = next(ChatEncoder(qwen_base).encode([one]))
    assert isinstance(seen, Refused)
    assert seen.reason == "special_token"
    # To a model without pictures these are letters.
    assert isinstance(next(ChatEncoder(llama_base).encode([one])), Encoded)


def test_a_model_without_a_template_is_refused(llama: Path, tmp_path: Path, own_llama: Base):
    own_llama.model.save_pretrained(tmp_path)
    own_llama.tokenizer.chat_template = None
    own_llama.tokenizer.save_pretrained(tmp_path)
    with raises_code("chat_template_unusable", model=str(tmp_path)):
        load_base(PretrainedBase(model=str(tmp_path)), "float32", full=False)


def test_a_sample_that_does_not_fit_is_dropped_whole_and_entered(qwen_base: Base):
    short = sample([("user", "a?"), ("assistant", "yes")], name="short")
    long = sample([("user", "<image>a?"), ("assistant", "yes")], [(112, 112)], name="long")
    encoder = ChatEncoder(qwen_base)
    lengths = [found.length for found in encoder.encode([short, long])]
    limit = longest_allowed(qwen_base, None, lengths[1] - 1)
    found = encode_samples(encoder, [short, long], np.array([1.0, 3.0]), limit)
    assert found.samples == (short,)
    assert found.weights.tolist() == [1.0]
    assert ledger(found.dropped).to_pylist() == [
        {
            "sample_id": "long",
            "row_id": "long",
            "reason": "too_long",
            "value": lengths[1],
            "threshold": lengths[1] - 1,
            "detail": None,
        }
    ]
    whole = encode_samples(encoder, [short, long], np.array([1.0, 3.0]), lengths[1])
    assert len(whole.samples) == 2


def test_when_nobody_fits_the_error_says_why(qwen_base: Base):
    short = sample([("user", "a?"), ("assistant", "yes")])
    encoder = ChatEncoder(qwen_base)
    with raises_code("selection_untrainable", reasons={"too_long": 1}):
        encode_samples(encoder, [short], np.ones(1), 3)
    with raises_code("selection_untrainable", reasons={}):
        encode_samples(encoder, [], np.ones(0), 3)
    with raises_code("selection_untrainable", reasons={"zero_weight": 1}):
        encode_samples(encoder, [short], np.zeros(1), 300)


def test_tokens_that_are_not_where_they_should_be_are_never_learned(qwen_base: Base):
    encoder = ChatEncoder(qwen_base)
    one = sample(*CHATS[1])
    encoded = next(encoder.encode([one]))
    ids = processed(qwen_base, encoder, one)
    with raises_code("model_unsuitable", model=qwen_base.name):
        encoder.labels(encoded, ids[:-1])
