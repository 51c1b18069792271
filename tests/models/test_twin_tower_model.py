"""The twin tower: an inner product of two MLPs' ends."""

import numpy as np
from keras import ops

from lib.models.twin_tower_model import twin_tower
from lib.serving.graphs.export import forward
from lib.serving.numpy_scorer import layers
from tests.models.helpers import assert_saved_is_the_same, with_random_statistics


def test_twin_tower_is_an_inner_product():
    model = with_random_statistics(twin_tower([12, 8, 4], user_width=5))
    rng = np.random.default_rng(0)
    user, ad = rng.normal(size=(2, 5)).astype("f"), rng.normal(size=(2, 3, 7)).astype("f")
    users, ads = (forward(side, x) for side, x in zip(layers(model), (user, ad), strict=True))
    want = np.einsum("bd,bnd->bn", users, ads)
    got = ops.convert_to_numpy(model([user, ad]))[..., 0]
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5)


def test_a_saved_one_is_read_by_keras(tmp_path):
    rng = np.random.default_rng(0)
    inputs = [rng.normal(size=shape).astype("f") for shape in ((2, 5), (2, 3, 7))]
    model = with_random_statistics(twin_tower([12, 8, 4], user_width=5, seed=3))
    assert_saved_is_the_same(model, inputs, tmp_path)
