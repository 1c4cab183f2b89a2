"""Multimodal gain on small real vision-language models, built here: agreement, order, meaning."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from curation.scoring.illustrated import read_illustrated
from curation.scoring.multimodal_gain import MultimodalGainConfig
from medsift.images import ImagesConfig, decode
from medsift.images.curated import read_picture
from medsift.models import ImageTextModelConfig
from medsift.models.image_text import Illustrated, ImageTextLikelihood, marked
from tests.curation.scoring.conftest import Illustrations
from tests.expect import raises_code
from tests.tiny_models import Make, idefics, llava, picture, qwen, saved, seeded

Pixels = NDArray[np.uint8]


FAMILIES = pytest.mark.parametrize("make", [llava, idefics, qwen])


def samples() -> list[Illustrated]:
    """One and several pictures of several sizes, one and several turns."""
    return [
        Illustrated([("user", "<image>what is it?")], "a lung", [picture(0)]),
        Illustrated([("user", "is it?<image>")], "no", [picture(1, 80, 30)]),
        Illustrated(
            [("user", "first <image> then <image> so?"), ("assistant", "yes"), ("user", "sure?")],
            "the second is larger than the first",
            [picture(2), picture(3, 30, 60)],
        ),
        Illustrated([("system", "be brief"), ("user", "<image>why?")], "no", [picture(4)]),
    ]


def plain_logprob(model: Any, processor: Any, sample: Illustrated, with_image: bool) -> float:
    """The whole conversation through the processor, one sample, whole logits."""
    messages = []
    for role, content in sample.turns:
        pieces = content.split("<image>")
        parts = [{"type": "text", "text": pieces[0].strip()}]
        for piece in pieces[1:]:
            parts += [{"type": "image"}] if with_image else []
            parts.append({"type": "text", "text": piece.strip()})
        messages.append({"role": role, "content": parts})
    prompt = processor.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
    given = {"text": [prompt + sample.answer], "return_tensors": "pt", "add_special_tokens": False}
    if with_image:
        given["images"] = [list(sample.pictures)]
    inputs = processor(**given)
    with torch.inference_mode():
        logits = model.eval()(**inputs).logits[0].log_softmax(dim=1)
    ids = inputs["input_ids"][0]
    length = len(processor.tokenizer(sample.answer, add_special_tokens=False)["input_ids"])
    places = torch.arange(len(ids) - length, len(ids))
    return float(logits[places - 1, ids[places]].mean())


@FAMILIES
def test_logprobs_are_those_of_a_plain_loop_whatever_the_batch(make: Make, tmp_path: Path) -> None:
    model, processor = seeded(make)
    loaded = saved((model, processor), tmp_path / "model").build()
    for with_image in (True, False):
        wanted = [plain_logprob(model, processor, one, with_image) for one in samples()]
        for batch_size in (1, 2, 4):
            scorer = ImageTextLikelihood(loaded, 64, batch_size)
            found = scorer.answer_logprob(samples(), with_image)
            np.testing.assert_allclose(found, wanted, atol=1e-4)
            back = scorer.answer_logprob(samples()[::-1], with_image)[::-1]
            np.testing.assert_allclose(back, wanted, atol=1e-4)


@FAMILIES
def test_the_picture_moves_the_answer_and_only_where_it_is_shown(
    make: Make, tmp_path: Path
) -> None:
    loaded = saved(seeded(make), tmp_path / "model").build()
    scorer = ImageTextLikelihood(loaded, 64)
    one = samples()[0]
    other = one._replace(pictures=[picture(9)])
    seeing = scorer.answer_logprob([one, other], with_image=True)
    blind = scorer.answer_logprob([one, other], with_image=False)
    assert abs(seeing[0] - seeing[1]) > 1e-3
    assert blind[0] == blind[1]


def test_a_model_without_chat_template_is_asked_in_plain_words(tmp_path: Path) -> None:
    loaded = saved(seeded(lambda: llava(None)), tmp_path / "model").build()
    one = Illustrated([("user", "<image>what is it?")], "a lung", [picture(0)])
    scorer = ImageTextLikelihood(loaded, 64)
    inputs = loaded.processor(
        text=["Question: <image>\nwhat is it?\nAnswer: a lung"],
        images=[list(one.pictures)],
        return_tensors="pt",
    )
    with torch.inference_mode():
        logits = loaded.model(**inputs).logits[0].log_softmax(dim=1)
    ids = inputs["input_ids"][0]
    places = torch.arange(len(ids) - len(" a lung"), len(ids))
    wanted = float(logits[places - 1, ids[places]].mean())
    assert scorer.answer_logprob([one], with_image=True)[0] == pytest.approx(wanted, abs=1e-4)


def test_a_long_answer_is_judged_by_its_beginning(tmp_path: Path) -> None:
    loaded = saved(seeded(llava), tmp_path / "model").build()
    scorer = ImageTextLikelihood(loaded, 6)
    long = samples()[0]._replace(answer="a lung, left and right")
    short = long._replace(answer="a lung")
    assert scorer.answer_logprob([long], True)[0] == scorer.answer_logprob([short], True)[0]


Lesson = tuple[Path | None, str, str]
"""A picture or none, a question, and the answer to learn."""


def teach(model: Any, processor: Any, *batches: Sequence[Lesson]) -> None:
    """Some steps on answers, the batches in turn; in each all have a picture or none has."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    prepared = [lesson_inputs(processor, batch) for batch in batches]
    for step in range(60 * len(batches)):
        inputs = prepared[step % len(batches)]
        loss = model(**inputs).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def lesson_inputs(processor: Any, lessons: Sequence[Lesson]) -> dict[str, Any]:
    texts = []
    for file, question, answer in lessons:
        image = [] if file is None else [{"type": "image"}]
        turn = {"role": "user", "content": [*image, {"type": "text", "text": question}]}
        prompt = processor.apply_chat_template([turn], add_generation_prompt=True, tokenize=False)
        texts.append(prompt + answer)
    shown = [[Image.open(file).convert("RGB")] for file, _, _ in lessons if file is not None]
    options = {"padding": True, "padding_side": "left", "return_tensors": "pt"}
    inputs = dict(processor(text=texts, images=shown or None, **options))
    labels = inputs["input_ids"].clone()
    for row, (_, _, answer) in enumerate(lessons):
        labels[row, : -len(answer)] = -100
    return inputs | {"labels": labels}


