"""Do the forms of a graph, the engines that run them and half precision give the same scores?"""

import numpy as np
import pandas as pd

from lib.serving import engines
from lib.serving.graphs import export
from lib.serving.graphs.half_precision import half

CPU_ENGINES = ("onnxruntime", "openvino", "tensorflow_xla")


def score_differences(
    size_parameters: list[int], engine_names=CPU_ENGINES, *, ads: int = 300, seed: int = 0
) -> pd.DataFrame:
    """Differences of one random model's scores from those of the naive form on ONNX Runtime.

    Args:
      size_parameters: [a_0, ..., a_L] of an MLP.
      engine_names: of `lib.serving.engines.ENGINES`, onnxruntime among them.
      ads: scored.
      seed: of weights and inputs.

    Returns: DataFrame of engine, form, precision and difference: the largest over the ads, as a
      share of the largest score. One row in fp16, of the cached form on ONNX Runtime.

    >>> table = score_differences([6, 4, 1], ["onnxruntime"], ads=5)
    >>> table[["form", "precision"]].values.tolist()
    [['naive', 'fp32'], ['first_layer_optimised', 'fp32'], ['first_layer_optimised', 'fp16']]
    >>> bool(table.difference[0] == 0), bool(table.difference.max() < 5e-3)
    (True, True)
    """
    layers = export.random_weights(size_parameters, seed)
    rng = np.random.default_rng(seed)
    width = size_parameters[0] // 2
    user = rng.normal(size=(1, width)).astype("f")
    ad_inputs = rng.normal(size=(ads, size_parameters[0] - width)).astype("f")
    parts = export.ad_parts(layers, ad_inputs).astype("f")
    requests = {
        "naive": (export.naive(layers), {"user": user, "ads": ad_inputs}),
        "first_layer_optimised": (
            export.first_layer_optimised(layers),
            {"user": user, "ad_parts": parts},
        ),
    }
    scores = {
        (name, form, "fp32"): engines.build(name, graph).run(request)
        for name in engine_names
        for form, (graph, request) in requests.items()
    }
    graph, request = requests["first_layer_optimised"]
    scores["onnxruntime", "first_layer_optimised", "fp16"] = engines.build(
        "onnxruntime", half(graph)
    ).run(request)
    reference = scores["onnxruntime", "naive", "fp32"]
    scale = np.abs(reference).max()
    return pd.DataFrame(
        [(*key, float(np.abs(values - reference).max() / scale)) for key, values in scores.items()],
        columns=["engine", "form", "precision", "difference"],
    )
