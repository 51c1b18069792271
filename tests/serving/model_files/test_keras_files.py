"""Keras files: their layers are read before Keras is, and what is more than layers is refused."""

import io
import json
import stat
import zipfile
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest
from keras import layers

from lib.models.mlp_model import mlp
from lib.serving.load.load_tests import prepare_model
from lib.serving.model_files.inspection import inspect_file
from lib.serving.model_files.keras_files import check_keras
from lib.serving.model_files.reading import load


def plain():
    x = keras.Input((3,), name="x")
    return keras.Model(x, layers.Dense(1, activation="relu")(layers.Dense(4)(x)))


def save(model, path):
    model.save(path)
    return path


def refuses(path, message):
    """Said before Keras is imported, in one line that names the file."""
    for look in (load, lambda path: inspect_file(path, candidates=5)):
        with pytest.raises(ValueError) as refusal:
            look(path)
        text = str(refusal.value)
        assert text.startswith(f"{path}: ") and message in text and "\n" not in text, text


# ---- layers ---------------------------------------------------------------


def of_words():
    x = keras.Input((1,), dtype="string", name="word")
    ids = layers.StringLookup(vocabulary=["a", "b"], name="words")(x)
    return keras.Model(x, layers.Dense(1)(layers.Flatten()(layers.Embedding(4, 2)(ids))))


def of_numbers():
    x = keras.Input((1,), dtype="int64", name="ad_id")
    ids = layers.IntegerLookup(vocabulary=[10, 20, 30], name="ads")(x)
    return keras.Model(x, layers.Dense(1)(layers.Flatten()(layers.Embedding(8, 2)(ids))))


def of_hashes():
    x = keras.Input((1,), dtype="int64", name="ad_id")
    ids = layers.Hashing(8, name="buckets")(x)
    return keras.Model(x, layers.Dense(1)(layers.Flatten()(layers.Embedding(8, 2)(ids))))


def within_a_model():
    x = keras.Input((1,), dtype="int64", name="ad_id")
    return keras.Model(x, of_numbers()(x))


def of_code():
    return keras.Sequential([keras.Input((3,)), layers.Lambda(lambda x: x + 1, name="code")])


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (of_words, "layer 'words': StringLookup looks its input up in a table"),
        (of_numbers, "layer 'ads': IntegerLookup looks its input up in a table"),
        (within_a_model, "layer 'ads': IntegerLookup looks its input up in a table"),
        (of_hashes, "layer 'buckets': Hashing hashes its input"),
        (of_code, "layer 'code': Lambda holds or loads code"),
    ],
)
def test_layers_that_are_not_taken(tmp_path, build, message):
    refuses(save(build(), tmp_path / "own.keras"), message)


# ---- files that Keras does not write --------------------------------------


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    return save(plain(), tmp_path_factory.mktemp("plain") / "plain.keras")


def edited(file, path, config=None, **members):
    """A copy: `config` changes its configuration; members are added, or take others' place."""
    with zipfile.ZipFile(file) as archive:
        contents = {name: archive.read(name) for name in archive.namelist()}
    if config:
        changed = json.loads(contents["config.json"])
        config(changed)
        contents["config.json"] = json.dumps(changed)
    contents |= {name.replace("__", "."): content for name, content in members.items()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in contents.items():
            archive.writestr(name, content)
    return path


def second_layer(**change):
    return lambda config: config["config"]["layers"][1].update(change)


def activation(value):
    return lambda config: config["config"]["layers"][1]["config"].update(activation=value)


def function(module, name):
    return activation(
        {"module": module, "class_name": "function", "config": name, "registered_name": name}
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (second_layer(module="os", class_name="system"), "the class 'system' of the module 'os'"),
        (second_layer(module="lib.run", class_name="Dense"), "'Dense' of the module 'lib.run'"),
        (second_layer(module="keras.utils", class_name="FeatureSpace"), "'keras.utils'"),
        (second_layer(module="keras", class_name="Quatsch"), "'Quatsch' of the module 'keras'"),
        (second_layer(module=None, registered_name="mine>Dense"), "of the module None"),
        (second_layer(class_name="TFSMLayer"), "TFSMLayer holds or loads code"),
        (second_layer(class_name="TorchModuleWrapper"), "TorchModuleWrapper holds or loads code"),
        (second_layer(class_name=["Dense"]), "class_name must be a name; got ['Dense']"),
        (function("keras.utils", "get_file"), "the function keras.utils.get_file holds or loads"),
        (function("os", "system"), "the function os.system holds or loads code"),
        (function("builtins", "os.system"), "the function builtins.os.system holds or loads code"),
        (
            activation({"class_name": "__lambda__", "config": {"value": "4wAAAA=="}}),
            "the class '__lambda__' of the module None",
        ),
        (
            activation({"class_name": "__typespec__", "config": [], "module": "tensorflow"}),
            "the class '__typespec__' of the module 'tensorflow'",
        ),
        (lambda config: config.clear(), "config.json describes no model"),
    ],
)
def test_configurations_that_call_other_code(tmp_path, file, change, message):
    refuses(edited(file, tmp_path / "own.keras", change), message)


