"""The assembled offline vision-language model: its parts, its batches, its gradients, its files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from curation.encoders.embedded import EmbeddedConfig
from curation.phantoms.cases import Case, draw_case
from curation.phantoms.images import paint, to_bytes
from curation.phantoms.questions import MODALITY_NAMES
from medsift.models import (
    EmbeddedImageTextModelConfig,
    EmbeddedModelConfig,
    ImageTextModel,
    ImageTextModelConfig,
    LanguageModel,
    embedded,
)
from medsift.models.embedded_vlm import IMAGE_TOKEN, assemble, root_mean_square
from medsift.models.image_text import Illustrated, ImageTextLikelihood
from tests.expect import raises_code

TOWER = "vision_tower"
PROJECTOR = "multi_modal_projector"


@pytest.fixture(scope="module")
def made() -> ImageTextModel:
    return EmbeddedImageTextModelConfig(side=3).build()


@pytest.fixture(scope="module")
def language() -> LanguageModel:
    return EmbeddedModelConfig().build()


@pytest.fixture(scope="module")
def folder(made: ImageTextModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("vlm")
    made.model.save_pretrained(place)
    made.processor.save_pretrained(place)
    return place


def picture(seed: int, width: int = 260, height: int = 230) -> Image.Image:
    noise = np.random.default_rng(seed).integers(0, 256, (12, 12), np.uint8)
    return Image.fromarray(noise).resize((width, height), Image.Resampling.BICUBIC)


def asked(processor: Any, words: str, pictures: int, answer: str | None = None) -> str:
    parts = [{"type": "image"}] * pictures + [{"type": "text", "text": words}]
    turns = [{"role": "user", "content": parts}]
    if answer is not None:
        turns.append({"role": "assistant", "content": [{"type": "text", "text": answer}]})
    text: str = processor.apply_chat_template(turns, add_generation_prompt=answer is None)
    return text


QUESTIONS = [("Which organ?", 1), ("Name a colour.", 0), ("What differs between them?", 2)]


def inputs(processor: Any, lines: Sequence[tuple[str, int]], answer: str | None = None) -> Any:
    """One sample a line, as (words, number of pictures); pictures go by place in the line."""
    shown = [[picture(len(words) + place) for place in range(count)] for words, count in lines]
    return processor(
        text=[asked(processor, words, count, answer) for words, count in lines],
        images=shown if any(shown) else None,
        padding=True,
        padding_side="left",
        return_tensors="pt",
    )


def test_parts_are_the_wheels_own(made: ImageTextModel, language: LanguageModel) -> None:
    words = made.processor.tokenizer("Is there a lesion?", return_tensors="pt")
    with torch.inference_mode():
        ours = made.model(**words).logits
        theirs = language.model.cpu()(**words).logits
        assert torch.equal(ours, theirs)
        encoder = EmbeddedConfig(threads=1).build()
        shown = picture(0)
        pixels = made.processor.image_processor(shown, return_tensors="pt")["pixel_values"]
        grid = made.model.model.vision_tower.network(pixels)[0].numpy()
    wanted = encoder.encode_images(encoder.prepare(shown)[None])[0]
    assert float(grid @ wanted / np.linalg.norm(grid)) > 0.9999


def test_pixels_are_those_of_the_embedded_encoder(made: ImageTextModel) -> None:
    shown = picture(1, 400, 150)
    pixels = made.processor.image_processor(shown, return_tensors="pt")["pixel_values"][0]
    wanted = EmbeddedConfig(threads=1).build().prepare(shown).astype(np.float32)
    found = pixels.permute(1, 2, 0).numpy() * 128 + 127
    # Pillow and torch round a resized picture differently.
    assert np.abs(found - wanted).max() <= 2


def test_text_alone_is_tokenised_as_before_and_the_picture_takes_side_squared_tokens(
    made: ImageTextModel, language: LanguageModel
) -> None:
    before = language.tokenizer
    now = made.processor.tokenizer
    text = "<|im_start|>user\nA 12 mm nodule?<|im_end|>\n"
    assert now(text)["input_ids"] == before(text)["input_ids"]
    assert len(now) == len(before)
    assert made.processor.image_token == IMAGE_TOKEN
    found = inputs(made.processor, QUESTIONS)
    counts = (found["input_ids"] == made.model.config.image_token_id).sum(1)
    assert counts.tolist() == [9, 0, 18]
    assert found["pixel_values"].shape == (3, 3, 224, 224)


def test_template_marks_what_the_assistant_says(made: ImageTextModel) -> None:
    turns = [
        {"role": "user", "content": "Why?"},
        {"role": "assistant", "content": [{"type": "text", "text": "So."}]},
        {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "And?"}]},
        {"role": "assistant", "content": "No."},
    ]
    text = made.processor.apply_chat_template(turns)
    assert text == (
        "<|im_start|>user\nWhy?<|im_end|>\n<|im_start|>assistant\nSo.<|im_end|>\n"
        f"<|im_start|>user\n{IMAGE_TOKEN}And?<|im_end|>\n<|im_start|>assistant\nNo.<|im_end|>\n"
    )
    told = made.processor.tokenizer.apply_chat_template(
        turns, return_dict=True, return_assistant_tokens_mask=True
    )
    said = np.array(told["input_ids"])[np.array(told["assistant_masks"], bool)]
    assert made.processor.tokenizer.decode(said) == "So.<|im_end|>No.<|im_end|>"


def test_generation_is_the_same_alone_and_in_a_batch(made: ImageTextModel) -> None:
    how = {"max_new_tokens": 5, "do_sample": False}
    batch = inputs(made.processor, QUESTIONS)
    with torch.inference_mode():
        together = made.model.generate(**batch, **how)[:, batch["input_ids"].shape[1] :]
        uncached = made.model.generate(**batch, **how, use_cache=False)
        assert torch.equal(uncached[:, batch["input_ids"].shape[1] :], together)
        for line, found in zip(QUESTIONS, together, strict=True):
            single = inputs(made.processor, [line])
            alone = made.model.generate(**single, **how)[0, single["input_ids"].shape[1] :]
            assert torch.equal(found[: len(alone)], alone)


def test_pictures_that_do_not_match_the_tokens_are_refused(made: ImageTextModel) -> None:
    found = inputs(made.processor, QUESTIONS[:1])
    with pytest.raises(ValueError, match="image tokens do not match, tokens: 9"):
        made.model(**{**found, "pixel_values": found["pixel_values"].repeat(2, 1, 1, 1)})
    with pytest.raises(ValueError, match="should be the same as the number of images"):
        made.processor(text=[asked(made.processor, "?", 2)], images=[[picture(0)]])


def test_a_saved_folder_gives_the_same_logits(made: ImageTextModel, folder: Path) -> None:
    loaded = ImageTextModelConfig(model=str(folder)).build()
    first, again = inputs(made.processor, QUESTIONS), inputs(loaded.processor, QUESTIONS)
    assert first.keys() == again.keys()
    assert all(torch.equal(first[name], again[name]) for name in first)
    with torch.inference_mode():
        assert torch.equal(made.model(**first).logits, loaded.model(**again).logits)
    assert loaded.model.generation_config.to_dict() == made.model.generation_config.to_dict()


def gradients(model: Any, given: Any) -> dict[str, torch.Tensor]:
    """Gradients of the loss of a batch's last two tokens, of every parameter that has one."""
    labels = given["input_ids"].clone()
    labels[:, :-2] = -100
    model.zero_grad()
    model(**given, labels=labels).loss.backward()
    return {
        name: weight.grad for name, weight in model.named_parameters() if weight.grad is not None
    }