def test_right_pictures_help_a_model_that_has_learned_to_look_and_wrong_ones_harm(
    coloured: list[tuple[Path, str]], context: Illustrations, tmp_path: Path
) -> None:
    model, processor = seeded(llava)
    right = [(file, "what colour?", name) for file, name in coloured]
    blind = [(None, question, name) for _, question, name in right]
    teach(model.train(), processor, right, blind)
    config = MultimodalGainConfig(model=saved((model, processor), tmp_path / "model"))
    wrong = [
        (coloured[place - 1][0], "what colour?", name) for place, (_, _, name) in enumerate(right)
    ]
    gain = config.score(context([*right, *wrong]))
    assert (gain[:6] > 0.1).all()
    assert (gain[6:] < 0).all()


def test_a_model_that_looks_at_nothing_but_the_last_token_gains_nothing(
    coloured: list[tuple[Path, str]], context: Illustrations, tmp_path: Path
) -> None:
    model, processor = seeded(llava)
    with torch.no_grad():
        for layer in model.model.language_model.layers:
            layer.self_attn.o_proj.weight.zero_()
    config = MultimodalGainConfig(model=saved((model, processor), tmp_path / "model"))
    gain = config.score(context([(file, "what colour?", name) for file, name in coloured]))
    np.testing.assert_array_equal(gain, 0.0)


def test_samples_without_picture_question_or_answer_have_no_gain(
    coloured: list[tuple[Path, str]], context: Illustrations, tmp_path: Path
) -> None:
    config = MultimodalGainConfig(model=saved(seeded(llava), tmp_path / "model"))
    file = coloured[0][0]
    lines = [(file, "why?", "so"), (None, "why?", "so"), (file, "", "so"), (file, "why?", " ")]
    assert np.isnan(config.score(context(lines))).tolist() == [False, True, True, True]


def test_order_batches_and_a_filled_cache_do_not_matter(
    coloured: list[tuple[Path, str]], context: Illustrations, tmp_path: Path
) -> None:
    model = saved(seeded(llava), tmp_path / "model")
    lines = [
        (file, f"what {'very ' * place}?", name) for place, (file, name) in enumerate(coloured)
    ]
    lines += lines[:2]
    wanted = MultimodalGainConfig(model=model).score(context(lines, "a"))
    cached = MultimodalGainConfig(model=model, batch_size=3).score(context(lines[::-1], "b"))
    np.testing.assert_array_equal(cached[::-1], wanted)
    fresh = context(lines[::-1], "c", cache=tmp_path / "new")
    found = MultimodalGainConfig(model=model, batch_size=3).score(fresh)
    np.testing.assert_allclose(found[::-1], wanted, atol=2e-4)


