"""What a size costs to serve: Algorithm 1, and a service-time model that needs a few
measured sizes instead of all of them.

Costs are machines times a price per machine and hour, in the currency of the price.
"""
import json
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import pandas as pd
import pydantic
from pydantic import Field
from scipy import special
from scipy.optimize import nnls


def required_machines(qps_base, machines_base, qps, *, whole=False):
    """Machines that carry the base model's traffic with another model (Algorithm 1, line 9).

    Args:
      qps_base, qps: of one machine at the latency limit, base model and others; any shapes
        that broadcast. A qps of 0, a size that cannot meet the limit, needs inf machines.
      machines_base: machines that serve the base model, req_0.
      whole: round up to whole machines.

    Raises: ValueError where qps_base or machines_base is not positive, or qps is negative.

    >>> required_machines(100.0, 20, np.array([100.0, 40.0, 0.0]))
    array([20., 50., inf])
    >>> float(required_machines(100.0, 20, 70.0, whole=True))
    29.0
    """
    qps_base, machines_base, qps = (np.asarray(x, float) for x in (qps_base, machines_base, qps))
    for name, value in (("qps_base", qps_base), ("machines_base", machines_base)):
        if not (value > 0).all():
            raise ValueError(f"required_machines: {name} must be > 0; got {value.min()}")
    if not (qps >= 0).all():
        raise ValueError(f"required_machines: qps must be >= 0; got {np.min(qps)}")
    with np.errstate(divide="ignore"):
        machines = machines_base * (qps_base / qps)  # in this order the base gets its own
    return np.ceil(machines) if whole else machines


def machines_interval(qps_base, machines_base, qps):
    """`required_machines` carrying intervals: from (qps, low, high) to (machines, low, high).

    The bounds take both errors at their worst, since nothing is said of how they move
    together.

    >>> [float(x) for x in machines_interval((100.0, 90.0, 120.0), 20, (50.0, 40.0, 60.0))]
    [40.0, 30.0, 60.0]
    """
    base, base_low, base_high = qps_base
    value, low, high = qps
    return (required_machines(base, machines_base, value),
            required_machines(base_low, machines_base, high),
            required_machines(base_high, machines_base, low))


def cost_per_hour(machines, price_per_hour):
    """Machine cost, in the currency of the price, per hour.

    >>> cost_per_hour(np.array([20.0, 50.0]), price_per_hour=1.5)
    array([30., 75.])
    """
    if not np.all(np.asarray(price_per_hour) > 0):
        raise ValueError(f"cost_per_hour: price_per_hour must be > 0; got {price_per_hour}")
    return np.asarray(machines, float) * price_per_hour


def priced(rows, base, machines_base, price_per_hour, *, whole=False):
    """Algorithm 1 over measured sizes: the costs table of DESIGN.md.

    Args:
      rows: measured sizes, list of dicts as of `lib.serving.load_test.measure_size` or a
        DataFrame; one family on one machine under one latency limit.
      base: size parameters of the base model, one of the rows.
      machines_base: machines that serve it now.
      price_per_hour: of one machine.

    Returns: DataFrame, the rows with machines, machines_low, machines_high, cost_per_hour.

    >>> rows = [{"size_parameters": [4, 2, 1], "qps": 80.0, "qps_low": 80.0, "qps_high": 85.0},
    ...         {"size_parameters": [8, 2, 1], "qps": 40.0, "qps_low": 40.0, "qps_high": 42.5}]
    >>> priced(rows, base=[4, 2, 1], machines_base=10, price_per_hour=2)[
    ...     ["qps", "machines", "machines_low", "machines_high", "cost_per_hour"]]
        qps  machines  machines_low  machines_high  cost_per_hour
    0  80.0      10.0     10.000000          10.00           20.0
    1  40.0      20.0     18.823529          21.25           40.0
    """
    table = pd.DataFrame(rows).reset_index(drop=True)
    is_base = np.array([list(size) == list(base) for size in table["size_parameters"]])
    if is_base.sum() != 1:
        raise ValueError(f"priced: one row must hold the base size {list(base)}; "
                         f"found {is_base.sum()}")
    qps = [table[name].to_numpy(float) for name in ("qps", "qps_low", "qps_high")]
    qps_base = [float(values[is_base][0]) for values in qps]
    machines, low, high = machines_interval(qps_base, machines_base, qps)
    low[is_base] = high[is_base] = machines_base  # by definition, however it was measured
    if whole:
        machines, low, high = np.ceil([machines, low, high])
    return table.assign(machines=machines, machines_low=low, machines_high=high,
                        cost_per_hour=cost_per_hour(machines, price_per_hour))