@pytest.fixture
def trained(folder: Path) -> Any:
    """The model as a trainer has it: loaded from a folder, its eyes frozen."""
    model = ImageTextModelConfig(model=str(folder)).build().model
    model.get_encoder(modality="image").requires_grad_(False)
    return model.train()


def test_gradients_reach_projector_and_places_and_never_the_frozen_tower(
    made: ImageTextModel, trained: Any
) -> None:
    found = gradients(trained, inputs(made.processor, QUESTIONS, "a lung"))
    assert not any(TOWER in name for name in found)
    assert any("language_model" in name for name in found)
    channels = trained.config.vision_config.channels
    places = found[f"model.{PROJECTOR}.linear_1.weight"][:, channels:]
    assert places.shape[1] == 9
    assert (places.abs().sum(0) > 0).all()
    trained.get_encoder(modality="image").requires_grad_(True)
    freed = gradients(trained, inputs(made.processor, QUESTIONS, "a lung"))
    assert {name for name, _ in trained.named_parameters()} == freed.keys()


@pytest.mark.nightly
def test_gradient_checkpointing_changes_nothing(made: ImageTextModel, trained: Any) -> None:
    given = inputs(made.processor, QUESTIONS, "a lung")
    plain = gradients(trained, given)
    trained.gradient_checkpointing_enable({"use_reentrant": False})
    saving = gradients(trained, given)
    assert plain.keys() == saving.keys()
    assert all(torch.equal(plain[name], saving[name]) for name in plain)


