"""What all engines share."""

import pickle

import numpy as np
import pytest

from lib.serving.engines import OnnxRuntime
from lib.serving.graphs.export import random_graph
from lib.serving.load.load_tests import random_inputs

SIZE, USER_WIDTH, CANDIDATES = [24, 16, 8, 8, 8, 1], 10, 7


def test_engine_refuses_what_is_no_model():
    with pytest.raises(TypeError, match=r"must be an onnx\.ModelProto or bytes; got dict"):
        OnnxRuntime({})


def test_engine_pickles():
    engine = OnnxRuntime(random_graph("naive", SIZE, 0), threads=2)
    copy = pickle.loads(pickle.dumps(engine))
    inputs = random_inputs(engine.input_shapes, CANDIDATES, seed=0)[0]
    assert copy.threads == 2
    np.testing.assert_array_equal(copy.run(inputs), engine.run(inputs))
