"""SavedModels that would do more than compute: refused by their operators, and nothing runs.

Each leaves a canary where any of it runs.
"""

import shutil
from pathlib import Path

import pytest
import tensorflow as tf
from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

from lib.serving.model_files.inspection import inspect_file
from lib.serving.model_files.reading import load
from lib.serving.model_files.saved_models import COMPUTING


def module(function=None):
    """A SavedModel's object with a variable, and that function as its signature."""
    result = tf.Module()
    result.weights = tf.Variable([[1.0], [2.0], [3.0]])
    function = function or (lambda x: tf.matmul(x, result.weights))
    result.score = tf.function(function, input_signature=[tf.TensorSpec([None, 3], tf.float32)])
    return result


def save(saved, path):
    tf.saved_model.save(saved, str(path), signatures=saved.score)
    return path


def refuses(path, message, *canaries):
    for look in (load, lambda path: inspect_file(path, candidates=5)):
        with pytest.raises(ValueError) as refusal:
            look(path)
        text = str(refusal.value)
        assert text.startswith(f"{path}: ") and message in text and "\n" not in text, text
    for canary in canaries:
        assert not list(canary.parent.glob(f"{canary.name}*")), f"{canary} was left"


# ---- signatures -----------------------------------------------------------


def of_python(x):
    return tf.ensure_shape(tf.py_function(lambda y: y, [x], tf.float32), [None, 3])


def of_numpy(x):
    return tf.ensure_shape(tf.numpy_function(lambda y: y, [x], tf.float32), [None, 3])


def reading(x):
    return x + tf.strings.to_number(tf.io.read_file("secret"))


def restoring(x):
    return (
        x
        + tf.raw_ops.RestoreV2(
            prefix="secret", tensor_names=["a"], shape_and_slices=[""], dtypes=[tf.float32]
        )[0]
    )


def printing(x):
    with tf.control_dependencies([tf.raw_ops.PrintV2(input="x", output_stream="file://spoils")]):
        return tf.identity(x)


def of_a_table(x):
    table = tf.raw_ops.MutableHashTableV2(key_dtype=tf.int64, value_dtype=tf.float32)
    keys = tf.constant([1], tf.int64)
    return x + tf.raw_ops.LookupTableFindV2(table_handle=table, keys=keys, default_value=0.0)


def in_a_branch(x):
    """The writing stands in a function that only a condition calls."""

    def write():
        tf.io.write_file("spoils", "x")
        return x

    return tf.cond(tf.reduce_sum(x) > 0, write, lambda: x)


def in_a_loop(x):
    def step(i, x):
        tf.io.write_file("spoils", "x")
        return i + 1, x

    return tf.while_loop(lambda i, _: i < 3, step, [0, x])[1]


@pytest.mark.parametrize(
    ("function", "operator"),
    [
        (of_python, "EagerPyFunc"),
        (of_numpy, "PyFunc"),
        (reading, "ReadFile"),
        (restoring, "RestoreV2"),
        (printing, "PrintV2"),
        (of_a_table, "MutableHashTableV2"),
        (in_a_branch, "WriteFile"),
        (in_a_loop, "WriteFile"),
    ],
)
def test_a_signature_that_does_more(tmp_path, monkeypatch, function, operator):
    monkeypatch.chdir(tmp_path)
    path = save(module(function), tmp_path / "model")
    refuses(path, f"has {operator} (node ", tmp_path / "spoils")


def test_a_signature_that_writes(tmp_path):
    canary = tmp_path / "canary"

    def write(x):
        tf.io.write_file(str(canary), "x")
        return x

    refuses(save(module(write), tmp_path / "model"), "has WriteFile (node ", canary)


# ---- what runs when it is loaded ------------------------------------------


class Restored(tf.Module):
    """An object with functions of its own to save and restore it, which a loader runs."""

    def __init__(self, restore):
        super().__init__()
        self.restore = restore

    def _serialize_to_tensors(self):
        return {"value": tf.constant(1.0)}

    def _restore_from_tensors(self, tensors):
        self.restore(tensors["value"])
        return tf.identity(tensors["value"])