def packed(*names):
    """An archive with a bomb, a link, a way out or a name twice."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in names:
            if name == "link":
                info = zipfile.ZipInfo("assets/link")
                info.external_attr = (stat.S_IFLNK | 0o777) << 16
                archive.writestr(info, "/etc/passwd")
            elif name == "bomb":
                archive.writestr("model.weights.h5", bytes(100_000_000))
            else:
                archive.writestr(name, "{}")
    return target.getvalue()


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"no zip", "not a Keras file (.keras): File is not a zip file"),
        ([], "the archive holds no config.json"),
        (["metadata.json"], "the archive holds no config.json"),
        (["config.json"], "config.json describes no model"),
        (["config.json", "config.json"], "the archive holds 'config.json' twice"),
        (["config.json", "evil.py"], "'evil.py', which is no part of a Keras file"),
        (["config.json", "assets/../../x"], "'assets/../../x' must be a regular file inside"),
        (["config.json", "link"], "'assets/link' must be a regular file inside it"),
        (["config.json", "bomb"], "would be 100,000,000 bytes unpacked from"),
    ],
)
def test_archives_of_another_kind(tmp_path, content, message):
    content = content if isinstance(content, bytes) else packed(*content)
    (tmp_path / "own.keras").write_bytes(content)
    refuses(tmp_path / "own.keras", message)


def test_a_configuration_that_is_no_text(tmp_path, file):
    for content in (b"\xff\xfe", b"{", b"[" * 100_000):
        path = edited(file, tmp_path / "own.keras", config__json=content)
        refuses(path, "config.json is damaged")


def weights(write):
    target = io.BytesIO()
    with h5py.File(target, "w") as file:
        write(file)
    return target.getvalue()


def linked(file):
    file["kernel"] = h5py.ExternalLink("/etc/secret.h5", "/kernel")


def outside(file):
    file.create_dataset("kernel", (4,), "f4", external=[("/etc/passwd", 0, 16)])


def virtual(file):
    layout = h5py.VirtualLayout((4,), "f4")
    layout[:] = h5py.VirtualSource("/etc/secret.h5", "kernel", (4,))
    file.create_virtual_dataset("kernel", layout)


def claimed(file):
    file.create_dataset("kernel", (1 << 40,), "f4", chunks=(1 << 10,))


def objects(file):
    file.create_dataset("kernel", data=["text"], dtype=h5py.string_dtype())


def a_circle(file):
    file.create_group("a")["back"] = file["/"]


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (linked, "/kernel is a link; weights must lie in the file"),
        (outside, "/kernel must be an array that lies in the file"),
        (virtual, "/kernel must be an array that lies in the file"),
        (claimed, "/kernel: the arrays claim 4,398,046,511,104 bytes"),
        (objects, "/kernel must hold numbers; it holds objects"),
    ],
)
def test_weights_that_lie_elsewhere(tmp_path, file, write, message):
    members = {"model__weights__h5": weights(write)}
    refuses(edited(file, tmp_path / "own.keras", **members), message)


def test_weights_in_a_circle_and_torn(tmp_path, file):
    members = {"model__weights__h5": weights(a_circle)}
    check_keras(edited(file, tmp_path / "own.keras", **members))  # ends
    refuses(
        edited(file, tmp_path / "own.keras", model__weights__h5=b"torn"),
        "model.weights.h5 is damaged",
    )


class Spy:
    """Leaves a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_a_pickle_among_the_weights(tmp_path, file):
    array = np.array([Spy(tmp_path / "ran")], dtype=object)
    npz = io.BytesIO()
    np.savez(npz, kernel=array)
    with zipfile.ZipFile(file) as archive:
        config, metadata = archive.read("config.json"), archive.read("metadata.json")
    path = tmp_path / "own.keras"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("config.json", config)
        archive.writestr("metadata.json", metadata)
        archive.writestr("model.weights.npz", npz.getvalue())
    refuses(path, "model.weights.npz must hold arrays of numbers")
    assert not (tmp_path / "ran").exists()


# ---- what is taken --------------------------------------------------------


def of_a_dictionary():
    """Ids and numbers under the names of their owner, with what a table of numbers needs."""
    user, ad = (keras.Input((), dtype="int64", name=name) for name in ("u", "a"))
    price = keras.Input((2,), name="price")
    scaled = layers.Normalization(mean=[1.0, 2.0], variance=[4.0, 9.0])(price)
    both = layers.Concatenate()(
        [layers.Embedding(100, 4)(user), layers.Embedding(50, 4)(ad), scaled]
    )
    inputs = {"user_id": user, "ad_id": ad, "price": price}
    return keras.Model(
        inputs, layers.Dense(1)(layers.Dense(4, "gelu")(layers.LayerNormalization()(both)))
    )


@pytest.mark.filterwarnings("ignore:When providing `inputs` as a dict")
def test_dictionary_inputs_and_normalization(tmp_path):
    model = of_a_dictionary()
    path = save(model, tmp_path / "own.keras")
    found = inspect_file(path, candidates=5, ids=40)
    assert {value["name"]: value["shape"] for value in found["inputs"]} == {
        "user_id": [None],
        "ad_id": [None],
        "price": [None, 2],
    }
    _, engine, (request, *_) = prepare_model(path, candidates=5, seed=0, ids=40)
    assert set(request) == {"user_id", "ad_id", "price"}
    np.testing.assert_allclose(
        engine.run(request), model.predict(request, verbose=0), rtol=1e-4, atol=1e-5
    )


def test_our_own_models_show_their_inputs_once_they_are_built(tmp_path):
    found = inspect_file(save(mlp([12, 8, 4, 1], 5), tmp_path / "own.keras"), candidates=5)
    assert found["inputs"] is None and "once the model is loaded" in found["notes"][0]


@pytest.mark.filterwarnings("ignore:The object being serialized includes a `lambda`")
def test_a_loss_of_ones_own_does_not_matter(tmp_path):
    model = plain()
    model.compile(optimizer="adam", loss=lambda y, s: keras.ops.mean(s))
    check_keras(save(model, tmp_path / "own.keras"))
