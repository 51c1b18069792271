"""ONNX files that hold more than a graph of ONNX's own operators, or refer to more than a file."""

import os
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from lib.serving.graphs import export
from lib.serving.model_files.inspection import inspect_file
from lib.serving.model_files.onnx_files import check_onnx, look_at_onnx, read_onnx
from tests.serving.model_files import exports
from tests.serving.model_files.exports import identity, saved


def refuses(path, message):
    """Both ways of looking at the file refuse it in the same line, which names it."""
    for look in (read_onnx, lambda path: inspect_file(path, candidates=5)):
        with pytest.raises(ValueError) as refusal:
            look(path)
        text = str(refusal.value)
        assert text.startswith(f"{path}: ") and message in text and "\n" not in text, text


# ---- weights beside the file ----------------------------------------------


def with_weights_beside(folder, change=None):
    """An ONNX file whose weights lie in weights.bin; change(entries of the first, as a dict)."""
    path = Path(folder, "model.onnx")
    graph = export.naive(export.random_weights([6, 4, 1], seed=0))
    onnx.save(graph, path, save_as_external_data=True, location="weights.bin", size_threshold=0)
    model = onnx.load(path, load_external_data=False)
    first = model.graph.initializer[0]
    entries = {entry.key: entry.value for entry in first.external_data}
    (change or (lambda entries: None))(entries)
    del first.external_data[:]
    for key, value in entries.items():
        first.external_data.add(key=key, value=str(value))
    path.write_bytes(model.SerializeToString())
    return path


def test_weights_in_the_folder_are_read(tmp_path):
    model = read_onnx(with_weights_beside(tmp_path))
    plain = export.naive(export.random_weights([6, 4, 1], seed=0))
    for weight, expected in zip(model.graph.initializer, plain.graph.initializer, strict=True):
        np.testing.assert_array_equal(
            onnx.numpy_helper.to_array(weight), onnx.numpy_helper.to_array(expected)
        )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"location": "../secret.bin"}, "must lie in the model's folder"),
        ({"location": "sub/../../secret.bin"}, "must lie in the model's folder"),
        ({"location": "..\\secret.bin"}, "must lie in the model's folder"),
        ({"location": "/etc/passwd"}, "must lie in the model's folder; its place is '/etc/passwd'"),
        ({"location": "C:\\secret.bin"}, "must lie in the model's folder"),
        ({"location": ""}, "must lie in the model's folder"),
        ({"location": "typo.bin"}, "are missing: there is no file 'typo.bin' beside it"),
        ({"location": "link.bin"}, "'link.bin' is a link that leaves it"),
        ({"location": "inner/secret.bin"}, "'inner/secret.bin' is a link that leaves it"),
        ({"location": "pipe"}, "must lie in a regular file"),
        ({"location": "sub"}, "must lie in a regular file"),
        ({"length": 10}, "the tensor has 8 bytes"),
        ({"offset": 10**12}, "the tensor has 8 bytes and the file"),
        ({"offset": -8}, "the tensor has 8 bytes"),
        ({"offset": "many"}, "an offset or a length that is no whole number"),
    ],
)
def test_weights_elsewhere_are_refused(tmp_path, change, message):
    folder = tmp_path / "folder"
    (folder / "sub").mkdir(parents=True)
    (tmp_path / "secret.bin").write_bytes(bytes(1000))
    (folder / "link.bin").symlink_to(tmp_path / "secret.bin")
    (folder / "inner").symlink_to(tmp_path)
    os.mkfifo(folder / "pipe")
    refuses(with_weights_beside(folder, lambda entries: entries.update(change)), message)


def test_the_tensors_of_attributes_and_bodies_are_looked_at_too(tmp_path):
    (tmp_path / "secret.bin").write_bytes(bytes(16))
    (tmp_path / "folder").mkdir()
    secret = TensorProto(
        name="secret", data_type=TensorProto.FLOAT, dims=[4], data_location=TensorProto.EXTERNAL
    )
    secret.external_data.add(key="location", value="../secret.bin")
    constant = helper.make_node("Constant", [], ["c"], value=secret)
    body = helper.make_graph(
        [constant, helper.make_node("ReduceSum", ["c"], ["y"], keepdims=0)],
        "body",
        [],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
    )
    built = identity({"x": (TensorProto.FLOAT, ["n", 3])})
    yes = helper.make_tensor("yes", TensorProto.BOOL, [], [True])
    built.graph.node.extend(
        [
            helper.make_node("Constant", [], ["yes"], value=yes),
            helper.make_node("If", ["yes"], ["z"], then_branch=body, else_branch=body),
        ]
    )
    refuses(saved(built, tmp_path / "folder/own.onnx"), "the weights of tensor 'secret' must lie")


