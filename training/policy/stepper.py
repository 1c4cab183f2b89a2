"""Take a step of policy optimisation: draw replies, reward them, and learn where they differ."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from medsift.arrays import Doubles
from medsift.errors import ModelError
from training.dataset.collate import MicroBatch, PrefetchedBatch
from training.loop.distributed import Communicator, sum_gradients
from training.loop.step import Counts, Stepper, StepResult, explain_oom, not_finite
from training.loop.throughput import peak_memory_mb
from training.model.trainable import check_gradients
from training.policy.asking import Drawn, Place, StepQuestions
from training.policy.figures import Sums, line_of, sums_of
from training.policy.losses import Totals, surrogate, token_weights
from training.policy.questions import Question, question_of
from training.policy.replies import Group, Replier
from training.prepare import Prepared

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor

    from training.dataset.samples import Picture

logger = logging.getLogger(__name__)

LEARNING: Final = 1 << 21
"""Number that keeps dropout's random numbers apart from those of drawing."""


@dataclass(frozen=True, slots=True)
class Part:
    """Some replies of a group that are computed at once, at a place among the step's prompts."""

    place: int
    group: Group
    rows: tuple[int, ...]


class Learned(NamedTuple):
    """What the updates of a step did."""

    loss: float
    grad_norm: float
    learning_rate: float
    clipped: float


