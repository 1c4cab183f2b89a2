"""Find neighbouring slices: pictures that are no copies, and yet of one body.

They are never duplicates: another slice may show another finding. But a model that has seen one
has nearly seen the other, so that no split may cut between them.
"""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import pyarrow as pa

from curation.matching.image_copies import ImageSet, find_candidates
from curation.matching.registration import agree, mirrored
from curation.matching.settings import ImageCopyConfig
from curation.neighbors import NeighborsConfig, Pairs, TileRunner
from medsift.connected import connected_components
from medsift.records import GROUPS


def find_slices(
    images: ImageSet,
    facts: pa.Table,
    samples: pa.Table,
    threshold: float,
    copies: ImageCopyConfig,
    neighbors: NeighborsConfig,
    run: TileRunner | None = None,
) -> Pairs:
    """Return pairs of pictures whose registered miniatures correlate by at least `threshold`.

    Both are of one size, and of one modality where it is known of both; what fits better mirrored
    is left out.

    Args:
        images: Pictures to compare.
        facts: Their IMAGES rows.
        samples: The SAMPLES rows that show them, whose modalities count.
        threshold: Correlation from which two pictures are neighbouring slices.
        copies: Which pairs are candidates: the same as for copies.
        neighbors: How near vectors are searched.
        run: Spreads a large search over workers.
    """
    candidates = find_candidates(images, copies, neighbors, run)
    left, right = candidates.left, candidates.right
    # Slices of one scan share size and modality; registering the other pairs would be wasted.
    known = facts.select(["image_id", "width", "height"]).to_pylist()
    size = {row["image_id"]: (row["width"], row["height"]) for row in known}
    sizes = np.array([size[image] for image in images.ids], np.int64).reshape(-1, 2)
    fitting = (sizes[left] == sizes[right]).all(1)
    left, right = left[fitting], right[fitting]
    modalities: dict[str, set[str]] = defaultdict(set)
    columns = (samples[name].to_pylist() for name in ("images", "modality"))
    for shown, modality in zip(*columns, strict=True):
        if modality:
            for image in shown or ():
                modalities[image].add(modality)
    of_image = [modalities.get(image, set()) for image in images.ids]
    pairs = [(of_image[a], of_image[b]) for a, b in zip(left.tolist(), right.tolist(), strict=True)]
    fitting = np.array([not a or not b or bool(a & b) for a, b in pairs], dtype=bool)
    left, right = left[fitting], right[fitting]
    agreement = agree(images.thumbs, left, right)
    near = agreement.correlation >= threshold
    left, right = left[near], right[near]
    flipped = mirrored(images.thumbs, left, right, agreement.detail[near])
    correlation = agreement.correlation[near].astype(np.float64)
    return Pairs.of(left[~flipped], right[~flipped], correlation[~flipped])


def with_slices(groups: pa.Table, ids: list[str], slices: Pairs) -> pa.Table:
    """Join copies and neighbouring slices into one group, named after the first of its groups.

    Args:
        groups: GROUPS of pictures by copies.
        ids: Image ids, by number.
        slices: Pairs of numbers; pictures that `groups` lacks are passed over.
    """
    names = groups["group_id"].to_pylist()
    group_of = dict(zip(groups["image_id"].to_pylist(), names, strict=True))
    listed = sorted(set(names))
    number = {name: place for place, name in enumerate(listed)}
    of_image = np.array([number.get(group_of.get(image), -1) for image in ids], np.int64)
    left, right = of_image[slices.left], of_image[slices.right]
    linked = (left >= 0) & (right >= 0)
    joined = connected_components(len(listed), left[linked], right[linked])
    merged = [listed[joined[number[name]]] for name in names]
    return pa.table([groups["image_id"], pa.array(merged, pa.string())], GROUPS)
