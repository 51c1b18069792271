"""A function of TensorFlow as an ONNX file, in the child process that exports a model."""

from pathlib import Path

_OPSET = 18


def write_onnx(function, signature, path):
    """Writes what a tf.function computes for these inputs, its variables as weights.

    Args:
      function: tf.function.
      signature: list of its arguments' specifications.
      path: of the ONNX file.
    """
    import tf2onnx
    from keras.src.export.tf2onnx_lib import patch_tf2onnx

    patch_tf2onnx()  # tf2onnx was written for NumPy 1
    model, _ = tf2onnx.convert.from_function(function, input_signature=signature, opset=_OPSET)
    Path(path).write_bytes(model.SerializeToString())
