"""Layers: He's start, also where the first layer is split."""

import numpy as np
import pytest

from lib.models.mlp_model import mlp


def test_weights_start_from_he():
    model = mlp([2000, 400, 1], user_width=700, seed=3)
    for linear in (model.first.user_linear, model.first.ad_linear):
        assert np.std(linear.kernel) == pytest.approx(np.sqrt(2 / 2000), rel=0.02)
    assert not np.array_equal(
        mlp([9, 4, 1], seed=1).get_weights()[4], mlp([9, 4, 1], seed=2).get_weights()[4]
    )
