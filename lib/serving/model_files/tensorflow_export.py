"""A function of TensorFlow as an ONNX file, in the child process that exports a model."""

from pathlib import Path

_OPSET = 18


def write_onnx(function, signature, path):
    """Writes what a tf.function computes for these inputs; variables and constants are weights.

    Not by tf2onnx.convert.from_function, nor Keras' export over it: constants that a function
    captures, such as the mean of a Normalization, would become inputs of the graph.

    Args:
      function: tf.function of as many tensors.
      signature: list of their tf.TensorSpec, whose names the inputs have.
      path: of the ONNX file.
    """
    import tf2onnx
    from keras.src.export.tf2onnx_lib import patch_tf2onnx
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    patch_tf2onnx()  # tf2onnx was written for NumPy 1
    concrete = function.get_concrete_function(*signature)
    captured = {tensor.name for tensor in concrete.graph.internal_captures}
    inputs = [tensor.name for tensor in concrete.inputs if tensor.name not in captured]
    frozen = convert_variables_to_constants_v2(
        concrete, lower_control_flow=False, aggressive_inlining=True
    )
    model, _ = tf2onnx.convert.from_graph_def(
        frozen.graph.as_graph_def(add_shapes=True),
        input_names=inputs,
        output_names=[tensor.name for tensor in concrete.outputs],
        opset=_OPSET,
        tensors_to_rename={
            name: spec.name for name, spec in zip(inputs, signature, strict=True) if spec.name
        },
    )
    _express_erfc(model.graph)
    Path(path).write_bytes(model.SerializeToString())


def _express_erfc(graph):
    """Erfc, of a GELU, as 1 - Erf: tf2onnx passes on an operator that ONNX does not have."""
    import numpy as np
    from onnx import helper, numpy_helper

    found = [place for place, node in enumerate(graph.node) if node.op_type == "Erfc"]
    for place in reversed(found):
        node = graph.node[place]
        one, erf = f"{node.output[0]}_one", f"{node.output[0]}_erf"
        graph.initializer.append(numpy_helper.from_array(np.ones((), np.float32), one))
        graph.node.remove(node)
        graph.node.insert(place, helper.make_node("Sub", [one, erf], node.output))
        graph.node.insert(place, helper.make_node("Erf", node.input, [erf]))
