import subprocess
import sys

import numpy as np
import pytest

from lib.infra.settings import configure
from lib.logs.encoding import encode
from lib.models.scorer import Scorer
from lib.serving.engines.onnx_runtime import OnnxRuntime
from lib.serving.served_model import ServedModel
from lib.training.scoring import as_inputs, predict
from tests import ROOT
from tests.small_log import FEATURES
from tests.training.small_training import train


@pytest.fixture(scope="module")
def trained(log):
    return train(log, stop=300).scorer


@pytest.fixture(scope="module")
def served(trained):
    return ServedModel.of(trained)


def test_vectors_are_keras_s(trained, served, batch):
    for side, values in (("user", batch.user), ("ad", batch.ad)):
        expected = np.asarray(trained.embed(side, as_inputs(batch)[side]))
        np.testing.assert_allclose(served.embed(side, values), expected, rtol=1e-6, atol=1e-7)


def test_scores_are_the_scorer_s(trained, served, batch):
    expected = predict(trained, batch)
    users, ads = served.embed("user", batch.user), served.embed("ad", batch.ad)
    engine = OnnxRuntime(served.graph())
    for i in range(len(batch)):
        parts = served.ad_parts(ads[i])
        scores = served.scores(users[i], parts)
        np.testing.assert_allclose(
            scores[batch.mask[i]], expected[i][batch.mask[i]], rtol=1e-4, atol=1e-5
        )
        run = engine.run({"user": users[i : i + 1], "ad_parts": parts})[:, 0]
        np.testing.assert_allclose(run, scores, rtol=1e-4, atol=1e-5)


def test_one_user_and_raw_values(served):
    raw = {
        "user_id": np.array([7]),
        "recent": np.array([[3, -1, -1]]),
        "user_vector": np.array([[1.0, 2.0, 3.0]]),
    }
    encoded = {f.name: encode(f, raw[f.name]) for f in FEATURES.side("user")}
    (vector,) = served.embed("user", encoded)
    table_4, table_2 = served.tables[4], served.tables[2]
    by_hand = [*table_4[served.first_row["user_id"] + 7], *table_2[4], 1, 2, 3]
    np.testing.assert_array_equal(vector, np.array(by_hand, np.float32))


def test_an_empty_list_is_a_vector_of_zeros(served):
    encoded = {
        "user_id": np.array([0]),
        "recent": np.zeros((1, 3), np.int32),
        "user_vector": np.zeros((1, 3), np.float32),
    }
    np.testing.assert_array_equal(served.embed("user", encoded)[0, 4:6], [0, 0])


def test_arrays_go_and_come_back(served):
    again = ServedModel.from_arrays(served.features, served.arrays())
    assert again.digest == served.digest and again.size_parameters == served.size_parameters


def test_what_is_no_model_is_refused(served, trained):
    arrays = served.arrays()
    del arrays["table_4"]
    with pytest.raises(ValueError, match="table_4 is missing"):
        ServedModel.from_arrays(served.features, arrays)
    arrays = served.arrays() | {"table_4": np.zeros((3, 4), np.float32)}
    with pytest.raises(ValueError, match=r"tables must be of the shapes"):
        ServedModel.from_arrays(served.features, arrays)
    arrays = {n: a for n, a in served.arrays().items() if not n.startswith("layer_1")}
    with pytest.raises(ValueError):
        ServedModel.from_arrays(served.features, arrays)
    arrays = served.arrays() | {"layer_0_colour": np.zeros(3)}
    with pytest.raises(ValueError, match="colour"):
        ServedModel.from_arrays(served.features, arrays)
    with pytest.raises(ValueError, match="must be mlp"):
        ServedModel.of(Scorer(FEATURES, [4, 2], "twin_tower", 0))


def test_training_on_leaves_a_served_model_alone(log):
    learner = train(log, stop=300).learner
    served = ServedModel.of(learner.scorer)
    before = served.digest
    train(log, learner, stop=300)
    again = ServedModel.from_arrays(served.features, served.arrays())
    assert again.digest == before != ServedModel.of(learner.scorer).digest


def test_serving_brings_no_keras():
    configure()
    code = (
        "import sys; import lib.serving.served_model; "
        "print({'keras', 'tensorflow'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "set()"
