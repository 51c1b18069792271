"""The first paradigm of section 4.3: a request's time from a machine's figures.

Every operator of a served graph takes the longer of its arithmetic and its memory traffic,
plus the overhead of starting it (the roofline model, Williams et al. 2009,
doi:10.1145/1498765.1498785). The device's peaks are never reached, so a few factors, one a
kind of work, are fitted to measured sizes; the form of the model stays the device's.

    form                   operators                                       from the host
    naive                  concat, then each layer for all candidates      user, ads
    first_layer_optimised  user's part (a matrix-vector product), its sum  user, ad parts
                           with the ad parts, the layers above
    twin_tower             user's tower (matrix-vector), inner products    user
"""

from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.optimize import nnls

# Kinds of work, each with a factor of its own.
TERMS = ("request", "launch", "compute", "weights", "activations", "transfer")


class Operators(NamedTuple):
    """What a request makes a device do; operators lie on the last axis, sizes before it."""

    names: list[str]
    flops: np.ndarray  # [..., operators]
    weights: np.ndarray  # [..., operators] bytes of weights read
    activations: np.ndarray  # [..., operators] bytes of other values read and written
    transfer: np.ndarray  # [...] bytes from the host


def request_operators(
    size_parameters,
    form,
    candidates,
    user_width=None,
    *,
    requests=1,
    bytes_per_value=4,
    fused=False,
):
    """The operators of a graph of `lib.serving.graphs.export`, for sizes [..., layers + 1].

    Args:
      form: "naive", "first_layer_optimised" or "twin_tower".
      candidates: ads in a request; broadcast against the sizes.
      user_width: how many of the a_0 inputs belong to the user; half by default.
      requests: that run as one, each with a user of its own.
      fused: activations move nothing beside their product's result.

    Raises: ValueError for an unknown form.

    >>> work = request_operators([6, 4, 2, 1], "first_layer_optimised", candidates=10, fused=True)
    >>> work.names
    ['user part', 'sum of parts', 'layer 2', 'layer 3']
    >>> work.flops.tolist(), work.weights.tolist()
    ([24.0, 0.0, 160.0, 40.0], [48.0, 0.0, 32.0, 8.0])
    """
    a = np.moveaxis(np.asarray(size_parameters, float), -1, 0)
    user = a[0] // 2 if user_width is None else np.asarray(user_width, float)
    rows = requests * np.asarray(candidates, float)
    # Mul by the slope and Max with it: read x, write, read both, write.
    passes = 0 if fused else 5
    operators = []

    def product(name, count, inputs, units, hidden=True):
        operators.append(
            (
                name,
                2 * count * inputs * units,
                inputs * units,
                count * (inputs + units + hidden * passes * units),
            )
        )

    if form == "naive":
        # Tile writes the user's vector for each ad, Concat reads both and writes.
        operators.append(("concat", 0.0, 0.0, rows * (user + 2 * a[0])))
        for i in range(1, len(a)):
            product(f"layer {i}", rows, a[i - 1], a[i], hidden=i < len(a) - 1)
        transfer = requests * user + rows * (a[0] - user)
    elif form == "first_layer_optimised":
        product("user part", requests, user, a[1], hidden=False)
        operators.append(("sum of parts", 0.0, 0.0, rows * (2 + passes) * a[1]))
        for i in range(2, len(a)):
            product(f"layer {i}", rows, a[i - 1], a[i], hidden=i < len(a) - 1)
        transfer = requests * user + rows * a[1]
    elif form == "twin_tower":
        for i in range(1, len(a)):
            product(
                f"layer {i}", requests, user if i == 1 else a[i - 1], a[i], hidden=i < len(a) - 1
            )
        operators.append(("inner products", 2 * rows * a[-1], 0.0, rows + candidates * a[-1]))
        transfer = requests * user
    else:
        raise ValueError(
            "request_operators: form must be 'naive', 'first_layer_optimised' or "
            f"'twin_tower'; got {form!r}"
        )
    names, *work = zip(*operators, strict=True)
    shape = np.broadcast_shapes(a[0].shape, rows.shape, np.shape(user))
    flops, weights, activations = (
        np.stack([np.broadcast_to(x, shape) for x in column], axis=-1) for column in work
    )
    return Operators(
        list(names),
        flops,
        bytes_per_value * weights,
        bytes_per_value * activations,
        bytes_per_value * np.broadcast_to(transfer, shape),
    )


