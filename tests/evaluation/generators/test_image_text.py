"""Vision-language models: replies are those of a plain loop, whatever stands next to them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from evaluation.generators import ImageTextGenerator, Reply, Request
from evaluation.prompts import YES_NO
from evaluation.records import ITEMS
from medsift.images.scaling import scaled
from tests.evaluation.generators.conftest import asked
from tests.tiny_models import (
    Make,
    idefics,
    llava,
    picture,
    qwen,
    saved,
    saved_adapter,
    seeded,
    write_letters,
)

FAMILIES = pytest.mark.parametrize("make", [llava, idefics, qwen])
NO_ITEMS = ITEMS.empty_table()
TOKENS = 16
ENDS = ["7", "e", "K", "$", "+"]


def made(make: Make) -> tuple[Any, Any]:
    """A model that writes letters, some of which end its replies."""
    model, processor = seeded(make)
    ends = processor.tokenizer.convert_tokens_to_ids(ENDS)
    model.generation_config.eos_token_id = [1, *ends]
    write_letters(model.eval(), processor.tokenizer)
    return model, processor


def config(make: Make, folder: Path, **settings: Any) -> ImageTextGenerator:
    model = saved(made(make), folder)
    given = {"model": model, "generation": {"max_new_tokens": TOKENS}, **settings}
    return ImageTextGenerator.model_validate(given)


def replies(config: ImageTextGenerator, requests: Sequence[Request]) -> list[Reply]:
    return config.build(NO_ITEMS).generate(requests)


def requests() -> list[Request]:
    """No, one and several pictures of several sizes; short and long, one and several turns."""
    earlier = [("user", "first <image> then <image> so?"), ("assistant", "yes")]
    return [
        asked("<image>what is it?", [picture(0)]),
        asked("is it?<image>", [picture(1, 80, 30)]),
        asked("sure?", [picture(2), picture(3, 30, 60)], before=earlier),
        asked("what is a lung?"),
        asked(
            "<image>why?", [picture(4)], before=[("system", "be brief")], candidates=YES_NO["en"]
        ),
        asked(f"what is {'very ' * 9} long?", candidates=YES_NO["en"]),
        asked("<image>and what, if anything at all, is seen here?", [picture(5, 56, 56)]),
    ]


def plain_reply(model: Any, processor: Any, request: Request) -> Reply:
    """What `generate` makes of one request, nothing padded."""
    messages = []
    for role, content in request.turns:
        first, *rest = content.split("<image>")
        parts = [{"type": "text", "text": first.strip()}]
        for piece in rest:
            parts += [{"type": "image"}, {"type": "text", "text": piece.strip()}]
        messages.append({"role": role, "content": parts})
    prompt = processor.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
    given = {"text": [prompt], "return_tensors": "pt", "add_special_tokens": False}
    if request.pictures:
        given["images"] = [list(request.pictures)]
    inputs = processor(**given) if request.pictures else processor.tokenizer(**given)
    inputs = {name: value for name, value in inputs.items() if name != "token_type_ids"}
    with torch.inference_mode():
        ids = model.generate(**inputs, max_new_tokens=TOKENS, do_sample=False)
    return written(processor, ids[0, inputs["input_ids"].shape[1] :])


def written(processor: Any, new: torch.Tensor) -> Reply:
    text = processor.tokenizer.decode(new)
    return Reply(text[:-1] if text[-1] in ENDS else text, tokens=len(new))


@FAMILIES
def test_replies_are_those_of_a_plain_loop_whatever_the_batch(make: Make, tmp_path: Path) -> None:
    model, processor = made(make)
    wanted = [plain_reply(model, processor, one) for one in requests()]
    assert len({reply.text for reply in wanted}) > 4
    assert len({reply.tokens for reply in wanted}) > 2
    one_by_one = config(make, tmp_path / "model")
    weights = [reply.probabilities for reply in replies(one_by_one, requests())]
    for batch_size in (1, 3, 7):
        found = one_by_one.model_copy(update={"batch_size": batch_size}).build(NO_ITEMS)
        for order in (1, -1):
            answered = found.generate(requests()[::order])[::order]
            assert [(one.text, one.tokens) for one in answered] == [
                (one.text, one.tokens) for one in wanted
            ]
            for one, alone in zip(answered, weights, strict=True):
                assert one.probabilities == (alone and pytest.approx(alone, abs=1e-5))


@FAMILIES
def test_the_picture_decides_and_its_mode_does_not(make: Make, tmp_path: Path) -> None:
    grey = picture(0).convert("L")
    shown = [grey, grey.convert("RGB"), *map(picture, range(4))]
    asks = [asked("<image>what is it?", [one]) for one in shown]
    grey_reply, rgb_reply, *others = replies(config(make, tmp_path / "model", batch_size=6), asks)
    assert grey_reply == rgb_reply
    assert len({reply.text for reply in others}) > 1


def test_sampled_replies_depend_on_words_pictures_and_seed_alone(tmp_path: Path) -> None:
    warm = {"max_new_tokens": TOKENS, "temperature": 1.5}
    alone = config(llava, tmp_path / "model", generation=warm)
    wanted = [reply.text for reply in replies(alone, requests())]
    together = alone.model_copy(update={"batch_size": 7})
    assert [reply.text for reply in replies(together, requests())] == wanted
    same = asked("<image>what is it?", [picture(0), picture(0)][:1])
    other = Request("other", "id", "blank", same.turns, same.pictures)
    assert replies(together, [other])[0].text == wanted[0]


def test_a_template_may_live_in_the_tokenizer_or_be_missing(tmp_path: Path) -> None:
    model, processor = made(llava)
    one = asked("<image>what is it?", [picture(0)])
    wanted = plain_reply(model, processor, one)
    template, processor.chat_template = processor.chat_template, None
    processor.tokenizer.chat_template = template
    given = {"generation": {"max_new_tokens": TOKENS}}
    there = ImageTextGenerator(model=saved((model, processor), tmp_path / "words"), **given)
    assert (there.model, replies(there, [one])) == (there.model, [wanted])
    model, processor = made(lambda: llava(None))
    plain = ImageTextGenerator(model=saved((model, processor), tmp_path / "plain"), **given)
    inputs = processor(
        text=["Question: <image>\nwhat is it?\nAnswer:"],
        images=[list(one.pictures)],
        return_tensors="pt",
        return_token_type_ids=False,
    )
    with torch.inference_mode():
        ids = model.generate(**inputs, max_new_tokens=TOKENS, do_sample=False)
    wanted = written(processor, ids[0, inputs["input_ids"].shape[1] :])
    assert replies(plain, [one]) == [wanted]


def test_a_picture_that_the_processor_refuses_takes_no_other_along(tmp_path: Path) -> None:
    narrow = asked("<image>what is it?", [picture(0, 1, 300)])
    whole = [*requests()[:2], narrow]
    found = replies(config(qwen, tmp_path / "model", batch_size=3), whole)
    alone = replies(config(qwen, tmp_path / "model"), whole[:2])
    assert found[:2] == alone
    assert found[2].text is None
    assert "aspect ratio" in str(found[2].error)


def test_large_pictures_are_scaled_down_in_proportion(tmp_path: Path) -> None:
    large = picture(0, 120, 60)
    assert scaled(large, 1800).size == (60, 30)
    assert scaled(large, 120 * 60) is large
    assert scaled(large, None) is large
    for width, height, most in ((300, 7, 50), (7, 300, 50), (33, 31, 1), (640, 480, 10_000)):
        found = scaled(picture(1, width, height), most).size
        assert min(found) == 1 or found[0] * found[1] <= most
        assert min(found) <= 8 or found[0] / found[1] == pytest.approx(width / height, rel=0.02)
    small = config(qwen, tmp_path / "model", max_pixels=1800)
    asks = [asked("<image>so?", [one]) for one in (large, scaled(large, 1800))]
    first, second = replies(small, asks)
    assert first == second
    assert first != replies(small.model_copy(update={"max_pixels": None}), asks)[0]


def test_identity_is_of_model_adapter_and_pixels(tmp_path: Path) -> None:
    plain = config(llava, tmp_path / "model")
    adapter = saved_adapter(made(llava)[0], tmp_path / "lora", None)
    others = [
        plain.model_copy(update=one) for one in ({"adapter": adapter}, {"max_pixels": 1 << 20})
    ]
    assert plain.model_copy(update={"batch_size": 4}).fingerprint() == plain.fingerprint()
    assert len({one.fingerprint() for one in (plain, *others)}) == 3
    assert others[0].name == "model+lora"


@FAMILIES
def test_an_adapter_changes_replies(make: Make, tmp_path: Path) -> None:
    plain = config(make, tmp_path / "model", batch_size=4)
    model, processor = made(make)
    whole = {"modules_to_save": ["multi_modal_projector"]} if make is llava else {}
    adapter = saved_adapter(model, tmp_path / "lora", None, task_type="CAUSAL_LM", **whole)
    # PEFT has put the adapter into this model, too.
    wanted = [plain_reply(model, processor, one).text for one in requests()]
    found = replies(plain.model_copy(update={"adapter": adapter}), requests())
    assert [reply.text for reply in found] == wanted
    assert wanted != [reply.text for reply in replies(plain, requests())]


def test_a_question_that_spells_a_picture_token_is_an_error_of_its_own(tmp_path: Path) -> None:
    batched = config(qwen, tmp_path / "model", batch_size=3)
    fine, odd = asked("<image>what?", [picture(0)]), asked("<image>a <|image_pad|>?", [picture(0)])
    found = replies(batched, [fine, odd, asked("no <|video_pad|>?")])
    assert found[0] == replies(batched, [fine])[0]
    assert [one.text for one in found[1:]] == [None, None]
    assert ["pad|>" in (one.error or "") for one in found] == [False, True, True]
