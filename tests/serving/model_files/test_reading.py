"""Model files score as the model they were saved from; what could run code is refused unread."""

import pickle
import zipfile
from pathlib import Path

import keras
import numpy as np
import onnx
import pytest
import tensorflow as tf
from keras import layers

from lib.models.mlp_model import mlp
from lib.models.twin_tower_model import twin_tower
from lib.serving.engines import OnnxRuntime, OpenVino
from lib.serving.graphs import export
from lib.serving.model_files import load

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


@pytest.mark.parametrize("user_width", [0, 5])
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


# ---- ONNX -----------------------------------------------------------------


def with_weights_at(place, location):
    """An ONNX file whose weights it says to lie at `location`, from its folder."""
    graph = export.naive(export.random_weights([6, 4, 1], seed=0))
    onnx.save(graph, place, save_as_external_data=True, location="weights.bin", size_threshold=0)
    model = onnx.load(place, load_external_data=False)
    for weight in model.graph.initializer:
        next(entry for entry in weight.external_data if entry.key == "location").value = location
    place.write_bytes(model.SerializeToString())
    return place


def test_onnx_with_its_weights_beside_it(tmp_path):
    graph = load(with_weights_at(tmp_path / "model.onnx", "weights.bin"))
    inputs = {"user": np.ones((1, 3), "f"), "ads": np.ones((2, 3), "f")}
    plain = OnnxRuntime(export.naive(export.random_weights([6, 4, 1], seed=0)))
    np.testing.assert_array_equal(OnnxRuntime(graph).run(inputs), plain.run(inputs))


@pytest.mark.parametrize("where", ["above", "absolute", "link"])
def test_onnx_with_weights_outside_its_folder(tmp_path, where):
    folder = tmp_path / "folder"
    folder.mkdir()
    location = {
        "above": "../weights.bin",
        "absolute": str(tmp_path / "weights.bin"),
        "link": "link.bin",
    }[where]
    path = with_weights_at(folder / "model.onnx", location)
    (folder / "weights.bin").rename(tmp_path / "weights.bin")
    (folder / "link.bin").symlink_to(tmp_path / "weights.bin")
    with pytest.raises(ValueError, match=r"model\.onnx: not an ONNX model that can be served"):
        load(path)


def test_damaged_onnx(tmp_path):
    whole = export.naive(export.random_weights([6, 4, 1], seed=0)).SerializeToString()
    (tmp_path / "cut.onnx").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "empty.onnx").write_bytes(b"")
    for name in ("cut", "empty"):
        with pytest.raises(ValueError, match=rf"{name}\.onnx: not an ONNX model"):
            load(tmp_path / f"{name}.onnx")


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


def test_keras_with_a_lambda_layer(tmp_path):
    keras.Sequential([keras.Input((3,)), layers.Lambda(lambda x: x + 1)]).save(
        tmp_path / "model.keras"
    )
    with pytest.raises(ValueError, match=r"model\.keras: Keras does not load .* in safe mode"):
        load(tmp_path / "model.keras")


def test_damaged_keras(tmp_path, saved):
    (tmp_path / "model.keras").write_bytes(b"no zip")
    with zipfile.ZipFile(tmp_path / "other.keras", "w") as file:
        file.writestr("config.json", "{}")
    for name in ("model.keras", "other.keras"):
        with pytest.raises(ValueError, match="Keras does not load this file in safe mode"):
            load(tmp_path / name)


def module(function):
    """A SavedModel's object with that function as its signature."""
    result = tf.Module()
    result.score = tf.function(function, input_signature=[tf.TensorSpec([None, 3], tf.float32)])
    return result


def of_python(x):
    return tf.ensure_shape(tf.py_function(lambda y: y, [x], tf.float32), [None, 3])


def of_numpy(x):
    return tf.ensure_shape(tf.numpy_function(lambda y: y, [x], tf.float32), [None, 3])


def reading(x):
    return x + tf.strings.to_number(tf.io.read_file("secret"))


def writing(x):
    tf.io.write_file("spoils", "x")
    return x


@pytest.mark.parametrize(
    ("function", "operator"),
    [
        (of_python, "EagerPyFunc"),
        (of_numpy, "PyFunc"),
        (reading, "ReadFile"),
        (writing, "WriteFile"),
    ],
)
def test_saved_model_is_not_loaded_with_operators_that_do_more(
    tmp_path, monkeypatch, function, operator
):
    saved = module(function)
    tf.saved_model.save(saved, str(tmp_path / "model"), signatures=saved.score)
    monkeypatch.setattr(tf.saved_model, "load", None)
    with pytest.raises(ValueError, match=f"operators that ONNX does not: .*{operator}"):
        load(tmp_path / "model")


def test_saved_model_is_not_loaded_with_what_runs_when_loaded(tmp_path, monkeypatch):
    saved = module(lambda x: x)
    keys = tf.lookup.KeyValueTensorInitializer(["a"], [1])
    saved.table = tf.lookup.StaticHashTable(keys, 0)
    tf.saved_model.save(saved, str(tmp_path / "model"), signatures=saved.score)
    monkeypatch.setattr(tf.saved_model, "load", None)
    with pytest.raises(ValueError, match=r"tables or files \(resource\) that run code when"):
        load(tmp_path / "model")


def test_saved_model_of_tensorflow_1_is_not_loaded(tmp_path, saved, monkeypatch):
    from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

    old = SavedModel.FromString((saved / "saved" / "saved_model.pb").read_bytes())
    old.meta_graphs[0].ClearField("object_graph_def")
    (tmp_path / "saved_model.pb").write_bytes(old.SerializeToString())
    monkeypatch.setattr(tf.saved_model, "load", None)
    with pytest.raises(ValueError, match="a SavedModel of TensorFlow 1 runs its graph when"):
        load(tmp_path)


def test_damaged_saved_model_and_one_without_a_signature(tmp_path):
    tf.saved_model.save(tf.Module(), str(tmp_path / "model"))
    with pytest.raises(ValueError, match="must have the signature serving_default; it has none"):
        load(tmp_path / "model")
    (tmp_path / "saved_model.pb").write_bytes(b"no such message")
    with pytest.raises(ValueError, match=r"saved_model\.pb is damaged"):
        load(tmp_path)
