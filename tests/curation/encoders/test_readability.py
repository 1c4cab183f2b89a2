"""Which texts an encoder reads: unlike ones never share a vector, what is unread has none.

Texts in ten scripts; the vocabularies of MiniLM (in a package), of CLIP (in open_clip) and small
ones made here.
"""

from __future__ import annotations

import json
import string
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curation.encoders import EmbeddedConfig, OpenClipConfig
from curation.encoders.embedded import EmbeddedEncoder
from curation.encoders.function_words import looks_foreign
from curation.encoders.long_texts import fitting_parts
from curation.encoders.readability import TextReader
from curation.encoders.scripts import main_script, scripts_read
from curation.encoders.vocabularies import plain_pieces, reader_of
from tests.expect import raises_code

UNREAD: dict[str, tuple[str, str]] = {
    "cjk": ("图中有肺结核吗？", "图中有肺腺癌吗？"),
    "hiragana": ("かんぞう", "じんぞう"),
    "katakana": ("レントゲン", "エコー"),
    "hangul": ("폐렴", "폐암"),
    "arabic": ("الرئة اليمنى", "الرئة اليسرى"),
    "thai": ("ปอดบวม", "มะเร็งปอด"),
    "cyrillic": ("правое лёгкое", "левое лёгкое"),
    "devanagari": ("दायाँ फेफड़ा", "बायाँ फेफड़ा"),
    "hebrew": ("ריאה ימנית", "ריאה שמאלית"),
    "greek": ("δεξιός πνεύμονας", "αριστερός πνεύμονας"),
    "latin with accents": ("hígado", "riñón"),
    "signs": ("♂", "♀"),
}
READ = (
    "Is there a fracture?",
    "Is there evidence of pneumothorax in the left lung?",
    "β-blocker",
    "nodule ≥ 5 mm",
    "“yes” – on the left…",
    "cardiomegaly",
    "AV node",
    "LA and LV enlarged",
    "NG tube in place",
    "cafe au lait spots of the skin and of the eye",
    "T2 FLAIR, 1.5 T",
)
ENGLISH_QUESTIONS = (
    "Ist die Leber normal?",
    "¿Hay derrame pleural?",
    "le foie est-il normal",
    "O pulmao esta normal? Qual a imagem?",
    "Dove si trova la frattura",
    "Is er een breuk in de arm, en waar?",
    "Apakah paru-paru normal?",
)


@pytest.fixture(scope="module")
def encoder() -> EmbeddedEncoder:
    return EmbeddedConfig(threads=1).build()


@pytest.fixture(scope="module")
def clip() -> TextReader:
    return reader_of(open_clip.tokenizer.SimpleTokenizer())


@pytest.mark.parametrize("script", UNREAD)
def test_texts_in_scripts_without_words_in_the_vocabulary_have_no_vector(
    script: str, encoder: EmbeddedEncoder
) -> None:
    texts = [*UNREAD[script], f"Is there {UNREAD[script][0]}?"]
    assert not encoder.reads(texts).any()
    assert not encoder.encode_texts(texts).any()
    assert {main_script(text) for text in UNREAD[script]} == {script}


def test_clip_reads_no_other_script_either(clip: TextReader) -> None:
    foreign = [text for script, pair in UNREAD.items() if script != "signs" for text in pair]
    assert not clip.reads(foreign).any()
    assert clip.scripts == {"latin"}
    # Its bytes have a piece for these signs, and none for those.
    assert clip.reads(["♂", "→", "½", "≥", "←", "α"]).tolist() == [True] * 3 + [False] * 3


def test_english_is_read_with_its_signs_and_abbreviations(encoder: EmbeddedEncoder) -> None:
    assert encoder.reads(READ).all()
    np.testing.assert_allclose(np.linalg.norm(encoder.encode_texts(READ), axis=1), 1.0, atol=1e-5)