# ---- from a few measured sizes to a grid ----------------------------------


def request_work(size_parameters, form, candidates, user_width=None):
    """What a request makes a machine do, the terms of `ServiceTimeModel`.

    Args:
      size_parameters: [..., layers + 1], as in `lib.serving.export`.
      form: a graph of `lib.serving.export.FORMS`.
      candidates: ads in a request.
      user_width: how many of the a_0 inputs belong to the user; half by default.

    Returns: [..., 4]: 1 request; FLOPs done once a request; FLOPs done for each candidate,
      all candidates together; bytes of the candidates' inputs (float32), which are the
      cached ad parts or vectors where there are any.

    >>> request_work([6, 4, 2, 1], "first_layer_optimised", candidates=10)
    array([  1.,  24., 200., 160.])
    >>> request_work([6, 4, 2, 1], "naive", candidates=10)
    array([  1.,   0., 680., 120.])
    """
    sizes = np.moveaxis(np.asarray(size_parameters, float), -1, 0)
    user_width = sizes[0] // 2 if user_width is None else user_width
    above_first = 2 * (sizes[1:-1] * sizes[2:]).sum(axis=0)
    user_first = 2 * user_width * sizes[1]
    if form == "naive":
        once, each, inputs = 0.0, 2 * sizes[0] * sizes[1] + above_first, sizes[0] - user_width
    elif form == "first_layer_optimised":
        once, each, inputs = user_first, above_first, sizes[1]
    elif form == "twin_tower":
        once, each, inputs = user_first + above_first, 2 * sizes[-1], sizes[-1]
    else:
        raise ValueError("request_work: form must be 'naive', 'first_layer_optimised' or "
                         f"'twin_tower'; got {form!r}")
    return np.stack(np.broadcast_arrays(1.0, once, each * candidates, 4 * inputs * candidates),
                    axis=-1)


def load_at_limit(service_ms, latency_limit_ms, *, workers=1, late=0.01):
    """QPS at which a share `late` of requests takes longer than the limit, by a bound.

    With Poisson arrivals and a constant service time s, Lundberg's inequality says that a
    request waits longer than t with a probability of at most exp(-x t / s), where
    utilisation is x / (e^x - 1). Several workers count as one that is as much faster. Near
    enough to start a load test from; `ServiceTimeModel` scales it to measured loads.

    Args:
      service_ms: of a request itself, > 0, any shape.
      workers: requests served at a time.

    Returns: shape of service_ms; 0 where a request itself takes longer than the limit.

    >>> load_at_limit(np.array([10.0, 100.0]), latency_limit_ms=100.0).round(1)
    array([76.6,  0. ])
    """
    service_ms = np.asarray(service_ms, float)
    spare_ms = latency_limit_ms - service_ms
    x = np.divide(-np.log(late) * service_ms, workers * spare_ms,
                  out=np.full(service_ms.shape, np.inf), where=spare_ms > 0)
    # Above 500 the utilisation is 0 to machine precision, and e^x soon overflows.
    utilisation = np.where(x < 500, x / np.expm1(np.minimum(x, 500)), 0.0)
    return 1000 * workers / service_ms * utilisation