class PolicyStepper(Stepper):
    """Take steps on the model's own replies; every worker asks its part of the questions."""

    def __init__(self, prepared: Prepared, communicator: Communicator) -> None:
        super().__init__(prepared, communicator)
        recipe, collator = prepared.recipe, prepared.training.collator
        self.policy, self.samples = recipe.policy, prepared.training.encodings.samples
        self.replier = Replier(
            prepared.base, prepared.model, recipe.vision, recipe.policy, recipe.seed
        )
        made = (question_of(sample, self.policy) for sample in self.samples)
        self.questions = [one for one in made if isinstance(one, Question)]

        def show(picture: Picture) -> Image:
            return collator.picture(picture, recipe.data.max_pixels)

        self.show = show
        self.asking = StepQuestions(
            self.replier, self.questions, recipe.policy, recipe.seed, self.show
        )

    def take(self, step: int, batches: Iterator[PrefetchedBatch]) -> StepResult:
        """Take a step, from 0; `batches` are not needed. Raises ModelError; see `train`."""
        device = self.prepared.base.device
        times, memory = [time.perf_counter()], []
        with explain_oom(self.prepared.recipe, device, step, "replies"):
            drawn = self.asking.draw(step, self._places(step))
        times.append(time.perf_counter())
        memory.append(peak_memory_mb(device))
        sums = self._summed(sums_of(drawn))
        self._check_rewards(step, sums)
        learned = self._learn(step, drawn)
        times.append(time.perf_counter())
        memory.append(peak_memory_mb(device))
        seconds = times[1] - times[0], times[2] - times[1]
        line = line_of(step, sums, learned.clipped, seconds, (memory[0], memory[1]))
        tokens = int(sums["tokens"])
        # Tokens of prompts and squares of lengths are left out, so that `mfu` errs on the low side.
        counts = Counts(int(sums["groups"]), tokens, tokens, 0)
        elapsed = times[2] - times[0]
        return StepResult(*learned[:3], elapsed, 0.0, counts, line)

    def _places(self, step: int) -> list[Place]:
        """Return this worker's places of a step."""
        batches = self.prepared.training.plan.batches(step)
        numbers = range(self.communicator.rank, len(batches), self.communicator.world_size)
        return [Place(number, self.questions[batches[number].rows[0][0]]) for number in numbers]

    def _summed(self, sums: Mapping[str, float]) -> Sums:
        """Return sums over all workers."""
        import torch

        own = torch.tensor(list(sums.values()), dtype=torch.float64)
        every = self.communicator.reduce_sum(own.to(self.prepared.base.device)).tolist()
        return dict(zip(sums, every, strict=True))

    def _check_rewards(self, step: int, sums: Sums) -> None:
        """Raise ModelError where a step has nothing to learn from, and no later one would."""
        if not sums["groups"]:
            raise ModelError(
                f"the model refused every question of step {step + 1}; lower policy.max_new_tokens "
                "or data.max_pixels, or name a model that takes these prompts",
                code="questions_refused",
                step=step + 1,
            )
        if self.policy.mask_truncated and sums["cut"] == sums["replies"]:
            raise ModelError(
                f"all {sums['replies']:.0f} replies of step {step + 1} were cut at "
                f"{self.policy.max_new_tokens} tokens, and cut replies are left out; raise "
                "policy.max_new_tokens, or set policy.mask_truncated: false",
                code="replies_all_cut",
                step=step + 1,
                max_new_tokens=self.policy.max_new_tokens,
            )
        if step == 0 and not sums["contrast"]:
            asked = sums["groups"] + sums["refills"]
            raise ModelError(
                f"all replies to each of {asked:.0f} questions of the first step earned the same, "
                "so that nothing can be learned; raise policy.group or policy.temperature, or "
                "choose questions that the model answers rightly now and then",
                code="rewards_constant",
                step=step + 1,
                reward=sums["reward"] / sums["replies"],
            )

    def _learn(self, step: int, drawn: Drawn) -> Learned:
        """Update the weights, `policy.updates` times, each time by a part of the groups."""
        count = self.policy.updates
        groups = [
            {place: group for place, group in drawn.groups.items() if place % count == update}
            for update in range(count)
        ]
        parts = [self._parts(of_update) for of_update in groups]
        # Replies that several updates share were written by the model before the first of them.
        older = [self._older(step, own) if count > 1 else None for own in parts]
        updates = self.prepared.training.plan.steps * count
        loss = norm = rate = clipped = 0.0
        for update, of_update in enumerate(groups):
            rate = self.begin(step * count + update, updates)
            sums = self._summed(self._totals(of_update.values()))
            if not sums["contrast"]:
                logger.info("step %d: no replies differ in reward; nothing is learned", step + 1)
                continue
            totals = Totals(int(sums["replies"]), int(sums["tokens"]))
            found, cut = self._accumulate_replies(step, parts[update], older[update], totals)
            loss, clipped = loss + found / count, clipped + cut / count
            norm = self.update(step)
        return Learned(loss, norm, rate, clipped)

    def _totals(self, groups: Iterable[Group]) -> Sums:
        sums = {"replies": 0.0, "tokens": 0.0, "contrast": 0.0}
        for group in groups:
            sums["replies"] += len(group.replies)
            sums["tokens"] += float(group.lengths[self._counted(group)].sum())
            sums["contrast"] += bool(group.advantages[self._counted(group)].any())
        return sums

    def _parts(self, groups: Mapping[int, Group]) -> list[Part]:
        """Return the replies that an update learns from, cut so that each part fits."""
        parts = []
        for place, group in sorted(groups.items()):
            useful = np.flatnonzero((group.advantages != 0.0) & self._counted(group)).tolist()
            width = self.replier.prompt_tokens(group.question, self.show) + int(group.lengths.max())
            rows = max(1, self.prepared.recipe.batches.max_tokens // width)
            parts += [
                Part(place, group, tuple(useful[start : start + rows]))
                for start in range(0, len(useful), rows)
            ]
        return parts

    def _counted(self, group: Group) -> NDArray[np.bool_]:
        """Return which replies (G,) are learned from."""
        cut = np.array([bool(reply.cut) for reply in group.replies])
        return ~(cut & self.policy.mask_truncated)

    def _older(self, step: int, parts: Sequence[Part]) -> list[Tensor]:
        """Return the log-probabilities of each part's tokens before the first update."""
        import torch

        found = []
        for part in parts:
            micro = self._micro(step, part, np.ones(len(part.group.replies)))
            with torch.no_grad(), self._explained(step, micro):
                found.append(-self.prepared.objective.losses(micro, self.policy.temperature))
        return found

    def _accumulate_replies(
        self, step: int, parts: Sequence[Part], older: Sequence[Tensor] | None, totals: Totals
    ) -> tuple[float, float]:
        """Add up the gradients of an update; return its loss, and the share that was clipped."""
        import torch

        policy, device = self.policy, self.prepared.base.device
        sums = torch.zeros(3, dtype=torch.float64, device=device)
        wrong = []
        for number, part in enumerate(parts):
            group, counted = part.group, self._counted(part.group).astype(np.int64)
            most = policy.max_new_tokens
            weights = token_weights(policy.loss, group.lengths, counted, most, totals)
            micro = self._micro(step, part, weights)
            earned = torch.from_numpy(group.advantages[list(part.rows)]).float().to(device)
            with self._explained(step, micro):
                log_p = -self.prepared.objective.losses(micro, policy.temperature)
                loss, clipped = surrogate(
                    log_p,
                    log_p.detach() if older is None else older[number],
                    micro.rows,
                    earned[micro.rows],
                    micro.weights,
                    policy.clipping,
                    by_sequence=policy.loss == "gspo",
                )
                loss.backward()  # type: ignore[no-untyped-call]
            sums += torch.stack([loss.detach(), clipped, micro.weights.sum()]).double()
            if not bool(loss.isfinite()):
                wrong.append(group.question.sample.row_id)
            if not self.gradients_checked and "pixel_values" in micro.inputs:
                self.gradients_checked = True
                check_gradients(self.prepared.model, self.prepared.recipe.vision)
        total, cut, weight = self.communicator.reduce_sum(sums).tolist()
        # Every worker sees the same sum, so that all stop together and none waits for another.
        if not np.isfinite(total):
            raise not_finite("loss", step, list(dict.fromkeys(wrong)))
        if self.communicator.world_size > 1:
            sum_gradients(self.parameters, self.communicator)
        return total, cut / weight if weight else 0.0

    def _micro(self, step: int, part: Part, weights: Doubles) -> MicroBatch:
        """Return a part as tensors, and set the random numbers of its dropout."""
        import torch

        place = [self.prepared.recipe.seed, step, part.place, part.rows[0], LEARNING]
        torch.manual_seed(int(np.random.SeedSequence(place).generate_state(1, np.uint64)[0]))
        return self.replier.micro_batch(part.group, part.rows, weights, self.show)

    def _explained(self, step: int, micro: MicroBatch) -> AbstractContextManager[None]:
        return explain_oom(self.prepared.recipe, self.prepared.base.device, step, micro)
