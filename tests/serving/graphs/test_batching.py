"""A batch of requests scores as its requests do, one after the other."""

import numpy as np
import pytest

from lib.serving.engines import OnnxRuntime
from lib.serving.graphs.batching import merge_requests, random_batched_graph
from lib.serving.graphs.export import FORMS, random_graph
from lib.serving.load.load_tests import random_inputs

SIZE, USER_WIDTH, CANDIDATES = [24, 16, 8, 8, 8, 1], 10, 7


@pytest.mark.parametrize("form", FORMS)
def test_a_batch_scores_as_its_requests(form):
    size = [24, 16, 8] if form == "twin_tower" else SIZE
    one = OnnxRuntime(random_graph(form, size, seed=1, user_width=USER_WIDTH))
    many = OnnxRuntime(random_batched_graph(form, size, seed=1, user_width=USER_WIDTH))
    requests = random_inputs(many.input_shapes, CANDIDATES, seed=0, requests=3)
    expected = [
        one.run({name: x[0] if x.ndim == 3 else x for name, x in request.items()})
        for request in requests
    ]
    np.testing.assert_allclose(
        many.run(merge_requests(requests)), np.concatenate(expected), rtol=1e-5, atol=1e-5
    )
    np.testing.assert_allclose(
        many.run(merge_requests(requests[:1])), expected[0], rtol=1e-5, atol=1e-5
    )


def test_batched_graph_refuses_an_unknown_form():
    with pytest.raises(ValueError, match="form must be one of naive, first_layer_optimised"):
        random_batched_graph("fast", SIZE, 0)
