"""Neighbouring slices: pictures that are no copies, and yet of one body.

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
from curation.neighbors import NeighborsConfig, Pairs, TileRunner, connected_components
from medsift.arrays import Flags, Indices
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
    """Pairs of pictures whose registered miniatures correlate by at least `threshold`.

    Candidates are those of the copies. Both are of one size (IMAGES `facts`), and of one modality
    where the SAMPLES that show them name it for both; what fits better mirrored is left out.
    """
    candidates = find_candidates(images, copies, neighbors, run)
    left, right = candidates.left, candidates.right
    fitting = _same_size(images.ids, facts, left, right)
    left, right = left[fitting], right[fitting]
    fitting = _same_modality(images.ids, samples, left, right)
    left, right = left[fitting], right[fitting]
    found = agree(images.thumbs, left, right)
    near = found.correlation >= threshold
    left, right, detail = left[near], right[near], found.detail[near]
    turned = mirrored(images.thumbs, left, right, detail)
    correlation = found.correlation[near].astype(np.float64)
    return Pairs.of(left[~turned], right[~turned], correlation[~turned])


def _same_size(ids: list[str], facts: pa.Table, left: Indices, right: Indices) -> Flags:
    known = facts.select(["image_id", "width", "height"]).to_pylist()
    size = {line["image_id"]: (line["width"], line["height"]) for line in known}
    sizes = np.array([size[image] for image in ids], np.int64).reshape(-1, 2)
    same: Flags = (sizes[left] == sizes[right]).all(1)
    return same


def _same_modality(ids: list[str], samples: pa.Table, left: Indices, right: Indices) -> Flags:
    """Whether the two of a pair share a modality, or one of them has none."""
    named: dict[str, set[str]] = defaultdict(set)
    columns = (samples[name].to_pylist() for name in ("images", "modality"))
    for shown, modality in zip(*columns, strict=True):
        if modality:
            for image in shown or ():
                named[image].add(modality)
    of_image = [named.get(image, set()) for image in ids]
    pairs = zip(left.tolist(), right.tolist(), strict=True)
    return np.array(
        [
            not of_image[one] or not of_image[other] or bool(of_image[one] & of_image[other])
            for one, other in pairs
        ],
        dtype=bool,
    )


def with_slices(groups: pa.Table, ids: list[str], slices: Pairs) -> pa.Table:
    """GROUPS of pictures in which copies and neighbouring slices are one, named after the first.

    `slices` are pairs of places in `ids`; pictures that `groups` lacks are passed over.
    """
    names = groups["group_id"].to_pylist()
    group = dict(zip(groups["image_id"].to_pylist(), names, strict=True))
    listed = sorted(set(names))
    place = {name: number for number, name in enumerate(listed)}
    links = [
        (place[group[ids[one]]], place[group[ids[other]]])
        for one, other in zip(slices.left.tolist(), slices.right.tolist(), strict=True)
        if ids[one] in group and ids[other] in group
    ]
    ends = np.array([pair for pair in links if pair[0] != pair[1]], np.int64).reshape(-1, 2)
    pairs = Pairs.of(ends[:, 0], ends[:, 1], np.ones(len(ends)))
    joined = connected_components(len(listed), pairs)
    merged = [listed[joined[place[name]]] for name in names]
    return pa.table([groups["image_id"], pa.array(merged, pa.string())], GROUPS)
