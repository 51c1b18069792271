"""Keras files (NAME.keras): an archive whose layers are read from its config.json first.

The configuration names classes and functions that Keras would look up and call, so each must be
one of Keras' layers and what belongs to them, or of the models of this project; what calls code
from elsewhere, or looks words up in a table that ONNX does not hold, is refused by name. Weights
are arrays within the archive: no links, no objects, and no more than the archive holds.

Everything here runs in a child process without rights (`lib.infra.confined`).
"""

import io
import json
import stat
import zipfile
from pathlib import PurePosixPath

_FILES = {"config.json", "metadata.json", "model.weights.h5", "model.weights.npz"}
_MOST_CONFIG = 100_000_000  # bytes of config.json
_MOST_RATIO, _SMALL = 200, 1 << 24  # of unpacked to packed bytes, from so many unpacked bytes

_CODE = "holds or loads code"
_TABLE = (
    "looks its input up in a table, which the ONNX graph would not hold: save the part after it, "
    "whose inputs are whole numbers (-p ids)"
)
# Layers of Keras that are not taken, and why.
_REFUSED = {
    "Lambda": _CODE,
    "TFSMLayer": _CODE,
    "TorchModuleWrapper": _CODE,
    "JaxLayer": _CODE,
    "FlaxLayer": _CODE,
    "StringLookup": _TABLE,
    "IntegerLookup": _TABLE,
    "TextVectorization": _TABLE,
    "Hashing": "hashes its input, which ONNX cannot: save the part after it (-p ids)",
    "HashedCrossing": "hashes its input, which ONNX cannot: save the part after it (-p ids)",
}
_MODELS = {"Functional", "Sequential"}
# Module -> the names of it that a configuration may hold; None for all of its classes.
_MODULES = {
    "keras": {"DTypePolicy", "Quantizer", *_MODELS},
    "keras.models": _MODELS,
    "keras.src.models.functional": _MODELS,
    "keras.src.models.sequential": _MODELS,
    "keras.layers": None,
    "keras.initializers": None,
    "keras.regularizers": None,
    "keras.constraints": None,
    "keras.activations": None,
    "keras.dtype_policies": None,
    "keras.quantizers": None,
    "builtins": {"function"},
    "lib.models.mlp_model": {"MLP"},
    "lib.models.twin_tower_model": {"TwinTower"},
}
_PREFIXES = ("keras.src.layers.", "keras.src.ops.", "keras.ops.", "keras.src.initializers.")
_VALUES = {
    "__keras_tensor__",
    "__tensor__",
    "__numpy__",
    "__bytes__",
    "__ellipsis__",
    "__slice__",
    "__tuple__",
}
_FUNCTION_MODULES = ("builtins", "keras.activations", "keras.initializers", "keras.ops")


def look_at_keras(path):
    """Inputs of the model, as JSON holds them; None where they show only once it is built.

    Without Keras. Raises: ValueError, in one line, as `export_keras` for the file's parts.
    """
    config = check_keras(path)
    return {"inputs": _inputs(config), "outputs": None}


def export_keras(path, exported):
    """The model as an ONNX file at `exported`; one of `lib.models` in the form it is served in."""
    check_keras(path)
    import keras

    from lib.models.mlp_model import MLP
    from lib.models.twin_tower_model import TwinTower

    try:
        model = keras.saving.load_model(
            path, compile=False, safe_mode=True, custom_objects={"MLP": MLP, "TwinTower": TwinTower}
        )
    except Exception as error:
        raise ValueError(f"Keras does not load this file in safe mode: {error}") from error
    if isinstance(model, MLP | TwinTower):
        import onnx

        onnx.save(_own(model), exported)
        return
    if not getattr(model, "inputs", None):
        raise ValueError(
            "the model must have been built with keras.Input, so that the shapes of its inputs "
            "are known"
        )
    try:
        _export(model, exported)
    except Exception as error:
        raise ValueError(
            f"Keras and tf2onnx do not express this model in ONNX: {type(error).__name__}: {error}"
        ) from error


def _export(model, exported):
    import keras
    import tensorflow as tf

    from lib.serving.model_files.tensorflow_export import write_onnx

    functional = model if hasattr(model, "_inputs_struct") else model._functional
    structure = functional._inputs_struct  # of several inputs a list or a dictionary
    names = {id(x): x.name for x in model.inputs}
    if isinstance(structure, dict):  # by the names that its owner gives them
        names |= {id(x): name for name, x in structure.items() if hasattr(x, "shape")}
    signature = [
        tf.TensorSpec(x.shape, keras.backend.standardize_dtype(x.dtype), names[id(x)])
        for x in keras.tree.flatten(structure)
    ]

    @tf.function
    def scores(*arrays):
        return model(keras.tree.pack_sequence_as(structure, arrays), training=False)

    write_onnx(scores, signature, exported)


def _own(model):
    """A model of `lib.models`, in the form that it is served in."""
    from lib.models.twin_tower_model import TwinTower
    from lib.serving.graphs.export import naive, twin_tower
    from lib.serving.numpy_scorer import layers

    if isinstance(model, TwinTower):
        return twin_tower(layers(model)[0])
    return naive(layers(model), model.user_width or None)


# ---- the archive ----------------------------------------------------------


