"""Whether TensorFlow rounds here as it did where the committed outputs were made.

Trained weights are the same to the last bit on processors whose TensorFlow gives the same
`fingerprint`. It hangs on the processor, the build of TensorFlow and the settings
(`lib.infra.settings`), and on nothing else of this project.
"""

import functools
import hashlib

import numpy as np

# Of TensorFlow 2.21.0's wheel for x86-64 with the settings of `lib.infra.settings`.
COMMITTED = "a5bc0ea962df46e0"


def fingerprint() -> str:
    """A digest of what TensorFlow makes of fixed numbers, 16 hexadecimal digits.

    Matrix products of the sizes that trainings have, forward and backward, sums along each axis,
    elementary functions with whole and broken SIMD packets, sums by index and the draws of initial
    weights, in a compiled graph. Starts TensorFlow where it has not started.
    """
    import tensorflow as tf

    results = tf.function(_operations, autograph=False)(
        {name: tf.constant(value) for name, value in _inputs().items()}
    )
    digest = hashlib.sha256()
    for result in results:
        digest.update(result.numpy().tobytes())
    return digest.hexdigest()[:16]


@functools.cache
def as_committed() -> bool:
    """Whether trainings give the committed outputs here, to the last bit."""
    return fingerprint() == COMMITTED


def _inputs():
    """Fixed numbers of exact arithmetic: no random generator and no library's function."""

    def numbers(salt, *shape):
        whole = (
            (np.arange(np.prod(shape), dtype=np.uint64) + np.uint64(salt))
            * np.uint64(2654435761)
            % np.uint64(2**32)
        )
        return (whole.astype(np.float64) / 2.0**30 - 2).astype(np.float32).reshape(shape)

    return {
        "rows": numbers(1, 832, 61),
        "kernel": numbers(2, 61, 32),
        "hidden": numbers(3, 832, 256),
        "upper": numbers(4, 256, 64),
        "score": numbers(5, 64, 1),
        "lists": numbers(6, 64, 13),
        "ids": (np.arange(832, dtype=np.int32) * 7919) % 97,
    }


def _operations(x):
    """The operations of a training step, each on the inputs, a list of tensors."""
    import tensorflow as tf

    chunks = tf.reshape(x["rows"], (4, 208, 61))
    first = tf.matmul(chunks, x["kernel"][None])
    second = tf.matmul(x["hidden"], x["upper"])
    gaps = tf.abs(x["lists"][:, :, None] - x["lists"][:, None, :])
    logits = 14 * x["lists"][:, None, :] - tf.reduce_sum(gaps, axis=-1, keepdims=True)
    positive = tf.square(x["lists"]) + 0.5
    return [
        first,
        tf.nn.bias_add(tf.matmul(x["rows"], x["kernel"]), x["kernel"][0]),
        tf.matmul(chunks, first, transpose_a=True),
        second,
        tf.matmul(second, x["score"]),
        tf.matmul(second, x["upper"], transpose_b=True),
        tf.matmul(chunks[0], chunks[1], transpose_b=True),
        tf.reduce_sum(x["rows"], axis=0),
        tf.reduce_mean(x["rows"], axis=1),
        tf.reduce_sum(x["rows"]),
        tf.nn.log_softmax(logits),
        tf.reduce_logsumexp(logits, axis=-2),
        tf.exp(x["rows"]),
        tf.math.log(positive),
        tf.math.log1p(positive),
        tf.nn.softplus(x["lists"]),
        tf.sigmoid(x["lists"]),
        tf.sqrt(positive),
        x["lists"] / positive,
        tf.cumsum(x["lists"], axis=-1),
        tf.math.unsorted_segment_sum(x["rows"], x["ids"], 97),
        tf.random.stateless_truncated_normal((61, 32), seed=(1, 2)),
        tf.random.stateless_normal((61, 32), seed=(3, 4)),
        tf.tensor_scatter_nd_add(tf.zeros((97, 61)), x["ids"][:, None], x["rows"]),
    ]
