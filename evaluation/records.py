"""Arrow schemas of evaluation: what is asked, what was replied, what a reply is worth.

* ``ITEMS``        one line an item of a benchmark, or of a perturbed copy of it;
* ``PREDICTIONS``  one line a reply, with all that scoring reads, so that stored replies can be
  scored again without the benchmark and without a model;
* ``SCORES``       the columns that scoring adds to ``PREDICTIONS``.
"""

from __future__ import annotations

from typing import Final

import pyarrow as pa

from medsift.manifest.schema import arrow_schema

ORIGINAL: Final = "original"
"""The variant that is no perturbation; a null variant means the same."""

# `gold` is a letter of the options or the answer in words. `images` are references: a path or a
# URL. `image_id` is what intervals are clustered by where no patient is known. `extra` is a JSON
# object of what only this benchmark has.
ITEMS: Final = pa.schema(
    [
        pa.field("benchmark", pa.string(), nullable=False),
        pa.field("item_id", pa.string(), nullable=False),
        pa.field("question", pa.string(), nullable=False),
        pa.field("options", pa.list_(pa.string())),
        pa.field("gold", pa.string(), nullable=False),
        pa.field("answer_type", pa.string(), nullable=False),
        pa.field("images", pa.list_(pa.string())),
        pa.field("image_id", pa.string()),
        pa.field("patient_id", pa.string()),
        pa.field("modality", pa.string()),
        pa.field("body_part", pa.string()),
        pa.field("task_type", pa.string()),
        pa.field("language", pa.string()),
        pa.field("extra", pa.string()),
    ]
)

_TABLE: Final = arrow_schema("predictions", without=("judge", "judge_reply"))
_SCORED: Final = slice(
    _TABLE.get_field_index("protocol"), _TABLE.get_field_index("explanation") + 1
)

# `score` is null only where a protocol leaves the reply out of its mean. `fault` names the fault
# of a published protocol that touched this reply. The columns after it are for open answers and
# null elsewhere, but for `contains`, which `llava-med` alone fills. `explanation` is a JSON object:
# the rule that read the answer or the reason why none was, the span, and how it is marked.
SCORES: Final = pa.schema(list(_TABLE)[_SCORED])

# The manifest's table `predictions`, before scoring. A null `reply` is a model that gave none, and
# `error` says why. `probabilities` are those of the options, or of yes and no. `extra` is the
# item's, so that stored replies can be broken down by whatever a benchmark knows of its items.
PREDICTIONS: Final = pa.schema([field for field in _TABLE if field.name not in SCORES.names])
