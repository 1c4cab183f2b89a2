"""Build the text reader of an open_clip tokenizer of any kind."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from curation.encoders.readability import TextReader
from medsift.errors import ModelError

CLIP_ENDS: Final = "</w>"
WORD_MARKS: Final = ("##", "\u2581")
"""Marks of a piece inside (WordPiece) or at the beginning (SentencePiece) of a word."""


def reader_of(tokenizer: Any) -> TextReader:
    """Return the reader of what `open_clip.get_tokenizer` gives.

    Raises ModelError for a kind of tokenizer whose vocabulary cannot be looked at: which texts it
    reads would be a guess.
    """
    inner = getattr(tokenizer, "tokenizer", None)
    if inner is not None and hasattr(inner, "get_vocab"):
        return _of_transformers(tokenizer, inner)
    if hasattr(tokenizer, "byte_decoder") and hasattr(tokenizer, "encode"):
        return _of_clip(tokenizer)
    kind = type(tokenizer).__name__
    words = f"the encoder's tokenizer is a {kind}, whose vocabulary cannot be looked at; name a"
    words += " model with CLIP's own or a Hugging Face tokenizer"
    raise ModelError(words, code="tokenizer_unsupported", tokenizer=kind)


def _of_clip(tokenizer: Any) -> TextReader:
    """Return the reader of CLIP's byte pairs: each byte of a piece is one printable character."""

    def tokens(texts: Sequence[str]) -> list[list[int]]:
        ends = [tokenizer.sot_token_id], [tokenizer.eot_token_id]
        return [[*ends[0], *tokenizer.encode(text), *ends[1]] for text in texts]

    pieces = (piece.removesuffix(CLIP_ENDS) for piece in tokenizer.encoder)
    plain = list(_decoded(pieces, tokenizer.byte_decoder))
    clean: Callable[[str], str] = tokenizer.clean_fn
    # Special tokens stand last, and are no bytes: the beginning and the end of a text.
    marks = [tokenizer.decoder[place] for place in tokenizer.all_special_ids]
    return TextReader.of(plain, tokens, None, int(tokenizer.context_length), clean, marks)


def _of_transformers(tokenizer: Any, inner: Any) -> TextReader:
    special = set(inner.all_special_tokens)
    pieces = [piece for piece in inner.get_vocab() if piece not in special]
    unknown = None if _is_byte_level(pieces) else inner.unk_token_id
    clean = _cleaning(tokenizer)

    def tokens(texts: Sequence[str]) -> list[list[int]]:
        ids: list[list[int]] = inner([clean(text) for text in texts]).input_ids
        return ids

    limit = int(tokenizer.context_length)
    return TextReader.of(plain_pieces(pieces), tokens, unknown, limit, clean, map(str, special))


def _cleaning(tokenizer: Any) -> Callable[[str], str]:
    """Return the function by which the tokenizer cleans a text first."""
    clean: Callable[[str], str] | None = getattr(tokenizer, "clean_fn", None)
    if clean is not None:
        return clean
    from open_clip.tokenizer import basic_clean, canonicalize_text

    return lambda text: str(canonicalize_text(basic_clean(text)))


def plain_pieces(pieces: Sequence[str]) -> list[str]:
    """Return the text of each piece of a vocabulary; those of single bytes are left out.

    They are read as bytes, WordPiece or SentencePiece, by what is in the vocabulary.
    """
    if _is_byte_level(pieces):
        return list(_decoded((piece.removesuffix(CLIP_ENDS) for piece in pieces), _byte_of()))
    plain = (piece for piece in pieces if not piece.startswith("<0x"))
    return [piece.removeprefix(WORD_MARKS[0]).replace(WORD_MARKS[1], "") for piece in plain]


def _is_byte_level(pieces: Sequence[str]) -> bool:
    known = set(pieces)
    ends = {piece + CLIP_ENDS for piece in _byte_of()}
    complete = set(_byte_of()) <= known or ends <= known
    return complete and not any(piece.startswith(WORD_MARKS[1]) for piece in known)


def _byte_of() -> Mapping[str, int]:
    """Return the byte of each character of byte-level pieces, as GPT-2 has them."""
    from open_clip.tokenizer import bytes_to_unicode

    return {character: byte for byte, character in bytes_to_unicode().items()}


def _decoded(pieces: Iterable[str], byte_of: Mapping[str, int]) -> Iterable[str]:
    """Yield pieces as text; one that ends within a character, or is no bytes, is left out."""
    for piece in pieces:
        if all(character in byte_of for character in piece):
            try:
                yield bytes(byte_of[character] for character in piece).decode()
            except UnicodeDecodeError:
                continue
