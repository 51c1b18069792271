"""SavedModels of TensorFlow 2: what they would do is read from saved_model.pb alone.

A SavedModel is a program. Its signatures, the functions that restore its objects and those that
initialise its tables are graphs of TensorFlow's operators, some of which write, move and read
files, use the network or run Python; loading runs some of these graphs. So every operator of
every graph must be on a list of those that only compute (`COMPUTING`) or hold variables. What
saves and restores a checkpoint may stand only in the functions that the file's saver names, which
nothing here runs: the loader reads the variables by itself.

Everything here runs in a child process without rights (`lib.infra.confined`).
"""

import sys
import types
from importlib.util import find_spec
from pathlib import Path

# TensorFlow's operators that tf2onnx has a counterpart for, queues and iterators apart, and Erfc
# (`tensorflow_export`): a list of what is allowed, so that an operator of a later TensorFlow is
# refused until it is looked at.
COMPUTING = frozenset(
    """
    Abs Acos Acosh Add AddN AddV2 AdjustContrastv2 AdjustHue AdjustSaturation All Any ArgMax ArgMin
    AsString Asin Asinh Atan Atan2 Atanh AvgPool AvgPool3D BatchMatMul BatchMatMulV2 BatchMatMulV3
    BatchToSpaceND BiasAdd BiasAddV1 Bincount BitwiseAnd BitwiseOr BitwiseXor BroadcastTo
    CTCGreedyDecoder Cast Ceil CheckNumerics ClipByValue CombinedNonMaxSuppression ComplexAbs Concat
    ConcatV2 Const ConstV2 Conv1D Conv2D Conv2DBackpropInput Conv3D Conv3DBackpropInputV2 Cos Cosh
    CropAndResize CudnnRNN Cumprod Cumsum DenseBincount DenseToDenseSetOperation DepthToSpace
    DepthwiseConv2d DepthwiseConv2dNative Div DivNoNan Dropout DynamicPartition DynamicStitch Einsum
    Elu EnsureShape Equal Erf Erfc Exp ExpandDims ExtractImagePatches FFT FakeQuantWithMinMaxArgs
    FakeQuantWithMinMaxVars Fill Flatten Floor FloorDiv FloorMod FusedBatchNorm FusedBatchNormV2
    FusedBatchNormV3 Gather GatherNd GatherV2 Greater GreaterEqual HardSwish Identity IdentityN If
    Invert InvertPermutation IsFinite IsInf IsNan L2Normalization LRN LSTMBlockCell LeakyRelu
    LeftShift Less LessEqual Log LogSoftmax LogicalAnd LogicalNot LogicalOr Loop MatMul
    MatrixBandPart MatrixDeterminant MatrixDiag MatrixDiagPart MatrixDiagPartV2 MatrixDiagPartV3
    MatrixDiagV2 MatrixDiagV3 MatrixSetDiagV3 Max MaxPool MaxPool3D MaxPoolV2 MaxPoolWithArgmax
    Maximum Mean Min Minimum MirrorPad Mul Multinomial Neg NoOp NonMaxSuppressionV2
    NonMaxSuppressionV3 NonMaxSuppressionV4 NonMaxSuppressionV5 NotEqual OneHot OnesLike Pack Pad
    PadV2 ParallelDynamicStitch Placeholder PlaceholderV2 PlaceholderWithDefault Pow Prelu Prod RFFT
    RFFT2D RaggedGather RaggedRange RaggedTensorFromVariant RaggedTensorToSparse
    RaggedTensorToTensor RaggedTensorToVariant RandomNormal RandomNormalLike RandomShuffle
    RandomStandardNormal RandomUniform RandomUniformInt RandomUniformLike Range RealDiv Reciprocal
    Relu Relu6 Reshape ResizeArea ResizeBicubic ResizeBilinear ResizeNearestNeighbor ReverseSequence
    ReverseV2 RightShift Rint Roll Round Rsqrt SampleDistortedBoundingBox
    SampleDistortedBoundingBoxV2 Scan ScatterNd SegmentMax SegmentMean SegmentMin SegmentProd
    SegmentSum Select SelectV2 Selu Shape Sigmoid Sign Sin Sinh Size Slice Softmax
    SoftmaxCrossEntropyWithLogits Softplus Softsign SpaceToBatchND SpaceToDepth SparseFillEmptyRows
    SparseReshape SparseSegmentMean SparseSegmentMeanWithNumSegments SparseSegmentSqrtN
    SparseSegmentSqrtNWithNumSegments SparseSegmentSum SparseSegmentSumWithNumSegments
    SparseSoftmaxCrossEntropyWithLogits SparseToDense Split SplitV Sqrt Square SquaredDifference
    SquaredDistance Squeeze StatelessIf StatelessWhile StopGradient StridedSlice StringToNumber Sub
    Sum Tan Tanh TensorListFromTensor TensorListGetItem TensorListLength TensorListReserve
    TensorListResize TensorListSetItem TensorListStack TensorScatterAdd TensorScatterMax
    TensorScatterMin TensorScatterSub TensorScatterUpdate Tile TopKV2 Transpose TruncateDiv Unique
    UniqueWithCounts Unpack UnsortedSegmentMax UnsortedSegmentMin UnsortedSegmentProd
    UnsortedSegmentSum Where While ZerosLike
    """.split()
)
# What stands around a model: its variables, and calls of functions, which are looked at themselves.
_AROUND = frozenset(
    """
    AssignVariableOp DisableCopyOnRead PartitionedCall ReadVariableOp StatefulPartitionedCall
    StatelessPartitionedCall VarHandleOp VarIsInitializedOp
    """.split()
)
# How TensorFlow saves and restores a checkpoint, in the functions that `saver_def` names.
_SAVER = frozenset(
    """
    MergeV2Checkpoints RestoreV2 SaveV2 ShardedFilename StaticRegexFullMatch StringJoin
    """.split()
)


