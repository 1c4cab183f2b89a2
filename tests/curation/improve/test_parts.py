"""Parts of a run: whole groups, and test data that nothing but the last look may use."""

from __future__ import annotations

import numpy as np
import pyarrow.compute as pc
import pytest

from curation.improve.parts import TEST, TRAIN, VALIDATION, cut_parts, refuse_test_data
from curation.run_dir import open_run
from tests.curation.improve.conftest import CELLS
from tests.expect import raises_code


@pytest.mark.parametrize("test", [{"split": "test"}, {"share": 0.25}])
def test_no_group_is_in_two_parts(run_dir, make_config, test) -> None:
    made = cut_parts(open_run(run_dir).upstream, CELLS, make_config(test=test), 0).material
    groups = {name: set(made.group[made.rows(name)]) for name in (TRAIN, VALIDATION, TEST)}
    assert all(groups.values())
    assert not groups[TRAIN] & groups[VALIDATION]
    assert not (groups[TRAIN] | groups[VALIDATION]) & groups[TEST]
    share = len(made.rows(VALIDATION)) / (len(made.rows(VALIDATION)) + len(made.rows(TRAIN)))
    assert share == pytest.approx(0.3, abs=0.1)


def test_a_split_of_test_data_is_the_runs_own_and_its_relatives_are_in_no_part(cut, run_dir):
    material = cut.material
    splits = np.array(material.pool.samples["split"].to_pylist(), dtype=object)
    assert set(splits[material.rows(TEST)]) == {"test"}
    assert "test" not in set(splits[material.rows(TRAIN)]) | set(splits[material.rows(VALIDATION)])
    samples = material.pool.samples
    assert len(samples) == len(pc.unique(samples["row_id"]))
    assert len(samples) == sum(len(material.rows(name)) for name in (TRAIN, VALIDATION, TEST))


def test_parts_of_material_are_its_samples(cut) -> None:
    some = cut.material.take(TRAIN, VALIDATION)
    assert set(some.part) == {TRAIN, VALIDATION}
    assert some.ids(TRAIN) == cut.material.ids(TRAIN)


def test_missing_test_data_and_empty_parts_are_refused(run_dir, make_config) -> None:
    upstream = open_run(run_dir).upstream
    with raises_code("test_part_missing", split="exam"):
        cut_parts(upstream, CELLS, make_config(test={"split": "exam"}), 0)
    with raises_code("improve_part_empty"):
        cut_parts(upstream, CELLS, make_config(validation=0.999999), 0)


def test_the_gate_names_test_samples() -> None:
    refuse_test_data(["a", "b"], ["c"], "a selection")
    with raises_code("test_sample_used", samples=["b"], purpose="validation"):
        refuse_test_data(["a", "b"], ["b", "c"], "validation")