class Roofline:
    """Time of a request, operator by operator.

    operator_ms = launch + max(compute, weights + activations)
    request_ms  = request + transfer + sum over its operators,

    each part the device's nominal time times its factor. Weights and activations move at
    the cache's bandwidth for the share of the request's working set that fits into it.

    Args:
      device: a `Device`.
      factors: of `TERMS`; 1, the device's own figure, where not given.

    >>> import dataclasses
    >>> from lib.cost.device import T4
    >>> device = dataclasses.replace(T4, flops=1e9, request_ms=0.0, launch_ms=0.0)
    >>> work = [6, 4, 2, 1], "first_layer_optimised", 10**6       # 20 FLOPs an ad
    >>> times = Roofline(device).times(*work)
    >>> dict(zip(TERMS, times.round(2).tolist(), strict=True))["compute"]
    20.0
    """

    def __init__(self, device, factors=None):
        self.device = device
        self.factors = dict.fromkeys(TERMS, 1.0) | dict(factors or {})

    def predict(self, size_parameters, form, candidates, *, user_width=None, requests=1):
        """Service time in ms of sizes [..., layers + 1] -> [...]; of `requests` run as one,
        each one's share."""
        work = self._work(size_parameters, form, candidates, user_width, requests)
        return self.predict_nominal(work) / requests

    def times(self, size_parameters, form, candidates, *, user_width=None):
        """Nominal ms of each of `TERMS`, of the parts that bind, [..., terms]."""
        work = self._work(size_parameters, form, candidates, user_width)
        return _binding(work, self._vector())

    def explain(self, size_parameters, form, candidates, *, user_width=None):
        """One size: FLOPs, bytes and ms of each operator, and what binds it.

        Returns: DataFrame of operator, flops, bytes, compute_ms, memory_ms, overhead_ms, ms,
        bound_by; the first row is the transfer from the host, the last the request itself.
        """
        work = self._operators(size_parameters, form, candidates, user_width)
        ms, factor = nominal(work, self.device), self.factors
        compute = factor["compute"] * ms.compute
        memory = factor["weights"] * ms.weights + factor["activations"] * ms.activations
        launch = factor["launch"] * self.device.launch_ms
        transfer = factor["transfer"] * float(ms.transfer)
        request = factor["request"] * self.device.request_ms
        rows = [("transfer", 0.0, float(work.transfer), 0.0, transfer, 0.0, transfer, "transfer")]
        for name, flops, moved, by_compute, by_memory in zip(
            work.names, work.flops, work.weights + work.activations, compute, memory, strict=True
        ):
            longer = max(by_compute, by_memory)
            bound = (
                "overhead"
                if launch > longer
                else "compute"
                if by_compute >= by_memory
                else "memory"
            )
            rows.append((name, flops, moved, by_compute, by_memory, launch, launch + longer, bound))
        rows.append(("request", 0.0, 0.0, 0.0, 0.0, request, request, "overhead"))
        return pd.DataFrame(
            rows,
            columns=[
                "operator",
                "flops",
                "bytes",
                "compute_ms",
                "memory_ms",
                "overhead_ms",
                "ms",
                "bound_by",
            ],
        )

    def fit(self, rows, *, prior=1.0):
        """A model whose factors fit measured rows in *relative* error.

        Least squares with factors >= 0, except that errors above 10 % count linearly
        (Huber): on a shared machine a few times are far too long. Which of an operator's
        two times binds depends on the factors, so both are found in turns.

        Args:
          rows: DataFrame or list of dicts with size_parameters, form, candidates,
            service_ms, optional user_width.
          prior: relative standard deviation of each factor about a common scale, beside a
            row's error of 10 %: what few rows cannot tell stays near the device's figure.
        """
        rows = pd.DataFrame(rows)
        return self.fit_to(self.nominal_of(rows), rows["service_ms"].to_numpy(float), prior)

    def fit_to(self, work, service_ms, prior=1.0):
        """`fit` to rows whose `nominal_of` is known, for fits to many selections of them."""
        scale = np.median(service_ms / Roofline(self.device).predict_nominal(work))
        factors = np.full(len(TERMS), scale)
        pull = _ROW_ERROR / (prior * scale)
        for _ in range(_ROUNDS):
            relative = _binding(work, factors) / service_ms[:, None]
            error = np.abs(relative @ factors - 1)
            weight = np.sqrt(_ROW_ERROR / np.maximum(error, _ROW_ERROR))
            before, (factors, _) = (
                factors,
                nnls(
                    np.vstack([weight[:, None] * relative, pull * np.eye(len(TERMS))]),
                    np.concatenate([weight, np.full(len(TERMS), pull * scale)]),
                ),
            )
            if np.allclose(factors, before, rtol=1e-3):
                break
        return Roofline(self.device, dict(zip(TERMS, factors.tolist(), strict=True)))

    def _vector(self):
        return np.array([self.factors[name] for name in TERMS])

    def _operators(self, size_parameters, form, candidates, user_width, requests=1):
        return request_operators(
            size_parameters,
            form,
            candidates,
            user_width,
            requests=requests,
            bytes_per_value=self.device.bytes_per_value,
            fused=self.device.fused,
        )

    def _work(self, *request):
        return nominal(self._operators(*request), self.device)

    def nominal_of(self, rows):
        """Nominal times of a table's rows, which may differ in form and number of layers."""
        return stack_nominal(
            [
                self._work(
                    row["size_parameters"],
                    row["form"],
                    row["candidates"],
                    _value_or_none(row.get("user_width")),
                )
                for row in rows.to_dict("records")
            ]
        )

    def predict_nominal(self, work):
        """Service time in ms of `Nominal` times, [...]."""
        return _binding(work, self._vector()) @ self._vector()