# ---- size -----------------------------------------------------------------


def test_a_model_beyond_two_gibibytes_is_refused_unread(tmp_path):
    path = tmp_path / "own.onnx"
    with open(path, "wb") as file:
        file.truncate(3 << 30)  # takes no room on the disk
    refuses(path, "the model has 3.00 GiB with its weights; up to 2 GiB can be measured")


def test_so_is_one_whose_weights_lie_beside_it(tmp_path):
    path = with_weights_beside(tmp_path)
    model = onnx.load(path, load_external_data=False)
    weight = model.graph.initializer[0]
    weight.dims[:] = [1 << 20, 1 << 9]
    del weight.external_data[:]
    weight.external_data.add(key="location", value="large.bin")
    with open(tmp_path / "large.bin", "wb") as file:
        file.truncate(1 << 32)
    path.write_bytes(model.SerializeToString())
    refuses(path, "the model has 4.00 GiB with its weights")


# ---- operators and functions ----------------------------------------------


def with_node(operator, domain, **settings):
    built = identity({"x": (TensorProto.FLOAT, ["n", 3])}, **settings)
    built.graph.node.append(helper.make_node(operator, ["x"], ["z"], domain=domain))
    return built


def test_operators_of_other_domains_are_refused(tmp_path):
    for domain in ("com.someone", "com.microsoft", "ai.onnx.contrib"):
        built = with_node("Anything", domain, imports=[domain])
        refuses(saved(built, tmp_path / "own.onnx"), f"not in the file: {domain}::Anything")
    built = with_node("StatefulPartitionedCall", "")
    refuses(saved(built, tmp_path / "own.onnx"), "ONNX has no operators of these names: Stateful")


def with_functions(calls):
    """A model of functions f0, f1, ...: number -> numbers of those that it calls, in turn."""
    functions = []
    for number, called in calls.items():
        values = ["x", *(f"h{i}" for i in range(len(called) - 1)), "y"]
        nodes = [
            helper.make_node(f"f{one}", [values[i]], [values[i + 1]], domain="own")
            for i, one in enumerate(called)
        ] or [helper.make_node("Relu", ["x"], ["y"])]
        opsets = [helper.make_opsetid("", 17), helper.make_opsetid("own", 1)]
        functions.append(helper.make_function("own", f"f{number}", ["x"], ["y"], nodes, opsets))
    built = with_node("f0", "own", functions=functions, imports=["own"])
    return built


def test_functions_stand_where_they_are_called():
    model = check_onnx(with_functions({0: [1, 1], 1: []}))
    assert [node.op_type for node in model.graph.node] == ["Identity", "Relu", "Relu"]
    assert not model.functions


def test_functions_that_never_end_are_refused(tmp_path):
    refuses(
        saved(with_functions({0: [1], 1: [0]}), tmp_path / "own.onnx"),
        "functions of the model call themselves: own::f",
    )
    many = {i: [i + 1, i + 1] for i in range(40)} | {40: []}
    refuses(saved(with_functions(many), tmp_path / "own.onnx"), "functions stand for 1.1e+12")


# ---- damage ---------------------------------------------------------------


def test_damaged_files(tmp_path):
    whole = export.naive(export.random_weights([6, 4, 1], seed=0)).SerializeToString()
    for name, content in (
        ("cut", whole[: len(whole) // 2]),
        ("empty", b""),
        ("text", b"no such message"),
        ("page", b"<!DOCTYPE html><html>"),
    ):
        (tmp_path / f"{name}.onnx").write_bytes(content)
        refuses(tmp_path / f"{name}.onnx", "not an ONNX model that can be served")


def test_a_weight_that_is_too_short(tmp_path):
    built = exports.torch_script()
    built.graph.initializer[0].raw_data = built.graph.initializer[0].raw_data[:-4]
    refuses(saved(built, tmp_path / "own.onnx"), "tensor 'fc1.weight' of the shape [4, 8] must")


def test_a_pipe_is_no_model(tmp_path):
    os.mkfifo(tmp_path / "pipe.onnx")
    refuses(tmp_path / "pipe.onnx", "a model file must be a regular file")


def test_looking_reads_no_weights(tmp_path):
    path = with_weights_beside(tmp_path)
    assert all(weight.external_data for weight in look_at_onnx(path).graph.initializer)