def look_at_saved_model(path):
    """Inputs and outputs of the signature serving_default, as JSON holds them.

    Without TensorFlow, but for its descriptions of messages. Raises: ValueError as `check_saved`.
    """
    saved = _read(Path(path))
    check_saved(saved)
    signature = _serving_signature(saved)
    return {
        side: [_described(name, info) for name, info in sorted(getattr(signature, side).items())]
        for side in ("inputs", "outputs")
    }


def export_saved_model(path, exported):
    """The signature serving_default as an ONNX file at `exported`."""
    import tensorflow as tf

    from lib.serving.model_files.tensorflow_export import write_onnx

    saved = _read(Path(path))
    check_saved(saved)
    _serving_signature(saved)
    try:
        loaded = tf.saved_model.load(path)
    except Exception as error:
        raise ValueError(f"TensorFlow does not load the SavedModel: {error}") from error
    if "serving_default" not in loaded.signatures:
        raise ValueError("the SavedModel must have the signature serving_default")
    serve = loaded.signatures["serving_default"]
    inputs = list(serve.structured_input_signature[1].values())

    @tf.function
    def scores(*arrays):
        return serve(**{spec.name: array for spec, array in zip(inputs, arrays, strict=True)})

    write_onnx(scores, inputs, exported)


def check_saved(saved):
    """ValueError where a SavedModel would do more than compute, in one line naming what and where.

    Args: saved: the message SavedModel.
    """
    if not saved.meta_graphs:
        raise ValueError("saved_model.pb is damaged: it holds no graph")
    for meta in saved.meta_graphs:
        _check_objects(meta)
        _check_graphs(meta)
        _check_restoring(meta)


def _check_objects(meta):
    nodes = meta.object_graph_def.nodes
    if not nodes:
        raise ValueError(
            "a SavedModel of TensorFlow 1 runs its graph when it is loaded and is not read; save "
            "it with TensorFlow 2"
        )
    at_load = {node.WhichOneof("kind") for node in nodes} & {"resource", "asset"}
    if meta.asset_file_def:
        at_load.add("asset")
    if at_load:
        raise ValueError(
            f"the SavedModel has tables or files ({', '.join(sorted(at_load))}) that run code when "
            f"it is loaded; export the scoring part alone, with rows of its tables as ids"
        )


def _check_restoring(meta):
    for number, node in enumerate(meta.object_graph_def.nodes):
        if node.saveable_objects or node.registered_saver:
            names = [*node.saveable_objects, node.registered_saver]
            raise ValueError(
                f"object {number} of the SavedModel has functions of its own to save and restore "
                f"it ({', '.join(filter(None, names))}), which run when it is loaded; export the "
                f"scoring part alone"
            )


