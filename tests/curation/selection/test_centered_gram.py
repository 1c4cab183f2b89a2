"""The centred Gram baseline is the mean cosine of the whole matrix, without making it."""

from __future__ import annotations

import numpy as np
import pytest

from curation.selection.centered_gram import CenteredGramConfig, mean_cosines
from curation.selection.method import SelectionContext
from curation.selection.quantized_vectors import quantize
from curation.selection.quotas import Groups
from tests.curation.selection.conftest import planted_vectors


@pytest.mark.parametrize("rows", [1, 2, 37, 150])
@pytest.mark.parametrize("at_a_time", [5, 1000])
def test_it_is_the_mean_of_a_row_of_the_gram_matrix_without_its_diagonal(
    rows, at_a_time, monkeypatch
):
    monkeypatch.setattr("curation.selection.centered_gram._ROWS_AT_A_TIME", at_a_time)
    vectors = quantize(planted_vectors(rows, 3))
    points = vectors.points.astype(np.int64)
    gram = points @ points.T
    np.fill_diagonal(gram, 0)
    expected = gram.sum(axis=1) / vectors.scale**2 / max(1, rows - 1)
    assert mean_cosines(vectors).tolist() == expected.tolist()


def test_the_least_alike_come_first_and_copies_by_row(candidates):
    everyone = Groups.one(len(candidates))
    context = SelectionContext(candidates, everyone, np.ones(len(candidates)))
    picked = CenteredGramConfig().picker(context)(np.array([len(candidates)]))
    mean = mean_cosines(candidates.quantized)
    assert picked.gain.tolist() == (-mean[picked.order]).tolist()
    assert picked.order.tolist() == sorted(range(len(mean)), key=lambda row: (mean[row], row))