def phantoms(processor: Any, count: int) -> dict[str, torch.Tensor]:
    """A batch that asks of phantoms how they were made; labels cover the answers alone."""
    cases = [draw_case(0, index) for index in range(count)]
    found = processor(
        text=[
            asked(processor, "Which modality?", 1, MODALITY_NAMES[one.modality]) for one in cases
        ],
        images=[[shown(one)] for one in cases],
        padding=True,
        return_tensors="pt",
    )
    opening = processor(
        text=asked(processor, "Which modality?", 1), images=[shown(cases[0])], return_tensors="pt"
    )["input_ids"].shape[1]
    labels = found["input_ids"].masked_fill(found["attention_mask"] == 0, -100)
    labels[:, :opening] = -100
    return {**found, "labels": labels}


def shown(case: Case) -> Image.Image:
    return Image.fromarray(to_bytes(paint(case, 0)))


@pytest.mark.nightly
@pytest.mark.slow
def test_adapters_learn_beside_the_whole_projector_and_load_again(
    made: ImageTextModel, folder: Path, tmp_path: Path
) -> None:
    from peft import LoraConfig, PeftModel, get_peft_model

    settings = LoraConfig(
        r=8,
        lora_alpha=16,
        target_modules="all-linear",
        exclude_modules=rf".*({TOWER}|{PROJECTOR}).*",
        modules_to_save=[PROJECTOR],
    )
    torch.manual_seed(0)
    model = get_peft_model(ImageTextModelConfig(model=str(folder)).build().model, settings).train()
    learns = {name: weight for name, weight in model.named_parameters() if weight.requires_grad}
    assert not any(TOWER in name for name in learns)
    assert all("lora_" in name or PROJECTOR in name for name in learns)
    optimiser = torch.optim.AdamW(learns.values(), lr=2e-3)
    given, losses = phantoms(made.processor, 5), []
    for _ in range(5):
        loss = model(**given).loss
        loss.backward()
        assert all(weight.grad is not None for weight in learns.values())
        optimiser.step()
        optimiser.zero_grad()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.5 * losses[0]
    model.save_pretrained(tmp_path / "adapter")
    base = ImageTextModelConfig(model=str(folder)).build().model
    again = PeftModel.from_pretrained(base, str(tmp_path / "adapter")).eval()
    with torch.inference_mode():
        assert torch.equal(again(**given).logits, model.eval()(**given).logits)


def test_likelihoods_are_those_of_a_plain_pass_whatever_the_batch(made: ImageTextModel) -> None:
    samples = [
        Illustrated([("user", "<image>" * count + words)], "a lung", [picture(count)] * count)
        for words, count in QUESTIONS
    ]
    wanted = [plain_logprob(made, sample) for sample in samples]
    for size in (1, 3):
        found = ImageTextLikelihood(made, 8, size).answer_logprob(samples, with_image=True)
        np.testing.assert_allclose(found, wanted, atol=1e-4)


def plain_logprob(made: ImageTextModel, sample: Illustrated) -> float:
    words, count = sample.turns[0][1].replace("<image>", ""), len(sample.pictures)
    given = made.processor(
        text=asked(made.processor, words, count) + sample.answer,
        images=list(sample.pictures) or None,
        return_tensors="pt",
    )
    with torch.inference_mode():
        logits = made.model(**given).logits[0].log_softmax(dim=1)
    ids = given["input_ids"][0]
    length = len(made.processor.tokenizer(sample.answer)["input_ids"])
    places = torch.arange(len(ids) - length, len(ids))
    return float(logits[places - 1, ids[places]].mean())