def restored(restore):
    saved = module()
    saved.own = Restored(restore)
    return saved


def saves(canary):
    return lambda value: tf.raw_ops.SaveV2(
        prefix=str(canary), tensor_names=["a"], shape_and_slices=[""], tensors=[value]
    )


def moves(canary):
    victim = canary.with_name("victim")
    saves(victim)(tf.constant(1.0))
    return lambda value: tf.raw_ops.MergeV2Checkpoints(
        checkpoint_prefixes=[str(victim)], destination_prefix=str(canary), delete_old_dirs=True
    )


def writes(canary):
    return lambda value: tf.io.write_file(str(canary), "x")


def nothing(canary):
    return lambda value: None


@pytest.mark.parametrize(
    ("restore", "message"),
    [
        (saves, "has SaveV2 (node "),
        (moves, "has MergeV2Checkpoints (node "),
        (writes, "has WriteFile (node "),
        (nothing, "has functions of its own to save and restore it"),
    ],
)
def test_a_function_that_restores(tmp_path, restore, message):
    canary = tmp_path / "canary"
    path = save(restored(restore(canary)), tmp_path / "model")
    before = sorted(file.name for file in tmp_path.iterdir())
    refuses(path, message, canary)
    assert sorted(file.name for file in tmp_path.iterdir()) == before


def test_tables_and_their_files(tmp_path):
    words = tmp_path / "words.txt"
    words.write_text("a\n")
    line = tf.lookup.TextFileIndex
    text = tf.lookup.TextFileInitializer(
        str(words), tf.string, line.WHOLE_LINE, tf.int64, line.LINE_NUMBER
    )
    keys = tf.lookup.KeyValueTensorInitializer(["a"], [1])
    for name, initialiser, default in (("file", text, -1), ("keys", keys, 0)):
        default = tf.constant(default, initialiser.value_dtype)
        saved = module()
        saved.table = tf.lookup.StaticHashTable(initialiser, default)
        refuses(save(saved, tmp_path / name), "that run code when it is loaded")


# ---- files that no exporter writes ----------------------------------------


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    return save(module(), tmp_path_factory.mktemp("plain") / "model")


def edited(plain, path, change):
    """A copy whose message is changed: change(meta graph)."""
    shutil.copytree(plain, path)
    saved = SavedModel.FromString((path / "saved_model.pb").read_bytes())
    change(saved.meta_graphs[0])
    (path / "saved_model.pb").write_bytes(saved.SerializeToString())
    return path


def function_of(meta, word):
    return next(f for f in meta.graph_def.library.function if word in f.signature.name)


def in_the_graph(meta):
    meta.graph_def.node.add(name="evil", op="WriteFile")


def at_the_start(meta):
    meta.graph_def.node.add(name="evil", op="WriteFile")
    next(node for node in meta.graph_def.node if node.name == "NoOp").input.append("^evil")


def in_the_saver(meta):
    function_of(meta, "traced_restore").node_def.add(name="evil", op="WriteFile")


def saving_in_the_graph(meta):
    meta.graph_def.node.add(name="evil", op="SaveV2")


def saving_in_the_signature(meta):
    name = meta.signature_def["serving_default"].outputs.popitem()[1].name.partition(":")[0]
    node = next(node for node in meta.graph_def.node if node.name == name)
    function = next(
        f for f in meta.graph_def.library.function if f.signature.name == node.attr["f"].func.name
    )
    function.node_def.add(name="evil", op="SaveV2")


def saving_for_nobody(meta):
    function = meta.graph_def.library.function.add()
    function.signature.name = "lonely"
    function.node_def.add(name="evil", op="MergeV2Checkpoints")


def the_saver_as_a_signature(meta):
    name = meta.saver_def.restore_op_name
    meta.signature_def["other"].outputs["x"].name = f"{name}:0"


def the_saver_of_an_object(meta):
    name = function_of(meta, "traced_save").signature.name
    meta.object_graph_def.concrete_functions[name].SetInParent()


