"""Train the probe as a small network, many at once: one hidden layer on the frozen vectors.

It has more capacity than the closed form, which is what large subsets differ by. It costs far more,
and a seed, a rate and a number of steps have a say.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np
from pydantic import Field

from curation.probe.answers import Answers
from curation.probe.space import ProbeSpace
from medsift.arrays import Doubles, Indices
from medsift.config import Config

if TYPE_CHECKING:
    import torch

AT_ONCE: Final = 16
"""Networks that are trained as one computation: more gain no time on a CPU."""
BATCH: Final = 128
"""Samples of a step."""
_ROWS_AT_A_TIME: Final = 2048


class NetworkConfig(Config):
    """Settings of the learner `network`: one hidden layer on [picture, question, interaction].

    Every training of every arm takes the same number of steps of 128 samples, drawn anew from its
    subset, by AdamW (Loshchilov and Hutter 2019, "Decoupled weight decay regularization") with a
    rate that falls linearly to zero.
    """

    kind: Literal["network"] = "network"
    hidden: int = Field(default=256, ge=8, le=4096)
    """Width of the hidden layer."""
    steps: int = Field(default=600, ge=100, le=100_000)
    """Steps of each training. Too few make all arms alike: raise it until `full` no longer
    rises."""
    learning_rate: float = Field(default=2e-3, gt=0.0, le=0.1)
    """Rate of the first step."""
    weight_decay: float = Field(default=0.01, ge=0.0, le=1.0)
    """Decay of the weights, as AdamW has it."""
    dropout: float = Field(default=0.2, ge=0.0, le=0.9)
    """Share of hidden units left out at random in each step."""
    seeds: int = Field(default=3, ge=1, le=100)
    """Trainings at least of each arm and budget: a subset that is drawn once is trained so often,
    from different first weights."""

    def prepare(self, space: ProbeSpace) -> None:
        """Compute what all trainings share, once, so that tasks do not repeat it."""
        _ = space.inputs

    def answer(
        self,
        space: ProbeSpace,
        answers: Answers,
        group: Indices,
        subsets: Sequence[Indices],
        asked: Indices,
    ) -> Doubles:
        """Return whether each asked sample is answered rightly after each training (t, a).

        Training i has the subset of number i, counted round, and seed i for its first weights and
        its steps; dropout is drawn for all that are trained at once.

        Args:
            space: The vectors of all samples (n).
            answers: The classes of all samples (n).
            group: Unused: nothing is chosen inside a subset.
            subsets: Samples of each training.
            asked: The samples (a,) to answer for.
        """
        seeds = range(max(self.seeds, len(subsets)))
        right = []
        for start in range(0, len(seeds), AT_ONCE):
            numbers = seeds[start : start + AT_ONCE]
            rows = [subsets[number % len(subsets)] for number in numbers]
            networks = Networks(self, space, answers, rows, numbers)
            right += [answers.correct(asked, scores) for scores in networks.scores(asked)]
        return np.stack(right)


class Networks:
    """Networks (d) of one shape, each trained on its own rows in one batched computation."""

    def __init__(
        self,
        config: NetworkConfig,
        space: ProbeSpace,
        answers: Answers,
        rows: Sequence[Indices],
        seeds: Sequence[int],
    ) -> None:
        import torch

        self._config, self._seed, self._device = config, space.seed, space.algebra.device
        self._inputs = self._put(space.inputs)
        label = self._put(answers.label)
        shapes = (self._inputs.shape[1], config.hidden, len(answers.classes))
        self._layers = self._first_layers(shapes, seeds)
        optimizer = torch.optim.AdamW(
            self._layers, lr=config.learning_rate, weight_decay=config.weight_decay, fused=True
        )
        decay = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1.0 - step / config.steps)
        places = np.stack(
            [
                _places(own, (self._seed, seed, 1), config.steps)
                for own, seed in zip(rows, seeds, strict=True)
            ]
        )
        chance = torch.Generator(self._device).manual_seed(int(seeds[0]))
        for step in range(config.steps):
            batch = self._put(places[:, step])
            scores = self._forward(self._inputs[batch], chance)
            # The sum over networks: each has the gradient of its own mean.
            loss = torch.nn.functional.cross_entropy(
                scores.flatten(0, 1), label[batch].flatten(), reduction="sum"
            )
            optimizer.zero_grad()
            torch.autograd.backward(loss / BATCH)
            optimizer.step()
            decay.step()

    def scores(self, asked: Indices) -> Iterator[Doubles]:
        """Yield each network's scores (a, c) of the classes for some samples."""
        import torch

        parts = []
        with torch.no_grad():
            # One block at least, so that nobody asked has no answers of the right shape.
            for start in range(0, max(1, len(asked)), _ROWS_AT_A_TIME):
                inputs = self._inputs[self._put(asked[start : start + _ROWS_AT_A_TIME])]
                parts.append(self._forward(inputs).double().cpu().numpy())
        yield from np.concatenate(parts, axis=1)

    def _put(self, values: Any) -> torch.Tensor:
        import torch

        return torch.tensor(values, device=self._device)

    def _first_layers(self, shapes: tuple[int, int, int], seeds: Sequence[int]) -> list[Any]:
        """Return weights and offsets, drawn by each network's own seed (He et al. 2015)."""
        width, hidden, classes = shapes
        drawn = [np.random.default_rng((self._seed, seed, 0)) for seed in seeds]
        layers = []
        for into, out in ((width, hidden), (hidden, classes)):
            weights = [rng.standard_normal((into, out), np.float32) for rng in drawn]
            layers.append(self._put(np.stack(weights) * np.float32((2.0 / into) ** 0.5)))
            layers.append(self._put(np.zeros((len(seeds), 1, out), np.float32)))
        return [layer.requires_grad_() for layer in layers]

    def _forward(self, inputs: torch.Tensor, chance: torch.Generator | None = None) -> torch.Tensor:
        """Return scores (d, b, c) of inputs (d, b, f), or of inputs (b, f) that all share."""
        import torch

        weights, offset, last, last_offset = self._layers
        hidden = torch.nn.functional.gelu(torch.matmul(inputs, weights) + offset)
        if chance is not None and self._config.dropout:
            kept = torch.rand(hidden.shape, generator=chance, device=self._device)
            share = 1.0 - self._config.dropout
            hidden = hidden * (kept < share) / share
        scores: torch.Tensor = torch.bmm(hidden, last) + last_offset
        return scores


def _places(rows: Indices, seed: Sequence[int], steps: int) -> Indices:
    """Return the samples (steps, b) of each step: a subset in a new order each time round."""
    rng = np.random.default_rng(seed)
    rounds = -(-steps * BATCH // len(rows))
    order = np.concatenate([rng.permutation(rows) for _ in range(rounds)])
    return order[: steps * BATCH].reshape(steps, BATCH)