class ServiceTimeModel:
    """Time of a request from a few measured sizes, for a whole grid of sizes.

    service_ms = c0 + c1 FLOPs once a request + c2 FLOPs for the candidates
               + c3 bytes of the candidates' inputs,            all c >= 0,

    fitted to *relative* errors, so that small sizes count as much as large ones. FLOPs of a
    user-ad pair alone do not tell it: with a cached first layer, the widest part of the
    model is computed once a request and not once a candidate (appendix A).

    Attributes, after `fit`:
      coefficients_: dict of ms per request, GFLOP (once), GFLOP (candidates), gigabyte.
      leave_one_out_: [rows] relative error of each row's time, predicted from the others.
      load_ratio_: measured QPS over `load_at_limit` of the measured service time, the
        median of the rows; 1 where the rows hold no QPS.
    """

    def fit(self, rows):
        """Fit to measured sizes of one engine on one machine.

        Args:
          rows: list of dicts or DataFrame with columns form, size_parameters, candidates,
            service_ms, optional user_width (half by default); and, for `qps`, columns qps,
            latency_limit_ms, workers. At least 4 rows; 6 or more are wise.

        Raises: ValueError where a column or a row is missing, or a time is not positive.
        """
        table = pd.DataFrame(rows)
        _check_rows(table)
        self._work = np.stack([
            request_work(row["size_parameters"], row["form"], row["candidates"],
                         row.get("user_width")) for row in table.to_dict("records")])
        self._service_ms = table["service_ms"].to_numpy(float)
        self._fit()
        self._leave_one_out()
        ratios = _load_ratios(table)
        self.load_ratio_ = float(np.median(ratios)) if len(ratios) else 1.0
        self._load_scatter = float(np.log(ratios).std()) if len(ratios) else 0.0
        return self

    def predict(self, size_parameters, form, candidates, *, user_width=None, interval=None):
        """Service time in ms of sizes [..., layers + 1].

        Args:
          interval: coverage, such as 0.9; then (time, low, high) are returned. The interval
            is Student's t (rows - 1 degrees of freedom) on the logarithm, its variance the
            mean squared leave-one-out error plus the jackknife variance of the prediction,
            which grows away from the measured sizes. It holds for a further *measurement*.

        Returns: [...] or three of them.
        """
        work = request_work(size_parameters, form, candidates, user_width)
        if interval is None:
            return work @ self._coefficients
        return self._spread(work, interval, self._error)

    def qps(self, size_parameters, form, candidates, latency_limit_ms, *, workers=1,
            user_width=None, interval=None):
        """QPS of one machine at the latency limit; 0 for a size that cannot meet it.

        `load_at_limit` of the predicted time, scaled by load_ratio_. With `interval`,
        (qps, low, high), where the scatter of the measured loads about the formula counts
        as a further error of the time.
        """
        def load(service_ms):
            return self.load_ratio_ * load_at_limit(service_ms, latency_limit_ms, workers=workers)

        work = request_work(size_parameters, form, candidates, user_width)
        if interval is None:
            return load(work @ self._coefficients)
        time, low, high = self._spread(work, interval, np.hypot(self._error, self._load_scatter))
        return load(time), load(high), load(low)

    def resampled(self, draws, seed):
        """Models refitted to resampled errors, for draws that keep sizes together.

        Each measured time becomes the fitted one with the leave-one-out error of a random
        row. All sizes of one refit are wrong together, as `lib.design.share_best` needs.

        Returns: list of `ServiceTimeModel`.
        """
        rng = np.random.default_rng(seed)
        fitted = self._work @ self._coefficients

        def refit():
            model = ServiceTimeModel()
            errors = rng.choice(self.leave_one_out_, len(fitted))
            model._work, model._service_ms = self._work, fitted / (1 + errors)
            model.load_ratio_, model._load_scatter = self.load_ratio_, self._load_scatter
            model._fit()
            return model

        return [refit() for _ in range(draws)]

    def _fit(self):
        self._coefficients = _relative_nnls(self._work, self._service_ms)
        names = ("ms", "ms_per_gflop_once", "ms_per_gflop_candidates", "ms_per_gigabyte")
        values = self._coefficients * (1, 1e9, 1e9, 1e9)
        self.coefficients_ = dict(zip(names, values.tolist(), strict=True))

    def _leave_one_out(self):
        every = np.arange(len(self._service_ms))
        self._without = np.stack([
            _relative_nnls(self._work[every != i], self._service_ms[every != i]) for i in every])
        self.leave_one_out_ = (self._work * self._without).sum(axis=1) / self._service_ms - 1
        self._error = float(np.sqrt(np.mean(np.log1p(self.leave_one_out_) ** 2)))

    def _spread(self, work, interval, error):
        """(time, low, high) for a relative error of new measurements."""
        if not 0 < interval < 1:
            raise ValueError(f"interval must lie in 0 .. 1; got {interval}")
        time, rows = work @ self._coefficients, len(self._without)
        refits = work @ self._without.T / time[..., None]
        error = np.sqrt(error**2 + (rows - 1) * refits.var(axis=-1))
        factor = np.exp(special.stdtrit(rows - 1, (1 + interval) / 2) * error)
        return time, time / factor, time * factor


