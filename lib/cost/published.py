"""The analytic model's T4 held against what others published, since no T4 is at hand.

    NVIDIA/DeepLearningExamples, commit 729963d (2024), offline scenario, one request at a time,
    "server compute infer", the time on the GPU:
      TensorFlow2/Recommendation/DLRM_and_DCNv2/doc/merlin_hps_inference.md
      TensorFlow2/Recommendation/WideAndDeep/triton/README.md
    mlcommons/inference_results_v0.7 and v1.0, DLRM, offline, TensorRT INT8, samples per
    second and card, 270 user-ad pairs a sample on average

One set of factors is fitted to a few FP16 batches of two models and predicts the rest: other
batch sizes, a third model, other precisions. Left out are Wide & Deep's batches between powers
of two, which take as long as the next power of two (the server pads them).

What this supports: the time of MLPs' layers on a T4 in FP16, from request-sized batches up.
What it does not: how inputs come to the GPU. Embeddings that miss the GPU's cache come from the
host, how many is not published, and the factor of `transfer` stands for that; no row has the
cached ad parts of the paper's form, whose transfer may take longer than the layers.
"""

import dataclasses
from typing import NamedTuple

import numpy as np
import pandas as pd

from lib.cost.device import T4, T4_INT8
from lib.cost.roofline import Operators, Roofline, nominal, stack_nominal

T4_FP32 = dataclasses.replace(T4, name="T4, FP32", flops=8.1e12, bytes_per_value=4)
DEVICES = {"fp16": T4, "fp32": T4_FP32, "int8": T4_INT8}


class PublishedModel(NamedTuple):
    """A recommendation model as far as its time depends on it; widths in values."""

    products: tuple  # (inputs, units) of each layer
    dots: int  # multiply-adds of the interaction without weights
    crosses: int  # values read and written by elementwise interactions
    embedded: int  # values looked up for a sample
    from_host: bool  # embeddings lie in the host's memory, cached on the GPU


_BOTTOM = ((13, 512), (512, 256), (256, 128))
_ABOVE = ((1024, 1024), (1024, 512), (512, 256), (256, 1))
_WIDTH = 27 * 128  # 26 embeddings and the bottom's output
MODELS = {
    "DLRM": PublishedModel((*_BOTTOM, (479, 1024), *_ABOVE), 27 * 27 * 128, 0, 26 * 128, True),
    "DLRM, embeddings on the GPU": PublishedModel(
        (*_BOTTOM, (479, 1024), *_ABOVE), 27 * 27 * 128, 0, 26 * 128, False
    ),
    # Three cross layers x0 (V U x) + x: reads x0, x and the product, writes x.
    "DCNv2": PublishedModel(
        (*_BOTTOM, *3 * ((_WIDTH, 512), (512, _WIDTH)), (_WIDTH, 1024), *_ABOVE),
        0,
        3 * 4 * _WIDTH,
        26 * 128,
        True,
    ),
    "Wide & Deep": PublishedModel(((989, 1024), *4 * ((1024, 1024),), (1024, 1)), 0, 0, 976, False),
}

# model, precision, batch, ms on the GPU, calibrates
_MEASURED = [
    ("DLRM", "fp16", 256, 0.703, True),
    ("DLRM", "fp16", 1024, 1.112, False),
    ("DLRM", "fp16", 4096, 3.600, True),
    ("DLRM", "fp16", 16384, 13.703, False),
    ("DLRM", "fp16", 65536, 51.644, True),
    ("Wide & Deep", "fp16", 1, 0.37, True),
    ("Wide & Deep", "fp16", 16384, 6.08, True),
    ("Wide & Deep", "fp16", 32768, 12.18, False),
    ("Wide & Deep", "fp16", 65536, 24.59, False),
    ("Wide & Deep", "fp16", 131072, 49.07, False),
    ("DCNv2", "fp16", 256, 1.222, False),
    ("DCNv2", "fp16", 1024, 2.097, False),
    ("DCNv2", "fp16", 4096, 8.106, False),
    ("DCNv2", "fp16", 16384, 32.338, False),
    ("DCNv2", "fp16", 65536, 135.833, False),
    ("DLRM", "fp32", 256, 1.156, False),
    ("DLRM", "fp32", 1024, 1.957, False),
    ("DLRM", "fp32", 4096, 7.384, False),
    ("DLRM", "fp32", 16384, 29.110, False),
    ("DLRM", "fp32", 65536, 113.167, False),
    ("DCNv2", "fp32", 256, 2.419, False),
    ("DCNv2", "fp32", 1024, 8.733, False),
    ("DCNv2", "fp32", 4096, 34.713, False),
    ("DCNv2", "fp32", 16384, 138.852, False),
    ("DCNv2", "fp32", 65536, 561.876, False),
]
# system, samples per second and card
_MLPERF = [
    ("T4x8, v0.7", 34052),
    ("T4x20, v0.7", 33282),
    ("Dell R740 T4x4, v0.7", 32893),
    ("Dell R7525 T4x8, v0.7", 34686),
    ("Cisco T4x6, v0.7", 34417),
    ("Dell DSS8440 T4x12, v0.7", 33275),
    ("Inspur T4x8, v0.7", 35316),
    ("Gigabyte T4x16, v0.7", 33580),
    ("Nettrix T4x16, v0.7", 33422),
    ("Dell XE2420 T4x4, v1.0", 33797),
]
_PAIRS = 270
_MLPERF_BATCH = 200 * _PAIRS  # not published; so large that overheads are nothing


