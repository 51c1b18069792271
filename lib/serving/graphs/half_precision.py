"""A graph in half precision (FP16): what the paper's T4 serves."""

import numpy as np
import onnx
from onnx import numpy_helper

from lib.infra.settings import configure

_LARGEST, _SMALLEST = np.finfo(np.float16).max, np.finfo(np.float16).smallest_subnormal


def half(model, half_inputs=False):
    """The same graph with weights, products and activations in FP16.

    Scores differ from single precision's by about 2e-3 of their size. Inputs and scores
    stay FP32 by default, and the graph's first and last nodes cast them: it takes the
    place of `model` anywhere, a strongly typed TensorRT network included.

    Args:
      model: onnx.ModelProto in FP32.
      half_inputs: inputs and scores in FP16 too, half as much to send to a device.

    Returns: onnx.ModelProto.
    Raises: ValueError for a weight whose size FP16 does not hold (65504). Activations that
      pass it during a run become infinite, and so do the scores.

    >>> from lib.serving.graphs.export import naive, random_weights
    >>> graph = half(naive(random_weights([6, 4, 1], seed=0)), half_inputs=True).graph
    >>> {value.type.tensor_type.elem_type for value in graph.input} == {onnx.TensorProto.FLOAT16}
    True
    """
    configure()
    from onnxruntime.transformers.float16 import DEFAULT_OP_BLOCK_LIST, convert_float_to_float16
    from onnxruntime.transformers.onnx_model import OnnxModel

    for weight in model.graph.initializer:
        array = numpy_helper.to_array(weight)
        if array.dtype == np.float32 and not np.abs(array).max(initial=0) <= _LARGEST:
            raise ValueError(
                f"half: weight {weight.name} must lie within FP16's ±{_LARGEST:.0f}; "
                f"got {array.flat[np.argmax(np.abs(array))]:g}"
            )
    copy = onnx.ModelProto()
    copy.CopyFrom(model)  # the converter works in place
    # Its own bounds would clip weights at 10,000 and lift the smallest ones; and it would
    # leave Max, half of our PReLU, in FP32.
    converted = convert_float_to_float16(
        copy,
        keep_io_types=not half_inputs,
        max_finite_val=float(_LARGEST),
        min_positive_val=float(_SMALLEST),
        op_block_list=sorted({*DEFAULT_OP_BLOCK_LIST} - {"Max", "Min"}),
    )
    OnnxModel(converted).topological_sort()  # the casts stand last
    onnx.checker.check_model(converted, full_check=True)
    return converted