class Nominal(NamedTuple):
    """Times in ms by the device's own figures."""

    compute: np.ndarray  # [..., operators]
    weights: np.ndarray  # [..., operators]
    activations: np.ndarray  # [..., operators]
    launch: np.ndarray  # [...] all operators together
    request: np.ndarray  # [...]
    transfer: np.ndarray  # [...]


_ROW_ERROR, _ROUNDS = 0.1, 30


def nominal(work, device):
    """Times of `Operators` by the device's own figures."""
    moved = work.weights.sum(axis=-1) + work.activations.max(axis=-1)
    cached = np.minimum(1.0, device.cache_bytes / np.maximum(moved, 1.0))[..., None]
    ms_per_byte = 1e3 * (cached / device.cache_bandwidth + (1 - cached) / device.memory_bandwidth)
    ones = np.ones(work.transfer.shape)
    return Nominal(
        1e3 * work.flops / device.flops,
        ms_per_byte * work.weights,
        ms_per_byte * work.activations,
        len(work.names) * device.launch_ms * ones,
        device.request_ms * ones,
        1e3 * work.transfer / device.transfer_bandwidth,
    )


def stack_nominal(requests):
    """`Nominal` of several requests, whose operators may differ in number, as one."""
    operators = max(len(request.compute) for request in requests)
    return Nominal(
        *(
            np.stack([np.pad(x, (0, operators - len(x))) if np.ndim(x) else x for x in times])
            for times in zip(*requests, strict=True)
        )
    )


def _binding(work, factors):
    """Nominal ms by `TERMS` of what binds under the factors, [..., terms]."""
    _, _, compute, weights, activations, _ = factors
    by_compute = compute * work.compute >= weights * work.weights + activations * work.activations
    return np.stack(
        [
            work.request,
            work.launch,
            np.where(by_compute, work.compute, 0).sum(axis=-1),
            np.where(by_compute, 0, work.weights).sum(axis=-1),
            np.where(by_compute, 0, work.activations).sum(axis=-1),
            work.transfer,
        ],
        axis=-1,
    )


def _value_or_none(value):
    """None for a cell that a table leaves empty."""
    return None if value is None or pd.isna(value) else value
