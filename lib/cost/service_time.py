"""A request's time from a few measured sizes, for a whole grid of sizes."""
import numpy as np
import pandas as pd
from scipy import special
from scipy.optimize import nnls


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
