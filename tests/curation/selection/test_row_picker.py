"""The rows that a probe picks are those of a selection, and a picker serves every size."""

from __future__ import annotations

import numpy as np
import pytest

from curation.selection.config import SelectionConfig
from curation.selection.quality import Scores
from curation.selection.quotas import QuotasConfig
from curation.selection.row_picker import RowPicker
from curation.selection.select import select
from medsift.execution import LocalExecutor
from tests.curation.selection.test_methods import METHODS
from tests.expect import raises_code


def picker(candidates, method, **settings) -> RowPicker:
    config = SelectionConfig.model_validate({"name": "x", "method": method, "budget": 1})
    quotas = settings.get("quotas")
    everyone_good = np.ones(len(candidates))
    return RowPicker(candidates, config.method, quotas, everyone_good, 3, LocalExecutor())


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method["kind"])
def test_one_picker_picks_at_every_size_what_a_selection_of_that_size_has(candidates, method):
    rows = picker(candidates, method)
    for size in (90, 20, 21, 60, 3):
        config = SelectionConfig.model_validate({"name": "x", "method": method, "budget": size})
        whole = select(candidates, Scores(None), config, 3, LocalExecutor())
        picked = rows.pick(size)
        assert picked.order.tolist() == whole.order.tolist()
        assert np.array_equal(picked.gain, whole.gain, equal_nan=True)


def test_clusters_of_a_pool_are_computed_once_for_each_seed(candidates):
    first, again, other = (candidates.cluster(14, seed) for seed in (1, 1, 2))
    assert again[1] is first[1]
    assert (other[1] != first[1]).any()


def test_quotas_are_refused_before_the_work(candidates):
    weights = QuotasConfig(kind="weights", weights={"no such stratum": 1.0})
    rows = picker(candidates, METHODS[0], quotas=weights)
    with raises_code("quota_stratum_unknown", stratum="no such stratum"):
        rows.counts(10)
