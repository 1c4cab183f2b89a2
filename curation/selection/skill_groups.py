"""Read the skills of candidates, for quotas by skill."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc

from curation.pool.pool import UNKNOWN
from curation.scoring.skills import SKILLS
from curation.selection.quality import Scores, id_column
from curation.selection.quotas import Groups
from medsift.errors import UsageError
from medsift.storage.parts import parts, read_folder


def read_skill_groups(sample_ids: Sequence[str] | pa.ChunkedArray, scores: Scores) -> Groups:
    """Return the candidates' skills as groups; samples without a skill are `unknown`.

    Raises:
        UsageError: the run has no skills.
    """
    if scores.skills is None or not parts(scores.skills):
        message = (
            "quotas are by skill, and this run has no skills; add `scores: {skills: {}}` to the "
            "recipe and curate again, or leave out `quotas.by`"
        )
        raise UsageError(message, code="skills_missing")
    table = read_folder(scores.skills, SKILLS, ["sample_id", "skill"])
    row = pc.index_in(id_column(sample_ids), table["sample_id"].combine_chunks())
    skill = table["skill"].combine_chunks()
    return Groups.of_parts(skill.take(part).fill_null(UNKNOWN) for part in row.chunks)