def _check_graphs(meta):
    library = {function.signature.name: function for function in meta.graph_def.library.function}
    savers = _savers(meta, library)
    for name, function in library.items():
        _check_nodes(
            function.node_def, library, f"function {name!r}", _SAVER if name in savers else ()
        )
    _check_nodes(meta.graph_def.node, library, "the graph", ())


def _check_nodes(nodes, library, place, also):
    for node in nodes:
        if node.op in COMPUTING or node.op in _AROUND or node.op in library or node.op in also:
            continue
        raise ValueError(
            f"the SavedModel has operators that ONNX does not: {place} has {node.op} (node "
            f"{node.name!r}). It is not loaded: such operators could read or write files, use the "
            f"network or run Python"
        )


def _savers(meta, library):
    """Names of the functions that nothing but the file's saver calls."""
    saver = {
        tensor.partition(":")[0].removeprefix("^")
        for tensor in (meta.saver_def.save_tensor_name, meta.saver_def.restore_op_name)
        if tensor
    }
    graph = meta.graph_def.node
    of_saver = _reached(saver, graph)
    others = {
        info.name.partition(":")[0]
        for signature in meta.signature_def.values()
        for info in [*signature.outputs.values(), *signature.inputs.values()]
    }
    of_others = _reached(others, graph)
    called = set(meta.object_graph_def.concrete_functions)
    called |= {name for node in graph if node.name in of_others for name in _calls(node)}
    # What stands in the graph and belongs to neither is nobody's saver.
    called |= {
        name for node in graph if node.name not in of_saver | of_others for name in _calls(node)
    }
    wanted = {name for node in graph if node.name in of_saver for name in _calls(node)}
    return _closure(wanted, library) - _closure(called, library)


def _reached(names, nodes):
    """Names of nodes that those of `names` depend on, themselves included."""
    inputs = {node.name: node.input for node in nodes}
    found, waiting = set(), list(names)
    while waiting:
        name = waiting.pop()
        if name in found or name not in inputs:
            continue
        found.add(name)
        waiting += [one.removeprefix("^").partition(":")[0] for one in inputs[name]]
    return found


def _closure(names, library):
    """Functions that are called from those of these names, themselves included."""
    found, waiting = set(), list(names)
    while waiting:
        name = waiting.pop()
        if name in found or name not in library:
            continue
        found.add(name)
        waiting += [call for node in library[name].node_def for call in _calls(node)]
    return found


def _calls(node):
    """Names of the functions that a node calls."""
    yield node.op
    for value in node.attr.values():
        if value.func.name:
            yield value.func.name
        for function in value.list.func:
            yield function.name


def _serving_signature(saved):
    for meta in saved.meta_graphs:
        if "serving_default" in meta.signature_def:
            return meta.signature_def["serving_default"]
    # Every SavedModel has one for its initialisation, "__saved_model_init_op".
    names = sorted(
        name
        for meta in saved.meta_graphs
        for name in meta.signature_def
        if not name.startswith("__")
    )
    raise ValueError(
        f"the SavedModel must have the signature serving_default; it has "
        f"{', '.join(names) or 'none'}"
    )


def _described(name, info):
    if info.tensor_shape.unknown_rank:
        raise ValueError(
            f"input {name!r} has no shape: export it with the number of its axes known"
        )
    shape = [axis.size if axis.size >= 0 else None for axis in info.tensor_shape.dim]
    return {"name": name, "shape": shape, "type": _type_name(info.dtype)}


def _type_name(dtype):
    from tensorflow.core.framework.types_pb2 import DataType

    name = DataType.Name(dtype).removeprefix("DT_").lower()
    return {"float": "float32", "double": "float64", "half": "float16"}.get(name, name)


def _read(path):
    """The message of saved_model.pb; ValueError where it is damaged."""
    from google.protobuf.message import DecodeError

    if "tensorflow" not in sys.modules:
        # Its messages alone, in a twentieth of a second, for a child process that ends after it.
        package = types.ModuleType("tensorflow")
        package.__path__ = list(find_spec("tensorflow").submodule_search_locations)
        sys.modules["tensorflow"] = package
    from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

    try:
        return SavedModel.FromString((path / "saved_model.pb").read_bytes())
    except DecodeError as error:
        raise ValueError(f"saved_model.pb is damaged: {error}") from None