def check_keras(path):
    """The configuration of a file that holds nothing but layers and arrays, a dict.

    Raises: ValueError, in one line.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            _check_members(archive)
            config = json.loads(_member(archive, "config.json", _MOST_CONFIG))
            names = archive.namelist()
            if "model.weights.h5" in names:
                _check_weights(archive.read("model.weights.h5"))
            if "model.weights.npz" in names:
                _check_arrays(archive.read("model.weights.npz"))
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise ValueError(f"config.json is damaged: {error}") from None
    except (zipfile.BadZipFile, zipfile.LargeZipFile, NotImplementedError, RuntimeError) as error:
        raise ValueError(f"not a Keras file (.keras): {error}") from None
    if not isinstance(config, dict) or "class_name" not in config:
        raise ValueError("not a Keras file (.keras): config.json describes no model")
    config.pop("compile_config", None)  # of training: nothing of it is loaded
    _check_objects(config)
    return config


def _check_members(archive):
    seen = set()
    for member in archive.infolist():
        name, parts = member.filename, PurePosixPath(member.filename).parts
        kind = stat.S_IFMT(member.external_attr >> 16)
        if member.is_dir():
            continue
        if name in seen:
            raise ValueError(f"the archive holds {name!r} twice")
        seen.add(name)
        if name not in _FILES and parts[:1] != ("assets",):
            raise ValueError(f"the archive holds {name!r}, which is no part of a Keras file")
        if ".." in parts or "\\" in name or kind not in (0, stat.S_IFREG):
            raise ValueError(f"the archive's {name!r} must be a regular file inside it")
        if member.file_size > max(_SMALL, _MOST_RATIO * member.compress_size):
            raise ValueError(
                f"the archive's {name!r} would be {member.file_size:,} bytes unpacked from "
                f"{member.compress_size:,}: no weights are packed so tightly"
            )


def _member(archive, name, most):
    if name not in archive.namelist():
        raise ValueError(f"not a Keras file (.keras): the archive holds no {name}")
    if archive.getinfo(name).file_size > most:
        raise ValueError(f"{name} has more than {most:,} bytes")
    return archive.read(name)


def _check_weights(content):
    """Refuses a file of weights that names other files, or more numbers than it holds."""
    import h5py

    try:
        file = h5py.File(io.BytesIO(content), "r")
    except OSError as error:
        raise ValueError(f"model.weights.h5 is damaged: {error}") from None
    seen, claimed, waiting = set(), 0, [(file, "")]
    while waiting:
        group, place = waiting.pop()
        for name in group:
            where = f"model.weights.h5: {place}/{name}"
            if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                raise ValueError(f"{where} is a link; weights must lie in the file")
            item = group[name]
            address = h5py.h5o.get_info(item.id).addr
            if address in seen:
                continue
            seen.add(address)
            if isinstance(item, h5py.Group):
                waiting.append((item, f"{place}/{name}"))
                continue
            if not isinstance(item, h5py.Dataset) or item.external or item.is_virtual:
                raise ValueError(f"{where} must be an array that lies in the file")
            if item.dtype.hasobject:
                raise ValueError(f"{where} must hold numbers; it holds objects")
            claimed += item.nbytes
            if claimed > len(content):
                raise ValueError(
                    f"{where}: the arrays claim {claimed:,} bytes, and the file has "
                    f"{len(content):,}"
                )


def _check_arrays(content):
    """Refuses an archive of arrays that holds other objects, which would be unpickled."""
    import numpy as np

    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            for name in arrays.files:
                arrays[name]
    except (ValueError, OSError, EOFError) as error:
        raise ValueError(f"model.weights.npz must hold arrays of numbers: {error}") from None


def _check_objects(config):
    """Refuses every class and function that is not one of Keras' layers and their parts."""
    waiting = [config]
    while waiting:
        value = waiting.pop()
        if isinstance(value, list):
            waiting += value
        elif isinstance(value, dict):
            if "class_name" in value:
                _check_object(value)
            waiting += value.values()


def _check_object(value):
    name, module = value["class_name"], value.get("module")
    inner = value.get("config")
    layer = f"layer {inner['name']!r}: " if isinstance(inner, dict) and "name" in inner else ""
    if not isinstance(name, str):
        raise ValueError(f"config.json: class_name must be a name; got {name!r:.80}")
    if name in _REFUSED:
        raise ValueError(f"{layer}{name} {_REFUSED[name]}")
    if name in _VALUES:
        return
    if name == "function":
        known = isinstance(module, str) and module.startswith(_FUNCTION_MODULES)
        if known and isinstance(inner, str) and inner.isidentifier():
            return
        raise ValueError(f"config.json: the function {module}.{inner!s:.80} {_CODE}")
    names = _MODULES.get(module, ()) if isinstance(module, str) else ()
    if names is None or name in names:
        return
    if isinstance(module, str) and module.startswith(_PREFIXES):
        return
    raise ValueError(
        f"config.json: {layer}the class {name!r} of the module {module!r} is none of "
        f"Keras' layers: classes of other code are not loaded"
    )


def _inputs(config):
    """The inputs of a Functional or Sequential model, as lists of name, shape, type."""
    inner = config.get("config") or {}
    layers, names = inner.get("layers") or [], {}
    if isinstance(inner.get("input_layers"), dict):  # by the names that its owner gives them
        names = {layer[0]: name for name, layer in inner["input_layers"].items()}
    found = [
        layer["config"]
        for layer in layers
        if isinstance(layer, dict) and layer.get("class_name") == "InputLayer"
    ]
    try:
        return [
            {
                "name": names.get(one["name"], one["name"]),
                "shape": list(one.get("batch_shape") or one["batch_input_shape"]),
                "type": one["dtype"] if isinstance(one["dtype"], str) else "float32",
            }
            for one in found
        ] or None
    except (KeyError, TypeError):
        return None