def model_operators(model, batch, bytes_per_value):
    """The operators of one batch of a `PublishedModel`.

    >>> work = model_operators(MODELS["DLRM"], batch=1, bytes_per_value=2)
    >>> float(work.flops.sum())          # 4.92 MFLOPs a user-ad pair
    4916992.0
    """
    inputs, units = np.array(model.products, float).T
    # Gathered, then read by the interaction: moved three times.
    extra = [("lookup", 0.0, 3 * model.embedded), ("interaction", 2 * model.dots, model.crosses)]
    names = [*(f"layer {i}" for i in range(len(inputs))), *(name for name, _, _ in extra)]
    flops = [*(2 * inputs * units), *(x for _, x, _ in extra)]
    moved = [*(inputs + units), *(x for _, _, x in extra)]
    weights = [*(inputs * units), 0.0, 0.0]
    # Embeddings are kept in single precision.
    transfer = 4.0 * batch * model.embedded * model.from_host
    return Operators(
        names,
        batch * np.array(flops),
        bytes_per_value * np.array(weights),
        bytes_per_value * batch * np.array(moved),
        np.array(transfer),
    )


def published_t4():
    """Published times on one T4 beside the analytic model's.

    Returns: DataFrame of source, model, precision, batch, published_ms, predicted_ms, error
    (relative), calibrates (True: among the rows that the factors were fitted to); its `attrs`
    hold "factors".
    """
    table = pd.DataFrame(
        _MEASURED, columns=["model", "precision", "batch", "published_ms", "calibrates"]
    )
    table.insert(0, "source", "DeepLearningExamples")
    mlperf = pd.DataFrame(
        [
            {
                "source": f"MLPerf, {system}",
                "model": "DLRM, embeddings on the GPU",
                "precision": "int8",
                "batch": _MLPERF_BATCH,
                "published_ms": 1e3 * _MLPERF_BATCH / (_PAIRS * samples),
                "calibrates": False,
            }
            for system, samples in _MLPERF
        ]
    )
    table = pd.concat([table, mlperf], ignore_index=True)
    work = stack_nominal(
        [
            nominal(
                model_operators(
                    MODELS[row["model"]], row["batch"], DEVICES[row["precision"]].bytes_per_value
                ),
                DEVICES[row["precision"]],
            )
            for row in table.to_dict("records")
        ]
    )
    known = table["calibrates"].to_numpy()
    fitted = Roofline(T4).fit_to(
        type(work)(*(x[known] for x in work)), table["published_ms"].to_numpy()[known]
    )
    table["predicted_ms"] = fitted.predict_nominal(work)
    table["error"] = table["predicted_ms"] / table["published_ms"] - 1
    table.attrs["factors"] = fitted.factors
    return table[
        [
            "source",
            "model",
            "precision",
            "batch",
            "published_ms",
            "predicted_ms",
            "error",
            "calibrates",
        ]
    ]


def calibrated_t4():
    """The analytic model of a T4 in FP16 with the factors of `published_t4`.

    The factor of `transfer` stays 1: there it tells of one server's cache of embeddings.
    """
    return Roofline(T4, published_t4().attrs["factors"] | {"transfer": 1.0})
