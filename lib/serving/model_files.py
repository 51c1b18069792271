"""Any model file as an ONNX graph, read without running anything that is in it.

    file                      how it is read
    NAME.onnx                 ONNX, checked; weights beside it only inside its folder
    NAME.keras                Keras, safe mode: no Lambda layers, no pickles; then exported
    folder, saved_model.pb    SavedModel of TensorFlow 2, its operators checked first; exported

Other formats (pickles, .pt, .h5) can hold code and are refused. Save those as one of the
above: keras.Model.export(path, format="onnx"), torch.onnx.export.
"""

import contextlib
import io
import tempfile
from pathlib import Path

import onnx

from lib.serving.graphs.export import naive, twin_tower

_OPSET = 18
# What a SavedModel holds around its model: variables, function calls, saving and restoring.
# Nothing runs those that write files: `_check_saved_model` refuses what runs when loaded.
_AROUND = {
    "AssignVariableOp",
    "DisableCopyOnRead",
    "MergeV2Checkpoints",
    "NoOp",
    "PartitionedCall",
    "ReadVariableOp",
    "RestoreV2",
    "SaveV2",
    "ShardedFilename",
    "StatefulPartitionedCall",
    "StaticRegexFullMatch",
    "StringJoin",
    "VarHandleOp",
    "VarIsInitializedOp",
}


def load(path):
    """A model file as an ONNX graph, for any engine of `lib.serving.engines`.

    Args:
      path: a file NAME.onnx or NAME.keras, or the folder of a SavedModel.

    Returns: onnx.ModelProto, weights included.
    Raises: FileNotFoundError; ValueError for a format that is not read, for a file that is
      damaged, and for one that would run code, read or write files.

    >>> import tempfile
    >>> from lib.serving.graphs.export import naive, random_weights
    >>> path = Path(tempfile.mkdtemp()) / "model.onnx"
    >>> onnx.save(naive(random_weights([6, 4, 1], seed=0)), path)
    >>> [value.name for value in load(path).graph.input]
    ['user', 'ads']
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"{path}: there is no such model file")
    if path.is_dir():
        if not (path / "saved_model.pb").is_file():
            raise ValueError(f"{path}: a folder must be a SavedModel; it has no saved_model.pb")
        return _load_saved_model(path)
    readers = {".onnx": _load_onnx, ".keras": _load_keras}
    if path.suffix not in readers:
        raise ValueError(
            f"{path}: a model file must be .onnx, .keras or the folder of a "
            f"SavedModel; got {path.suffix or 'no suffix'}. Formats that can hold "
            f"code (.pkl, .pt, .h5) are not read: export the model to ONNX"
        )
    return readers[path.suffix](path)


def _load_onnx(path):
    try:
        model = onnx.load(path)  # refuses weights outside the file's folder
        onnx.checker.check_model(model, full_check=True)
    except Exception as error:
        raise ValueError(f"{path}: not an ONNX model that can be served: {error}") from error
    return model


def _load_keras(path):
    import keras

    from lib.models.mlp_model import MLP
    from lib.models.twin_tower_model import TwinTower

    try:
        model = keras.saving.load_model(
            path, compile=False, safe_mode=True, custom_objects={"MLP": MLP, "TwinTower": TwinTower}
        )
    except Exception as error:
        raise ValueError(
            f"{path}: Keras does not load this file in safe mode (Lambda layers and "
            f"classes of other code are refused): {error}"
        ) from error
    if isinstance(model, MLP | TwinTower):
        return _own(model)
    if not getattr(model, "inputs", None):
        raise ValueError(
            f"{path}: the model must have been built with keras.Input, so that the "
            f"shapes of its inputs are known"
        )
    specs = [keras.InputSpec(shape=x.shape, dtype=x.dtype, name=x.name) for x in model.inputs]
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        exported = Path(folder) / "model.onnx"
        model.export(
            exported,
            format="onnx",
            verbose=False,
            opset_version=_OPSET,
            input_signature=[specs[0] if len(specs) == 1 else specs],
        )
        return onnx.load(exported)


def _own(model):
    """A model of `lib.models`, in the form that it is served in."""
    from lib.models.twin_tower_model import TwinTower
    from lib.serving.numpy_scorer import layers

    if isinstance(model, TwinTower):
        return twin_tower(layers(model)[0])
    return naive(layers(model), model.user_width or None)


def _load_saved_model(path):
    _check_saved_model(path)
    import tensorflow as tf
    import tf2onnx

    loaded = tf.saved_model.load(str(path))
    if "serving_default" not in loaded.signatures:
        raise ValueError(
            f"{path}: the SavedModel must have the signature serving_default; it "
            f"has {', '.join(loaded.signatures) or 'none'}"
        )
    serve = loaded.signatures["serving_default"]
    inputs = list(serve.structured_input_signature[1].values())

    @tf.function
    def scores(*arrays):
        return serve(**{spec.name: array for spec, array in zip(inputs, arrays, strict=True)})

    return tf2onnx.convert.from_function(scores, input_signature=inputs, opset=_OPSET)[0]


def _check_saved_model(path):
    """Refuses, from saved_model.pb alone, what would do more than compute."""
    from google.protobuf.message import DecodeError
    from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

    try:
        graphs = SavedModel.FromString((path / "saved_model.pb").read_bytes()).meta_graphs
    except DecodeError as error:
        raise ValueError(f"{path}: saved_model.pb is damaged: {error}") from None
    for graph in graphs:
        objects = graph.object_graph_def.nodes
        if not objects:
            raise ValueError(
                f"{path}: a SavedModel of TensorFlow 1 runs its graph when it is "
                f"loaded and is not read; save it with TensorFlow 2"
            )
        at_load = {node.WhichOneof("kind") for node in objects} & {"resource", "asset"}
        if at_load:
            raise ValueError(
                f"{path}: the SavedModel has tables or files ({', '.join(at_load)}) "
                f"that run code when it is loaded; export the scoring part alone"
            )
        functions = graph.graph_def.library.function
        used = {node.op for node in graph.graph_def.node}
        used.update(node.op for function in functions for node in function.node_def)
        used -= {function.signature.name for function in functions}
        if refused := sorted(used - _AROUND - _convertible()):
            raise ValueError(
                f"{path}: the SavedModel has operators that ONNX does not: "
                f"{', '.join(refused)}. It is not loaded: such operators could "
                f"read or write files, use the network or run Python"
            )


def _convertible():
    """TensorFlow's operators that have a counterpart in ONNX: all of them only compute."""
    import tf2onnx.tfonnx  # noqa: F401, registers them
    from tf2onnx.handler import tf_op

    return {name for opset in tf_op.get_opsets()[""][: _OPSET + 1] for name in opset}
