"""The loss on samples that are not learned from."""

from __future__ import annotations

from contextlib import closing

from training.batches import deal
from training.distributed import Fleet
from training.prefetch import feed
from training.prepare import Material, Prepared
from training.trainable import set_training


def held_out_loss(prepared: Prepared, held: Material, fleet: Fleet) -> float:
    """Mean -log p of the held-out samples' learned tokens, in nats; dropout is off."""
    import torch

    plan, objective = held.plan, prepared.objective
    batches = [batch for step in range(plan.steps) for batch in plan.batches(step)]
    prepared.model.eval()
    total = torch.zeros((), dtype=torch.float64, device=prepared.base.device)
    with closing(feed(held.collator, deal(batches, fleet.rank, fleet.world_size))) as fed:
        for micro, _ in fed:
            with torch.no_grad():
                total += objective.total(micro.to(prepared.base.device)).double()
    set_training(prepared.model, prepared.recipe.vision)
    return float(fleet.reduce_sum(total)) / int(held.supervised.sum())
