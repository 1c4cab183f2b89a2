"""Tokens are drawn as often as the softmax says, each row from its own seed."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from medsift.models.generation.sampling import Sampling, request_seed
from tests.evaluation.generators.conftest import asked
from tests.tiny_models import picture

LOGITS = torch.tensor([0.0, 1.0, 2.0, -1.0, -torch.inf])


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_frequencies_are_those_of_the_softmax(temperature: float) -> None:
    rows = 4000
    scores = Sampling(range(rows), temperature)(torch.empty(0), LOGITS.expand(rows, -1))
    found = np.bincount(scores.argmax(1).numpy(), minlength=5) / rows
    wanted = (LOGITS.double() / temperature).softmax(0).numpy()
    error = np.sqrt(wanted * (1 - wanted) / rows)
    assert (np.abs(found - wanted) <= 4 * error).all()


def test_a_row_draws_the_same_whatever_is_next_to_it_and_never_twice() -> None:
    nothing = torch.empty(0)
    alone, together = Sampling([7], 1.0), Sampling([1, 7, 2], 1.0)
    steps = []
    for _ in range(3):
        steps.append(alone(nothing, LOGITS.expand(1, -1))[0])
        assert torch.equal(steps[-1], together(nothing, LOGITS.expand(3, -1))[1])
    assert not torch.equal(steps[0], steps[1])


def test_seeds_are_of_words_and_pictures() -> None:
    one = asked("<image>so?", [picture(0)])
    same = asked("<image>so?", [picture(0)], candidates=("yes", "no"))
    others = [
        asked("<image>so?", [picture(1)]),
        asked("<image>why?", [picture(0)]),
        asked("so?"),
        asked("<image>so?", [picture(0).convert("L")]),
    ]
    assert request_seed(one, 0) == request_seed(same, 0)
    seeds = {
        request_seed(one, 0),
        request_seed(one, 1),
        *(request_seed(any_, 0) for any_ in others),
    }
    assert len(seeds) == 6
