"""List groups of duplicates and their survivors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from curation.dedup.resolve import Fates
from curation.dedup.samples import Pictures
from curation.dedup.schemas import CLUSTERS, KIND_OF_REASON, REASONS
from curation.matching.image_copies import Copies, pair_similarity
from medsift.arrays import Indices


def find_clusters(
    samples: pa.Table,
    fates: Fates,
    ids: list[str],
    pictures: Pictures,
    copies: Copies,
    order: Indices,
) -> pa.Table:
    """Return a line for each member of a group of samples (by row id) or images (by image id).

    A group of samples is a survivor with all that were dropped for it, by kind of reason; its
    name is the survivor's row id. A group of images is what direct copies connect; the similarity
    of a member that is no direct copy of the survivor is null.

    Args:
        samples: SAMPLES rows (n).
        fates: What became of them.
        ids: Image ids, by number.
        pictures: The pictures of each sample.
        copies: Confirmed copies among the images.
        order: Samples (n,), best first: an image group's survivor is the best sample's image.
    """
    lines = _sample_groups(samples, fates) + _image_groups(ids, pictures, copies, order)
    table = pa.Table.from_pylist(lines, schema=CLUSTERS)
    return table.sort_by([(name, "ascending") for name in ("kind", "group_id", "member")])


def _sample_groups(samples: pa.Table, fates: Fates) -> list[dict[str, Any]]:
    rows, sample_ids = samples["row_id"].to_pylist(), samples["sample_id"].to_pylist()
    # By member, as a survivor would come once for each row that was dropped for it.
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
    # An image that no sample shows ranks last; of equal rank the smaller id comes first.
    rank = np.full(len(ids), len(order), np.int64)
    np.minimum.at(rank, pictures.image, np.repeat(np.argsort(order), pictures.count))
    best = members[np.lexsort((members, rank[members], copies.group[members]))]
    groups, first = np.unique(copies.group[best], return_index=True)
    survivors = best[first][np.searchsorted(groups, copies.group[members])]
    similarities = pair_similarity(copies, members, survivors)
    columns = (array.tolist() for array in (members, survivors, similarities))
    return [
        {
            "kind": "image_copy",
            "group_id": ids[copies.group[member]],
            "member": ids[member],
            "survivor": ids[survivor],
            "similarity": None if np.isnan(similarity) else similarity,
            "sample_id": None,
        }
        for member, survivor, similarity in zip(*columns, strict=True)
    ]