def called_by_the_signature(meta):
    """The signature's function hands on to the saver's."""
    name = function_of(meta, "traced_restore").signature.name
    called = next(iter(meta.object_graph_def.concrete_functions))
    node = function_of(meta, called).node_def.add(name="evil", op="StatefulPartitionedCall")
    node.attr["f"].func.name = name


def an_asset(meta):
    meta.asset_file_def.add(filename="../../secret").tensor_info.name = "x:0"


def an_asset_object(meta):
    meta.object_graph_def.nodes.add().asset.asset_file_def_index = 0


def a_registered_saver(meta):
    meta.object_graph_def.nodes[0].registered_saver = "anyone"


def of_tensorflow_1(meta):
    meta.ClearField("object_graph_def")


def without_a_signature(meta):
    for name in list(meta.signature_def):
        del meta.signature_def[name]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (in_the_graph, "the graph has WriteFile (node 'evil')"),
        (at_the_start, "the graph has WriteFile (node 'evil')"),
        (in_the_saver, "traced_restore"),
        (saving_in_the_graph, "the graph has SaveV2 (node 'evil')"),
        (saving_in_the_signature, "has SaveV2 (node 'evil')"),
        (saving_for_nobody, "function 'lonely' has MergeV2Checkpoints (node 'evil')"),
        (the_saver_as_a_signature, "traced_restore"),
        (the_saver_of_an_object, "traced_save"),
        (called_by_the_signature, "traced_restore"),
        (an_asset, "has tables or files (asset)"),
        (an_asset_object, "has tables or files (asset)"),
        (a_registered_saver, "has functions of its own to save and restore it (anyone)"),
        (of_tensorflow_1, "a SavedModel of TensorFlow 1 runs its graph when it is loaded"),
        (without_a_signature, "must have the signature serving_default; it has none"),
    ],
)
def test_an_edited_file(tmp_path, plain, change, message):
    refuses(edited(plain, tmp_path / "model", change), message)


def test_damaged_files(tmp_path, plain):
    for name, content in (
        ("text", b"no such message"),
        ("empty", b""),
        ("cut", (plain / "saved_model.pb").read_bytes()[:-100]),
    ):
        shutil.copytree(plain, tmp_path / name)
        (tmp_path / name / "saved_model.pb").write_bytes(content)
        refuses(tmp_path / name, "saved_model.pb is damaged")


def test_a_link_out_of_the_folder(tmp_path, plain):
    (tmp_path / "secret").write_text("x")
    shutil.copytree(plain, tmp_path / "model")
    (tmp_path / "model/variables/other").symlink_to(tmp_path / "secret")
    refuses(tmp_path / "model", "variables/other is a link that leaves the folder")


# ---- what is taken --------------------------------------------------------


def test_a_plain_one_is_described(plain):
    found = inspect_file(plain, candidates=5)
    assert found["inputs"] == [{"name": "x", "shape": [None, 3], "type": "float32"}]
    assert found["outputs"] == [{"name": "output_0", "shape": [None, 1], "type": "float32"}]
    assert found["bytes"] == sum(f.stat().st_size for f in Path(plain).rglob("*") if f.is_file())


def test_strings_as_inputs(tmp_path):
    saved = tf.Module()
    saved.score = tf.function(
        lambda x: tf.strings.to_number(x), input_signature=[tf.TensorSpec([None], tf.string)]
    )
    path = save(saved, tmp_path / "model")
    with pytest.raises(ValueError, match=r"model: random_inputs: input 'x' must hold floats"):
        inspect_file(path, candidates=5)


def test_all_that_is_allowed_has_a_counterpart_in_onnx():
    """And is so on the converter's list, but for what touches more than its inputs."""
    import tf2onnx.tfonnx  # noqa: F401, registers the operators
    from tf2onnx.handler import tf_op

    known = {name for opset in tf_op.get_opsets()[""] for name in opset}
    assert known >= COMPUTING - {"Erfc"}  # which `tensorflow_export` expresses itself
    for word in ("Table", "File", "Queue", "Iterator", "Py", "Save", "Restore", "Print", "VarH"):
        assert not [name for name in COMPUTING if word in name]