def test_deep_pictures_are_shown_through_their_window(tmp_path: Path) -> None:
    """A 16-bit picture whose values fill a thousandth of the range is no black square."""
    file = tmp_path / "deep.png"
    ramp = (1000 + np.arange(64 * 64).reshape(64, 64) % 60).astype(np.uint16)
    Image.fromarray(ramp).save(file)
    identity = decode(file.read_bytes(), file.name, ImagesConfig()).image_id
    shown = read_picture(str(file), identity)
    assert shown.mode == "RGB"
    assert np.asarray(shown).std() > 50


def test_a_picture_that_is_gone_or_changed_stops_the_run(tmp_path: Path) -> None:
    file = tmp_path / "picture.png"
    with raises_code("picture_changed", ref=str(file), image_id=None):
        read_picture(str(file), "anything")
    picture(0).save(file)
    with raises_code("picture_changed", ref=str(file), image_id="anything"):
        read_picture(str(file), "anything")


def test_marks_stand_where_they_stood_or_lead_the_first_question() -> None:
    turns = [("system", "be brief"), ("user", "see <IMAGE> and <image>."), ("user", "so?")]
    assert marked(turns, 2)[1] == ("user", "see <image> and <image>.")
    assert marked(turns, 1)[1] == ("user", "<image>see  and .")
    assert marked([("user", "so?")], 2) == (("user", "<image><image>so?"),)


def test_identity_of_a_sample_is_its_pictures_and_words_not_its_files() -> None:
    messages = [{"role": "user", "content": "so?"}, {"role": "assistant", "content": "no"}]
    one = read_illustrated(messages, ["a.png"], ["x"])
    moved = read_illustrated(messages, ["b.png"], ["x"])
    other = read_illustrated(messages, ["a.png"], ["y"])
    assert one is not None
    assert moved is not None
    assert other is not None
    assert one.content_id == moved.content_id
    assert one.content_id != other.content_id


def test_a_model_that_cannot_be_had_is_refused_before_anything_runs(tmp_path: Path) -> None:
    config = MultimodalGainConfig(model=ImageTextModelConfig(model=str(tmp_path / "nowhere")))
    with raises_code("model_unloadable"):
        config.fingerprint()


def test_identity_is_of_model_and_length_not_of_batches(tmp_path: Path) -> None:
    model = saved(seeded(llava), tmp_path / "model")
    one = MultimodalGainConfig(model=model).fingerprint()
    assert MultimodalGainConfig(model=model, batch_size=2).fingerprint() == one
    assert MultimodalGainConfig(model=model, max_answer_tokens=2).fingerprint() != one


@FAMILIES
def test_texts_that_spell_a_token_of_the_model_have_no_value_and_move_no_other(
    make: Make, tmp_path: Path
) -> None:
    loaded = saved(seeded(make), tmp_path / "model").build()
    scorer = ImageTextLikelihood(loaded, 64, batch_size=3)
    fine = samples()[0]
    token = loaded.processor.image_token
    odd = [
        fine._replace(turns=[("user", f"<image>what is <s> {token}?")]),
        fine._replace(answer=f"a {token} lung"),
        fine._replace(answer="a lung</s>"),
    ]
    if token != "<image>":
        assert scorer.spelled([fine, *odd[1:]]) == [None, token, "</s>"]
    for with_image in (True, False):
        found = scorer.answer_logprob([odd[0], fine, *odd[1:]], with_image)
        assert np.isnan(found).tolist() == [True, False, True, True]
        np.testing.assert_allclose(found[1], scorer.answer_logprob([fine], with_image), atol=1e-4)


def test_a_picture_that_the_processor_refuses_has_no_value_and_moves_no_other(
    tmp_path: Path,
) -> None:
    loaded = saved(seeded(qwen), tmp_path / "model").build()
    scorer = ImageTextLikelihood(loaded, 64, batch_size=2)
    fine = samples()[0]
    thin = fine._replace(pictures=[picture(0, 900, 3)])
    found = scorer.answer_logprob([thin, fine], with_image=True)
    assert np.isnan(found).tolist() == [True, False]
    assert found[1] == scorer.answer_logprob([fine], with_image=True)[0]