def _relative_nnls(work, service_ms):
    """Coefficients >= 0 of least squared relative error."""
    unit = work.max(axis=0)
    unit[unit == 0] = 1.0
    return nnls(work / unit / service_ms[:, None], np.ones(len(service_ms)))[0] / unit


def _load_ratios(table):
    """Measured QPS over the formula's, for the rows that met their limit."""
    if not {"qps", "latency_limit_ms", "workers"} <= set(table.columns):
        return np.empty(0)
    served = table[(table["qps"] > 0) & (table["service_ms"] < table["latency_limit_ms"])]
    formula = [load_at_limit(row["service_ms"], row["latency_limit_ms"], workers=row["workers"])
               for row in served.to_dict("records")]
    return served["qps"].to_numpy(float) / np.array(formula)


def _check_rows(table):
    for name in ("form", "size_parameters", "candidates", "service_ms"):
        if name not in table:
            raise ValueError(f"ServiceTimeModel: column {name} is missing; "
                             f"got {', '.join(map(str, table.columns)) or 'no column'}")
    if len(table) < 4:
        raise ValueError(f"ServiceTimeModel: at least 4 measured sizes are needed for its four "
                         f"terms; got {len(table)}")
    bad = ~(table["service_ms"] > 0)
    if bad.any():
        raise ValueError(f"ServiceTimeModel: column service_ms must be > 0; got "
                         f"{table['service_ms'][bad].iloc[0]} in row {bad.to_numpy().argmax()}")


# ---- a reader's own table -------------------------------------------------

Positive = Annotated[float, Field(gt=0)]  # inf: a size that cannot be served
NotNegative = Annotated[float, Field(ge=0)]
Name = Annotated[str, Field(min_length=1)]


class CostRow(pydantic.BaseModel):
    """A row of the costs table: a size on a machine. Further columns are kept as they are."""
    family: Literal["mlp", "twin_tower", "dlrm"]
    size_parameters: Annotated[list[Annotated[int, Field(gt=0)]], Field(min_length=2)]
    engine: Name
    precision: Name
    machine: Name
    candidates: Annotated[int, Field(gt=0)]
    latency_limit_ms: Positive
    qps: NotNegative       # of one machine at the limit; 0: cannot meet it
    qps_low: NotNegative
    qps_high: NotNegative
    machines: Positive
    cost_per_hour: NotNegative


def load_costs(path):
    """A costs table of the reader's own, checked.

    Args:
      path: Parquet, or CSV with size_parameters written as "[3328, 1024, 1]".

    Returns: DataFrame with the columns of `CostRow`, size_parameters as lists, and whatever
    further columns the file has.
    Raises: FileNotFoundError; ValueError naming the file, column and row (the first is 0) of
      the first bad value.
    """
    path = Path(path)
    if path.suffix not in (".parquet", ".csv"):
        raise ValueError(f"{path}: a costs table must be .parquet or .csv")
    table = pd.read_parquet(path) if path.suffix == ".parquet" else pd.read_csv(path)
    missing = [name for name in CostRow.model_fields if name not in table]
    if missing:
        raise ValueError(f"{path}: column {missing[0]} is missing; "
                         f"found {', '.join(table.columns)}")
    if table.empty:
        raise ValueError(f"{path}: the table has no rows")
    table["size_parameters"] = [_as_list(value) for value in table["size_parameters"]]
    for i, row in enumerate(table[list(CostRow.model_fields)].to_dict("records")):
        try:
            row = CostRow(**row)
        except pydantic.ValidationError as error:
            first = error.errors()[0]
            column = first["loc"][0]
            raise ValueError(f"{path}: column {column}, row {i}: {first['msg']}; "
                             f"got {table[column][i]!r}") from None
        if not row.qps_low <= row.qps <= row.qps_high:
            raise ValueError(f"{path}: column qps, row {i}: must lie in qps_low .. qps_high; "
                             f"got {row.qps} in {row.qps_low} .. {row.qps_high}")
    return table


def _as_list(value):
    """Size parameters of a Parquet list or of a CSV's text; other values as they are."""
    try:
        return json.loads(value) if isinstance(value, str) else list(value)
    except (ValueError, TypeError):
        return value