def test_weights_follow_from_the_seed_alone(
    made: ImageTextModel, language: LanguageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Reading the packaged file takes longer than all the rest, and knows no seed.
    monkeypatch.setattr(EmbeddedModelConfig, "build", lambda self: deepcopy(language))
    first = made.model.state_dict()
    torch.manual_seed(2)
    again, other = assemble(3, 0)[0].state_dict(), assemble(3, 1)[0].state_dict()
    assert all(torch.equal(first[name], again[name]) for name in first)
    changed = {name for name in first if not torch.equal(first[name], other[name])}
    assert changed == {f"model.{PROJECTOR}.linear_{layer}.weight" for layer in (1, 2)}


@pytest.fixture(params=(1, 2, 3))
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


def test_first_weights_do_not_depend_on_threads(threads: int) -> None:
    for seed in (0, 2):  # float32 sums of these differ between one thread and three
        drawn = torch.randn(50_000, 96, generator=torch.Generator().manual_seed(seed)) * 0.13
        exact = np.sqrt(np.square(drawn.numpy(), dtype=np.float64).mean())
        assert root_mean_square(drawn) == float(np.float32(exact))


def test_an_untrained_model_is_not_thrown_off_by_pictures(made: ImageTextModel) -> None:
    """Cells are as loud as words, so that answers stay about as likely as without them."""
    cells = made.model.get_image_features(phantoms(made.processor, 4)["pixel_values"]).pooler_output
    words = made.model.get_input_embeddings().weight
    assert float(torch.cat(cells).square().mean() / words.square().mean()) == pytest.approx(1, 0.3)


def test_identity_is_of_parts_side_seed_and_precision() -> None:
    plain = EmbeddedImageTextModelConfig().fingerprint()
    assert EmbeddedImageTextModelConfig(dtype="float32").fingerprint() == plain
    for other in ({"side": 2}, {"seed": 1}, {"dtype": "bfloat16"}):
        assert EmbeddedImageTextModelConfig.model_validate(other).fingerprint() != plain


def test_altered_or_missing_weights_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    damaged = tmp_path / embedded.FILE
    damaged.write_bytes(b"GGUF")
    monkeypatch.setattr(embedded, "packaged_file", lambda package, name: damaged)
    for call in (EmbeddedImageTextModelConfig().fingerprint, EmbeddedImageTextModelConfig().build):
        with raises_code("weights_damaged", path=str(damaged)):
            call()


def test_fewer_layers_are_the_first_of_the_whole_model(made: ImageTextModel) -> None:
    config = EmbeddedImageTextModelConfig(side=3, layers=2)
    cut = config.build()
    blocks = cut.model.model.language_model.layers
    assert len(blocks) == cut.model.config.text_config.num_hidden_layers == 2
    assert config.fingerprint() != EmbeddedImageTextModelConfig(side=3).fingerprint()
    found = inputs(cut.processor, QUESTIONS[:1])
    with torch.inference_mode():
        # What the third block of the whole model would take is what the cut one ends with.
        whole = made.model(**found, output_hidden_states=True).hidden_states[2]
        last = cut.model(**found, output_hidden_states=True).hidden_states[2]
    norm = made.model.model.language_model.norm
    assert torch.allclose(norm(whole), last, atol=1e-4)


def test_models_built_one_after_another_share_no_weights() -> None:
    first, second = (EmbeddedModelConfig(layers=1).build().model for _ in range(2))
    weight = "model.layers.0.mlp.up_proj.weight"
    before = second.state_dict()[weight].clone()
    with torch.no_grad():
        first.state_dict()[weight].add_(1.0)
        first.state_dict()["lm_head.weight"].add_(1.0)
    assert torch.equal(second.state_dict()[weight], before)
    third = EmbeddedModelConfig(layers=1).build().model
    assert torch.equal(third.state_dict()[weight], before)
    assert torch.equal(third.state_dict()["lm_head.weight"], second.state_dict()["lm_head.weight"])
