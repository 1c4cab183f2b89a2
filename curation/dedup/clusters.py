"""Groups of duplicates and who represents them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from curation.dedup.resolve import Fates
from curation.dedup.samples import Pictures
from curation.dedup.schemas import CLUSTERS, KIND_OF_REASON, REASONS
from curation.matching.image_copies import Copies, pair_similarity
from medsift.arrays import Indices
from medsift.records import GROUPS


def find_clusters(
    samples: pa.Table,
    fates: Fates,
    ids: list[str],
    pictures: Pictures,
    copies: Copies,
    order: Indices,
) -> pa.Table:
    """One line per member of a group of samples (by row id) or of images (by image id).

    A group of samples is a survivor with all that were dropped for it, by kind of reason; its
    name is the survivor's row id. A group of images is what direct copies connect; its survivor
    is the image of the best sample in `order` (n,), and the similarity of a member that is no
    direct copy of it is null.
    """
    lines = _sample_groups(samples, fates) + _image_groups(ids, pictures, copies, order)
    found = pa.Table.from_pylist(lines, schema=CLUSTERS)
    return found.sort_by([(name, "ascending") for name in ("kind", "group_id", "member")])


def image_groups(ids: list[str], copies: Copies) -> pa.Table:
    """The copy group of every image, named after its smallest image id."""
    return pa.table([pa.array(ids), pa.array([ids[g] for g in copies.group.tolist()])], GROUPS)


def _sample_groups(samples: pa.Table, fates: Fates) -> list[dict[str, Any]]:
    rows, sample_ids = samples["row_id"].to_pylist(), samples["sample_id"].to_pylist()
    lines: dict[tuple[str, int, int], dict[str, Any]] = {}
    for row in np.flatnonzero(~fates.kept).tolist():
        kind = KIND_OF_REASON[REASONS[fates.reason[row]]]
        witness = int(fates.witness[row])
        for member, similarity in ((witness, 1.0), (row, float(fates.value[row]))):
            lines[kind, witness, member] = {
                "kind": kind,
                "group_id": rows[witness],
                "member": rows[member],
                "survivor": rows[witness],
                "similarity": similarity,
                "sample_id": sample_ids[member],
            }
    return list(lines.values())


def _image_groups(
    ids: list[str], pictures: Pictures, copies: Copies, order: Indices
) -> list[dict[str, Any]]:
    sizes = np.bincount(copies.group, minlength=len(ids))
    members = np.flatnonzero(sizes[copies.group] > 1)
    if not len(members):
        return []
    # The image that no sample shows comes last, then the smaller id.
    rank = np.full(len(ids), len(order), np.int64)
    np.minimum.at(rank, pictures.image, np.repeat(np.argsort(order), pictures.count))
    best = members[np.lexsort((members, rank[members], copies.group[members]))]
    groups, first = np.unique(copies.group[best], return_index=True)
    survivor = best[first][np.searchsorted(groups, copies.group[members])]
    similarity = pair_similarity(copies, members, survivor)
    return [
        {
            "kind": "image_copy",
            "group_id": ids[copies.group[member]],
            "member": ids[member],
            "survivor": ids[stands],
            "similarity": None if np.isnan(near) else float(near),
            "sample_id": None,
        }
        for member, stands, near in zip(
            members.tolist(), survivor.tolist(), similarity.tolist(), strict=True
        )
    ]
