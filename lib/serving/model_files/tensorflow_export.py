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
    Path(path).write_bytes(model.SerializeToString())