@pytest.mark.parametrize("text", ENGLISH_QUESTIONS)
def test_other_languages_of_plain_letters_are_told_by_their_small_words(
    text: str, encoder: EmbeddedEncoder
) -> None:
    assert looks_foreign(text)
    assert not encoder.reads([text])[0]


def test_nothing_is_read_in_an_empty_text(encoder: EmbeddedEncoder, clip: TextReader) -> None:
    for reader in (encoder, clip):
        assert reader.reads(["", " \n"]).tolist() == [False, False]
        assert reader.reads([]).shape == (0,)


def test_reading_does_not_need_the_weights() -> None:
    texts = [*READ, *(text for pair in UNREAD.values() for text in pair)]
    whole = EmbeddedConfig(threads=1).build().reads(texts)
    assert EmbeddedConfig().reader().reads(texts).tolist() == whole.tolist()


WORDS = st.sampled_from(
    [*(word for text in READ for word in text.split()), *(t for p in UNREAD.values() for t in p)]
)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.lists(WORDS, min_size=1, max_size=6).map(" ".join), min_size=2, max_size=8))
def test_unlike_texts_that_are_read_never_share_a_vector(
    encoder: EmbeddedEncoder, texts: list[str]
) -> None:
    read = encoder.reads(texts)
    vectors = encoder.encode_texts(texts)
    assert (vectors.any(axis=1) == read).all()
    folded = np.array([text.lower() for text in texts])
    cosine = vectors @ vectors.T
    unlike = (folded[:, None] != folded[None, :]) & np.outer(read, read)
    assert not (cosine[unlike] > 0.9999).any()


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=30), st.sampled_from([text for pair in UNREAD.values() for text in pair]))
def test_one_word_that_cannot_be_read_makes_a_text_unread(
    encoder: EmbeddedEncoder, around: str, word: str
) -> None:
    assert not encoder.reads([f"{around} {word} {around}"])[0]


def long_text(ending: str) -> str:
    return "the report describes the left lung in every detail " * 60 + ending


def test_a_long_text_has_the_vector_of_all_its_parts(encoder: EmbeddedEncoder) -> None:
    texts = [long_text("no effusion"), long_text("a large effusion on the right"), "the left lung"]
    vectors = encoder.encode_texts(texts)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-5)
    assert vectors[0] @ vectors[1] < 0.9999
    parts = fitting_parts(texts[0], encoder.texts.reader)
    assert " ".join(parts) == texts[0]
    own = encoder.encode_texts(parts).astype(np.float64)
    mean = (own * np.array([len(part) for part in parts])[:, None]).sum(axis=0)
    np.testing.assert_allclose(vectors[0], mean / np.linalg.norm(mean), atol=1e-6)
    assert np.array_equal(encoder.encode_texts(texts[::-1]), vectors[::-1])


@settings(max_examples=60, deadline=None)
@given(st.text(alphabet="ab  \n", max_size=80), st.integers(3, 12))
def test_parts_fit_and_lose_nothing_but_white_space(text: str, limit: int) -> None:
    def tokens(texts: Any) -> list[list[int]]:
        return [[0] * len(text) for text in texts]

    reader = TextReader(frozenset(), frozenset(), tokens, None, limit, str)
    parts = fitting_parts(text, reader)
    assert all(len(part) <= limit for part in parts)
    assert "".join("".join(parts).split()) == "".join(text.split())


