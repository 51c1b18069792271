"""The training step of click models: row-wise Adagrad, against loops and against dense Adagrad."""

import gc
import weakref

import keras
import numpy as np
import pytest

from lib.training import ClickLearner
from lib.training.progressive import as_steps
from tests.training.small_clicks import Data, deviation_from_loops, make_model


def numbers(variables):
    return [np.array(keras.ops.convert_to_numpy(variable)) for variable in variables]


def trained(model, data, batch=64, **settings):
    learner = ClickLearner(model, **settings)
    losses = learner.take_steps(*as_steps(data.all, batch))
    return learner, losses


def test_a_step_is_that_of_the_loops():
    assert deviation_from_loops() < 1e-5


def test_width_one_is_dense_adagrad():
    """Where a row is one number, each row's sum is that number's own."""
    data = Data(256)
    data.all = data.all._replace(dense=np.zeros_like(data.all.dense))
    model = make_model("logistic_regression")
    (table,) = numbers([model.tables[1].embeddings])
    bias, sums, bias_sum = 0.0, np.zeros(table.shape), 0.1
    table = table.astype(float)
    learner, _ = trained(model, data, learning_rate=0.05, epsilon=1e-8)
    count = table.shape[0]
    for part in np.split(np.arange(256), 4):
        ids, labels = data.all.ids[part], data.all.labels[part, None]
        looked_up = np.zeros((len(part), count))  # how much of each row an example holds
        firsts, slots = (0, 50, 59), ((0, 1), (1, 4), (4, 5))
        for first, (low, high), values in zip(firsts, slots, (50, 9, 50), strict=True):
            for example, given in zip(looked_up, ids[:, low:high], strict=True):
                given = given[given >= 0]
                np.add.at(example, first + given % values, 1 / max(len(given), 1))
        slope = 1 / (1 + np.exp(-(looked_up @ table + bias))) - labels
        whole = looked_up.T @ slope  # of every row, also of those that are not there
        sums += whole**2
        table -= 0.05 * whole / np.sqrt(sums + 1e-8)
        bias_sum += slope.mean() ** 2
        bias -= 0.05 * slope.mean() / np.sqrt(bias_sum + 1e-8)
    np.testing.assert_allclose(numbers(learner.tables)[0], table, atol=2e-6)


def test_what_is_not_there_is_not_trained():
    """Neither rows without an id in the batch nor the row that a padded slot would read."""
    data = Data(64)
    ids = data.all.ids.copy()
    ids[ids % 50 == 0] = -1  # no field's row 0 is there, only padding
    ids[:, [0, 4]] = np.where(ids[:, [0, 4]] < 0, 7, ids[:, [0, 4]])
    data.all = data.all._replace(ids=ids)
    model = make_model()
    (before,) = numbers([model.tables[4].embeddings])
    learner, _ = trained(model, data, batch=32)
    (after,), (sums,) = numbers(learner.tables), numbers(learner.table_sums)
    moved = (after != before).any(axis=1)
    assert not moved[[0, 50, 59]].any()
    assert moved.any()
    assert (sums[~moved] == 0).all()


@pytest.mark.parametrize(
    "family", ["logistic_regression", "factorisation_machine", "mlp", "dlrm", "dcn_v2"]
)
def test_replicas_train_as_single_models_do(family):
    data = Data(256)
    _, losses = trained(make_model(family, replicas=3, seed=5), data)
    for replica in range(3):
        _, alone = trained(make_model(family, seed=5 + replica), data)
        np.testing.assert_allclose(losses[:, replica], alone[:, 0], rtol=1e-5)


def test_a_call_of_many_steps_is_many_calls():
    data = Data(256)
    (many, _), few = trained(make_model(), data), ClickLearner(make_model())
    inputs, labels = as_steps(data.all, 64)
    for step in range(4):
        part = keras.tree.map_structure(lambda x, step=step: x[step : step + 1], inputs)
        few.take_steps(part, labels[step : step + 1])
    for a, b in zip(numbers(many.variables), numbers(few.variables), strict=True):
        np.testing.assert_array_equal(a, b)


def test_what_is_compiled_holds_no_tables():
    """A worker trains dozens of models: each must be freed when it is done."""
    data = Data(64)
    learner, _ = trained(make_model(top=(5,)), data)
    table = weakref.ref(learner.tables[0])
    del learner
    keras.backend.clear_session()
    gc.collect()
    assert table() is None


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"learning_rate": 0}, "learning_rate must be > 0 and finite; got 0"),
        ({"table_learning_rate": -1}, "table_learning_rate must be > 0"),
        ({"epsilon": np.nan}, "epsilon must be > 0"),
        ({"sums": -0.1}, "sums must be >= 0"),
    ],
)
def test_bad_settings_are_named(settings, message):
    with pytest.raises(ValueError, match=message):
        ClickLearner(make_model(), **settings)
