"""Compute how probable short answers are as the beginning of a reply."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch


class FirstLogits:
    """Keeps the logits (n, words) of the first new token, as `generate` passes them on."""

    def __init__(self) -> None:
        self.logits: Any = None

    def __call__(self, ids: torch.Tensor, logits: torch.Tensor) -> torch.Tensor:
        """Keep the first logits and pass all on unchanged."""
        if self.logits is None:
            self.logits = logits
        return logits


class Candidates:
    """Short answers under one tokenizer."""

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer = tokenizer
        self.known: dict[tuple[str, ...], list[list[int]] | None] = {}

    def weigh(self, logits: torch.Tensor, candidates: tuple[str, ...]) -> tuple[float, ...] | None:
        """Return the probability of each candidate, given that the reply begins with one of them.

        With z the logits (words,) of the reply's first token and T(c) the first tokens of the
        spellings of candidate c::

            p(c) = sum over t in T(c) of exp z(t)  /  sum over all c' of the same

        Sampling's temperature has no part in it. None where there are no candidates, where two
        share a first token, or where one has none of its own.
        """
        if candidates not in self.known:
            self.known[candidates] = self._first_tokens(candidates)
        tokens = self.known[candidates]
        if tokens is None:
            return None
        import torch

        mass = torch.stack([logits[ids].double().logsumexp(0) for ids in tokens])
        return tuple(mass.softmax(0).tolist())

    def _first_tokens(self, candidates: Sequence[str]) -> list[list[int]] | None:
        """Return T(c) of each candidate; None where one token begins two of them."""
        first: list[set[int]] = []
        for candidate in candidates:
            encoded = self.tokenizer(spellings(candidate), add_special_tokens=False)["input_ids"]
            # A first token that is nothing but space begins every candidate.
            first.append(
                {ids[0] for ids in encoded if ids and self.tokenizer.decode(ids[:1]).strip()}
            )
        distinct = len(set().union(*first)) == sum(map(len, first))
        return [sorted(ids) for ids in first] if first and distinct and all(first) else None


def spellings(candidate: str) -> list[str]:
    """Return how a reply may begin with a candidate: with a space or not, in any usual case."""
    cases = {candidate}
    # A letter is its own only spelling: "a" is an article.
    if len(candidate) > 1:
        cases |= {candidate.lower(), candidate.capitalize()}
    return [gap + case for case in sorted(cases) for gap in ("", " ")]
