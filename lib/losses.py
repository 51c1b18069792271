"""Listwise losses of retrieval models, in keras.ops only.

The ARF loss (Eq 2-4; Wang et al. 2023, arXiv:2310.10462) and two classical ones
to compare with. Ads lie on the last axis. Losses follow Keras' order,
(y_true = v, y_pred = scores); an ad with v < 0 is padding and counts nowhere.
"""

from __future__ import annotations

import math
from typing import Any

import keras
from keras import KerasTensor, ops

# Stands for minus infinity in a softmax: far below any real logit, yet finite,
# so that 0 x log 0 is 0 and not NaN, in the loss and in its gradient.
_NEVER = -1e30
# A lower temperature would bring a real logit down to that.
_LEAST_TAU = 1e-20


def neural_sort(scores: KerasTensor, tau: float = 1.0) -> KerasTensor:
    """Relaxed sorting matrix, [..., n] -> [..., n, n]; row i is place i, best first.

    P[i, :] = softmax(((n + 1 - 2 i) s - A 1) / tau),  A[j, l] = |s_j - s_l|
    Grover et al. 2019, arXiv:1903.08850, the operator of Eq 3-4. `tau` > 0 is in
    units of score; as it falls the rows become the rows of a permutation, where equal
    scores share their places in equal parts.

    >>> ops.convert_to_numpy(neural_sort([[1.0, 3.0]], tau=0.1)).round(3).tolist()
    [[[0.0, 1.0], [1.0, 0.0]]]
    """
    return ops.exp(log_neural_sort(scores, tau=tau))


def log_neural_sort(
    scores: KerasTensor, tau: float = 1.0, real: KerasTensor | None = None
) -> KerasTensor:
    """Logarithm of `neural_sort`, finite however far apart or equal the scores are.

    Args:
      scores: [..., n].
      tau: temperature, at least 1e-20.
      real: [..., n] bool, False where padded: such columns get no weight, and the
        rows of places beyond the last real ad mean nothing.

    Returns: [..., n, n]. Raises ValueError for a tau out of range.
    """
    if not tau >= _LEAST_TAU:
        raise ValueError(f"neural_sort: tau must be >= {_LEAST_TAU}; got {tau}")
    scores = ops.convert_to_tensor(scores)
    real = ops.ones_like(scores) if real is None else ops.cast(real, scores.dtype)
    # Only differences of scores matter; centring keeps (n + 1 - 2 i) s small.
    count = ops.sum(real, axis=-1, keepdims=True)
    centre = ops.sum(scores * real, axis=-1, keepdims=True) / ops.maximum(count, 1.0)
    scores = (scores - centre) * real
    place = ops.arange(1, scores.shape[-1] + 1, dtype=scores.dtype)
    gaps = ops.abs(scores[..., :, None] - scores[..., None, :]) * real[..., None, :]
    spread = ops.sum(gaps, axis=-1)
    logits = (
        (count + 1 - 2 * place)[..., :, None] * scores[..., None, :] - spread[..., None, :]
    ) / tau
    logits = ops.where(real[..., None, :] > 0, logits, _NEVER)
    return ops.log_softmax(logits, axis=-1)


def relax_and_global(
    v: KerasTensor, scores: KerasTensor, *, m: int, k: int, tau: float, tau_v: float | None = None
) -> tuple[KerasTensor, KerasTensor]:
    """L_Relax (Eq 3) and L_Global (Eq 4) per impression, each [...].

    Eq 3-4 have soft permutation matrices of both v and the scores, and name no temperature. Public
    code of the same line (github.com/kwai/LCRON, deep_components/loss/two_stage/arf.py) sorts the
    scores at 200, and v, there ranks, at 1e-4: hard, but that equal v share their places. Of ten
    ranks the best has 0.72 of the first place at 1, and 0.11 at 200, where 0.1 is no order at all.
    With one temperature L_Global is least where the scores equal v but for a constant; with a
    far lower one of v the scores are driven apart.

    Args:
      v, scores: [..., n]; v < 0 is padding.
      m: ads that the model keeps; k: true best ads that it should keep.
      tau: NeuralSort's temperature, of the scores.
      tau_v: of v, in its units; None: tau.

    >>> v, scores = [[2.0, 1.0, 0.0]], [[0.0, 0.0, 0.0]]
    >>> relax, _ = relax_and_global(v, scores, m=1, k=1, tau=200.0, tau_v=1e-4)
    >>> round(float(relax[0]), 4)  # all on the best ad, to which the model gives 1/3
    1.0986
    """
    v, scores = ops.convert_to_tensor(v), ops.convert_to_tensor(scores)
    real = ops.cast(v >= 0, scores.dtype)
    true = ops.exp(log_neural_sort(v, tau if tau_v is None else tau_v, real))
    model = log_neural_sort(scores, tau, real)
    n = scores.shape[-1]
    exists = ops.cumsum(ops.ones_like(real), axis=-1) <= ops.sum(real, axis=-1, keepdims=True)
    row = ops.cast(exists, scores.dtype)[..., None]  # is there a place i in this list?
    true_top = ops.sum((true * row)[..., : min(k, n), :], axis=-2)
    model_top = ops.where(row > 0, model, _NEVER)[..., : min(m, n), :]
    log_share = _log_sum_of_rows(model_top) - math.log(m)
    # true_top is 0 on padding, where log_share stands for minus infinity.
    relax = -ops.sum(true_top * ops.where(real > 0, log_share, 0.0), axis=-1)
    cross_entropy = true * ops.where(real[..., None, :] > 0, model, 0.0)
    return relax, -ops.sum(cross_entropy * row, axis=(-2, -1))


