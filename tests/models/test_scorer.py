"""The scorer: padding counts nowhere, and a saved one is read back."""

import numpy as np
import pytest
from keras import ops

from lib.logs.features import Features
from lib.models.scorer import Scorer
from tests.models.helpers import assert_saved_is_the_same, with_random_statistics


def test_padding_does_not_change_the_real_ads(features, batch):
    scorer = Scorer(features, [8, 4, 1], seed=0)
    inputs = {"user": batch.user, "ad": batch.ad, "mask": batch.mask}
    changed = {
        name: np.where(
            batch.mask.reshape(batch.mask.shape + (1,) * (value.ndim - 2)), value, value.max()
        )
        for name, value in batch.ad.items()
    }
    real = batch.mask
    for training in (False, True):
        scores = ops.convert_to_numpy(scorer(inputs, training=training))
        filled = ops.convert_to_numpy(scorer({**inputs, "ad": changed}, training=training))
        np.testing.assert_allclose(scores[real], filled[real], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(("family", "hidden"), [("mlp", [8, 4, 1]), ("twin_tower", [8, 4])])
def test_a_saved_one_is_read_by_keras(tmp_path, features, batch, family, hidden):
    scorer = with_random_statistics(Scorer(features, hidden, family, seed=3))
    inputs = {"user": batch.user, "ad": batch.ad, "mask": batch.mask}
    assert_saved_is_the_same(scorer, inputs, tmp_path)
    assert Features(features=scorer.get_config()["features"]) == features
