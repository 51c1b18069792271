"""Model files score as the model they were saved from; what could run code is refused unread."""

import pickle
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from lib.models.mlp_model import mlp
from lib.models.twin_tower_model import twin_tower
from lib.serving.engines import OnnxRuntime, OpenVino
from lib.serving.model_files.reading import load

rng = np.random.default_rng(0)


def two_inputs():
    """A dense input and a list of ids, as another project may have them."""
    user, ids = keras.Input((3,), name="user"), keras.Input((4,), dtype="int32", name="ids")
    vectors = layers.Flatten()(layers.Embedding(10, 2)(ids))
    x = layers.PReLU()(layers.BatchNormalization()(layers.Concatenate()([user, vectors])))
    return keras.Model([user, ids], layers.Dense(1)(layers.Dropout(0.1)(x)))


@pytest.fixture(scope="module")
def model():
    return two_inputs()


@pytest.fixture(scope="module")
def saved(model, tmp_path_factory):
    """The same model in each of the formats."""
    folder = tmp_path_factory.mktemp("models")
    model.save(folder / "model.keras")
    model.export(str(folder / "exported"), verbose=False)
    tf.saved_model.save(model, str(folder / "saved"))
    return folder


@pytest.mark.parametrize("name", ["model.keras", "exported", "saved"])
def test_keras_and_saved_model(saved, model, name):
    values = {3: rng.normal(size=(5, 3)).astype("f"), 4: rng.integers(0, 10, (5, 4), np.int32)}
    graph = load(saved / name)
    for engine in (OnnxRuntime(graph), OpenVino(graph)):
        shapes = engine.input_shapes
        assert {shape[1] for shape in shapes.values()} == {3, 4}
        assert all(isinstance(count, str) for count, _ in shapes.values())  # may vary
        assert {shape[1]: engine.input_types[key] for key, shape in shapes.items()} == {
            3: np.float32,
            4: np.int32,
        }
        scores = engine.run({key: values[shape[1]] for key, shape in shapes.items()})
        np.testing.assert_allclose(
            scores, model.predict([values[3], values[4]], verbose=0), rtol=1e-5, atol=1e-6
        )


def as_if_trained(model):
    for variable in model.weights:
        low = 0.5 if "variance" in variable.path else -0.5
        variable.assign(rng.uniform(low, 1, variable.shape))
    return model


@pytest.mark.parametrize("user_width", [pytest.param(0, marks=pytest.mark.slow), 5])
def test_our_own_mlp_in_its_served_form(tmp_path, user_width):
    model = as_if_trained(mlp([12, 8, 4, 1], user_width))
    model.save(tmp_path / "mlp.keras")
    engine = OnnxRuntime(load(tmp_path / "mlp.keras"))
    width = user_width or 6
    assert engine.input_shapes == {"user": (1, width), "ads": ("candidates", 12 - width)}
    user, ads = (rng.normal(size=size).astype("f") for size in ((1, width), (7, 12 - width)))
    pairs = np.concatenate([np.repeat(user, 7, axis=0), ads], axis=1)
    expected = model([user, ads[None]])[0] if user_width else model(pairs)
    np.testing.assert_allclose(
        engine.run({"user": user, "ads": ads}), expected, rtol=1e-4, atol=1e-5
    )


def test_our_own_twin_tower_in_its_served_form(tmp_path):
    model = as_if_trained(twin_tower([12, 8, 4], 5))
    model.save(tmp_path / "tower.keras")
    engine = OnnxRuntime(load(tmp_path / "tower.keras"))
    user, ads = rng.normal(size=(1, 5)).astype("f"), rng.normal(size=(7, 7)).astype("f")
    vectors = model.ad_vector(ads).numpy()
    np.testing.assert_allclose(
        engine.run({"user": user, "ad_vectors": vectors}),
        model([user, ads[None]])[0],
        rtol=1e-4,
        atol=1e-5,
    )


# ---- what is refused ------------------------------------------------------


class Spy:
    """Leaves a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


@pytest.mark.parametrize("name", ["model.pkl", "model.pt", "model.h5", "model.joblib", "model"])
def test_formats_that_can_hold_code(tmp_path, name):
    (tmp_path / name).write_bytes(pickle.dumps(Spy(tmp_path / "ran")))
    with pytest.raises(ValueError, match=r"must be \.onnx, \.keras or the folder of a SavedModel"):
        load(tmp_path / name)
    assert not (tmp_path / "ran").exists()


def test_no_such_file_and_no_such_model(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no such model file"):
        load(tmp_path / "model.onnx")
    with pytest.raises(ValueError, match=r"a folder must be a SavedModel; it has no saved_model"):
        load(tmp_path)
