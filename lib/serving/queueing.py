"""Between the time of a request and the load at which its latency limit holds."""

import numpy as np


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
    x = np.divide(
        -np.log(late) * service_ms,
        workers * spare_ms,
        out=np.full(service_ms.shape, np.inf),
        where=spare_ms > 0,
    )
    # Above 500 the utilisation is 0 to machine precision, and e^x soon overflows.
    utilisation = np.where(x < 500, x / np.expm1(np.minimum(x, 500)), 0.0)
    return 1000 * workers / service_ms * utilisation


def time_at_load(qps, latency_limit_ms, *, workers=1, late=0.01):
    """The service time in ms whose `load_at_limit` is qps, > 0, any shape.

    >>> float(time_at_load(load_at_limit(10.0, 100.0), 100.0).round(3))
    10.0
    """
    times = latency_limit_ms * np.geomspace(1.0, 1e-6, 20_000)[1:]
    loads = load_at_limit(times, latency_limit_ms, workers=workers, late=late)
    rising = loads > 0
    return np.exp(np.interp(np.log(qps), np.log(loads[rising]), np.log(times[rising])))