def _made_of_exp(function, slope):
    """The function with the gradient slope(x, function(x), upstream).

    TensorFlow's gradients of a logarithm and of softplus take a reciprocal that begins with an
    estimate of each processor's own; these are made of exp.
    """

    @ops.custom_gradient
    def with_gradient(x):
        value = function(x)

        def gradient(*args, upstream=None):
            return slope(x, value, args[0] if upstream is None else upstream)

        return value, gradient

    return with_gradient


_log = _made_of_exp(ops.log, lambda x, value, upstream: upstream * ops.exp(-value))
_softplus = _made_of_exp(ops.softplus, lambda x, value, upstream: upstream * ops.exp(x - value))
_log_sum_of_rows = _made_of_exp(  # [..., rows, n] -> [..., n]
    lambda x: ops.logsumexp(x, axis=-2),
    lambda x, value, upstream: upstream[..., None, :] * ops.exp(x - value[..., None, :]),
)


@keras.saving.register_keras_serializable("retrieval_scaling")
class ARFLoss(keras.losses.Loss):
    """L_Relax + L_Global / (2 alpha^2) + log|alpha| (Eq 2), alpha trainable.

    Args:
      m, k, tau, tau_v: as for `relax_and_global`.
      alpha: where the trainable weight starts.

    alpha is an attribute: whoever trains lists it among the trained variables
    (`lib.training` does). Raises ValueError for m, k, tau or tau_v out of range, or alpha 0.

    >>> import numpy as np
    >>> loss = ARFLoss(m=1, k=1)
    >>> v, good, bad = (np.array([row]) for row in ([2.0, 0.0], [9.0, 0.0], [0.0, 9.0]))
    >>> bool(loss(v, good) < loss(v, bad))
    True
    """

    def __init__(
        self,
        m: int,
        k: int,
        tau: float = 1.0,
        tau_v: float | None = None,
        alpha: float = 1.0,
        name: str = "arf",
    ) -> None:
        super().__init__(name=name)
        _check_cuts("ARFLoss", m, k, tau, tau_v)
        if not (math.isfinite(alpha) and alpha):
            raise ValueError(f"ARFLoss: alpha must be a number other than 0; got {alpha}")
        self.m, self.k, self.tau, self.tau_v, self.initial_alpha = m, k, tau, tau_v, alpha
        self.alpha = keras.Variable(float(alpha), name="alpha", dtype="float32")

    def call(self, y_true, y_pred):
        relax, whole_list = relax_and_global(
            y_true, y_pred, m=self.m, k=self.k, tau=self.tau, tau_v=self.tau_v
        )
        alpha = ops.convert_to_tensor(self.alpha)
        return relax + whole_list / (2 * alpha * alpha) + _log(ops.abs(alpha))

    def get_config(self) -> dict[str, Any]:
        return {
            "m": self.m,
            "k": self.k,
            "tau": self.tau,
            "tau_v": self.tau_v,
            "alpha": self.initial_alpha,
            "name": self.name,
        }


@keras.saving.register_keras_serializable("retrieval_scaling")
class RelaxLoss(keras.losses.Loss):
    """L_Relax alone (Eq 3): only the top of the list counts; arguments as of `ARFLoss`."""

    def __init__(
        self, m: int, k: int, tau: float = 1.0, tau_v: float | None = None, name: str = "relax"
    ) -> None:
        super().__init__(name=name)
        _check_cuts("RelaxLoss", m, k, tau, tau_v)
        self.m, self.k, self.tau, self.tau_v = m, k, tau, tau_v

    def call(self, y_true, y_pred):
        return relax_and_global(y_true, y_pred, m=self.m, k=self.k, tau=self.tau, tau_v=self.tau_v)[
            0
        ]

    def get_config(self) -> dict[str, Any]:
        return {"m": self.m, "k": self.k, "tau": self.tau, "tau_v": self.tau_v, "name": self.name}


@keras.saving.register_keras_serializable("retrieval_scaling")
class SoftmaxLoss(keras.losses.Loss):
    """Listwise cross-entropy against softmax(v) (Cao et al. 2007, ListNet)."""

    def call(self, y_true, y_pred):
        real = y_true >= 0
        # Not ops.softmax: TensorFlow's divides by an estimate of each processor's own.
        target = ops.exp(ops.log_softmax(ops.where(real, y_true, _NEVER), axis=-1))
        log_share = ops.log_softmax(ops.where(real, y_pred, _NEVER), axis=-1)
        return -ops.sum(target * ops.where(real, log_share, 0.0), axis=-1)


@keras.saving.register_keras_serializable("retrieval_scaling")
class PairwiseLogisticLoss(keras.losses.Loss):
    """Mean over pairs of different v of log(1 + exp(s_worse - s_better)) (RankNet).

    Burges et al. 2005, "Learning to rank using gradient descent". keras-rs has the sum over
    pairs in place of their mean, so that a long list weighs more than a short one.
    """

    def call(self, y_true, y_pred):
        real = y_true >= 0
        pair = ops.logical_and(real[..., :, None], real[..., None, :])
        better = ops.logical_and(pair, y_true[..., :, None] > y_true[..., None, :])
        better = ops.cast(better, y_pred.dtype)
        cost = _softplus(y_pred[..., None, :] - y_pred[..., :, None])
        pairs = ops.sum(better, axis=(-2, -1))
        return ops.sum(better * cost, axis=(-2, -1)) / ops.maximum(pairs, 1.0)


def _check_cuts(name, m, k, tau, tau_v):
    temperatures = [tau] if tau_v is None else [tau, tau_v]
    if m < 1 or k < 1 or not all(value >= _LEAST_TAU for value in temperatures):
        raise ValueError(
            f"{name}: m and k must be >= 1, tau and tau_v >= {_LEAST_TAU}; "
            f"got m = {m}, k = {k}, tau = {tau}, tau_v = {tau_v}"
        )