def test_a_script_is_read_where_the_vocabulary_has_words_of_it() -> None:
    kana = [chr(0x3042 + n % 40) + chr(0x30A2 + n // 40) for n in range(400)]
    assert scripts_read([*kana, *string.ascii_lowercase]) == {"hiragana", "katakana"}
    # A Chinese vocabulary has single ideographs by the thousand, an English one by the hundred.
    assert scripts_read(map(chr, range(0x4E00, 0x4E00 + 3000))) == {"cjk"}
    assert scripts_read(map(chr, range(0x4E00, 0x4E00 + 500))) == frozenset()


def test_a_reader_of_several_languages_reads_them() -> None:
    han = [chr(0x4E00 + n) for n in range(3000)]
    accented = [f"ü{chr(97 + a)}{chr(97 + b)}" for a in range(26) for b in range(26)]
    cyrillic = [chr(0x430 + a) + chr(0x430 + b) for a in range(32) for b in range(32)]
    pieces = [*han, *accented, *cyrillic, "？", *string.ascii_lowercase]
    reader = TextReader.of(pieces, lambda texts: [[1] for _ in texts], 0, 8)
    assert reader.reads(["上下？", "да", "über dem Herz ist ein", "폐렴", "ปอด"]).tolist() == (
        [True, True, True, False, False]
    )


def test_pieces_of_every_common_kind_are_read_as_text() -> None:
    assert plain_pieces(["lung", "##s", "[x]"]) == ["lung", "s", "[x]"]
    assert plain_pieces(["\u2581lung", "s", "<0x0A>"]) == ["lung", "s"]
    byte_of = open_clip.tokenizer.bytes_to_unicode()
    both = "".join(byte_of[byte] for byte in "é".encode())
    single = list(byte_of.values())
    assert plain_pieces([*single, both, byte_of[0xC3] + "a"])[-1] == "é"


def test_what_cleaning_takes_away_makes_a_text_unread() -> None:
    def without_marks(text: str) -> str:
        return text.translate(str.maketrans("", "", string.punctuation)).lower()

    reader = TextReader.of(string.printable, lambda texts: [[1] for _ in texts], None, 64,
                           without_marks)  # fmt: skip
    texts = ["Is it normal?", "is it > 5 cm", "1.5 mm", "5%", "-3", "Grade 3, left"]
    assert reader.reads(texts).tolist() == [True, False, False, False, False, True]


def test_a_tokenizer_that_cannot_be_looked_at_is_refused() -> None:
    with raises_code("tokenizer_unsupported", tokenizer="object"):
        reader_of(object())


def test_an_open_clip_model_with_a_word_piece_tower_reads_by_its_own_vocabulary(
    tmp_path: Path,
) -> None:
    from transformers import BertTokenizerFast

    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "?", "is", "the", "lung", "normal"]
    letters = [f"{mark}{letter}" for letter in "abcdefghijklmnop肺" for mark in ("", "##")]
    (tmp_path / "vocab.txt").write_text("\n".join([*words, *letters]), encoding="utf-8")
    BertTokenizerFast(str(tmp_path / "vocab.txt")).save_pretrained(tmp_path)
    text = {"context_length": 12, "hf_tokenizer_name": str(tmp_path)}
    config = {"model_cfg": {"embed_dim": 8, "vision_cfg": {}, "text_cfg": text}}
    (tmp_path / "open_clip_config.json").write_text(json.dumps(config))
    (tmp_path / "open_clip_model.safetensors").write_bytes(b"")
    reader = OpenClipConfig(model=f"local-dir:{tmp_path}").reader()
    # z is not among the letters, and the one ideograph makes no Chinese vocabulary.
    texts = ["Is the lung normal?", "is the gland big?", "zone", "is the 肺 normal?"]
    assert reader.reads(texts).tolist() == [True, True, False, False]
    assert reader.limit == 12
    assert len(fitting_parts("lung " * 60, reader)) > 5


@pytest.mark.parametrize("mark", ["[PAD]", "[SEP]", "[CLS]", "[MASK]", "[UNK]"])
def test_a_text_that_spells_a_token_of_the_tower_is_not_read(encoder: EmbeddedEncoder, mark: str):
    texts = ["is it a cyst", f"is it a cyst {mark}", f"is it a cyst{mark}or cancer"]
    assert encoder.reads(texts).tolist() == [True, False, False]
    assert not encoder.encode_texts(texts)[1:].any()


def test_clip_reads_no_text_that_it_would_end_early(clip: TextReader):
    texts = ["is it a cyst", "is it a cyst <end_of_text> or cancer", "a <END_OF_TEXT>", "[PAD] it"]
    assert clip.reads(texts).tolist() == [True, False, False, True]
