"""Sample tokens so that no batch changes a reply: each request has random numbers of its own."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import TYPE_CHECKING, Final

from medsift.models.generation.request import Request
from medsift.records import digest

if TYPE_CHECKING:
    import torch

SEED_DIGITS: Final = 15


class Sampling:
    """Turns the logits z of each new token into scores whose greatest is the token drawn.

    With E(t) independent of Exp(1), the greatest of z(t) / temperature - log E(t) is at t with
    probability softmax(z / temperature)(t) (Gumbel 1954; Maddison et al. 2014, arXiv 1411.0030).
    The E of a request are drawn on the CPU, in order, from its own seed.
    """

    def __init__(self, seeds: Sequence[int], temperature: float) -> None:
        import torch

        self.temperature = temperature
        self.draws = [torch.Generator().manual_seed(seed) for seed in seeds]

    def __call__(self, ids: torch.Tensor, logits: torch.Tensor) -> torch.Tensor:
        """Return scores (n, words) of logits (n, words)."""
        import torch

        words = logits.shape[1]
        drawn = [torch.empty(words).exponential_(generator=draw) for draw in self.draws]
        return logits / self.temperature - torch.stack(drawn).log().to(logits.device)


def request_seed(request: Request, seed: int) -> int:
    """Return the seed of a request, from what it shows and says, not from where it comes."""
    shown = [
        digest(picture.mode, str(picture.size), picture.tobytes()) for picture in request.pictures
    ]
    # The first draw has the seed that it had before there were others.
    drawn = [f"draw {request.draw}"] if request.draw else []
    said = digest("sample", str(seed), *chain(*request.turns), *shown, *drawn)
    return int(said[:SEED_DIGITS], 16)
