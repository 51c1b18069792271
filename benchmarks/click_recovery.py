"""Do the intervals of `PowerLawPlusConstant` hold exponents and constants that are known?

A part of `benchmarks.dlrm`. Two kinds of curves, each drawn anew for every repeat:

- made: y = E + A x^-alpha over four decades, every replica with a level of its own and errors, in
  all the ways in which the measurements of a study differ (`MADE`);
- streams: `lib.simulation.ideal_learner` counts clicks on streams with freshly drawn rates, rows
  and labels, a stream a replica; its log loss is scored by the true click probabilities, as the
  study scores its own. The law of such a stream holds in the limit only, so that points are used
  from where the exact local exponent lies within `NEAR` of that limit: a range set by theory,
  before any draw. Ranges chosen by tests on the points themselves cover too seldom (a pre-test of
  the law at 20 %, seeds 0..159: 62 to 83 % of 40): the test misses the bend that moves the
  exponent. All ranges are printed.
"""

import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from threadpoolctl import threadpool_limits

from benchmarks.report import row
from lib.infra.intervals import binomial_share
from lib.laws import PowerLawPlusConstant
from lib.simulation.ideal_learner import IdealLearner

LEAST, MOST = 0.80, 0.95  # coverage that counts as 90 %
NEAR = 0.05  # of its limit, an exponent that counts as near
CONSTANT, FALL = 0.4, 0.1  # of a made curve: its constant, its fall from the first size on

PLAIN = {"replicas": 5, "sizes": 9, "shift": 1e-3, "noise": 3e-4, "steepness": 0.0, "path": 0.0}
MADE = {  # widest: the 90 % interval's width over the exponent that still counts as bounded
    **{f"exponent {a}": {"exponent": a} for a in (0.1, 0.2, 0.4, 0.8)},
    "3 replicas": {"replicas": 3},
    "5 sizes": {"sizes": 5},
    "14 sizes": {"sizes": 14},
    "large sizes exact (100 x)": {"noise": 3e-3, "steepness": -0.5},
    "errors along a path (correlation .8)": {"path": 0.8},
    "worlds (amplitudes differ by 20 %)": {"worlds": 0.2},
}
WIDEST = 0.5  # median width of the exponent's interval, over the exponent

MARKS = np.geomspace(30, 3e5, 13).round().astype(int)
TABLE_ROWS = 2 ** np.arange(2, 10)
SAMPLES = 10**6  # behind every table: the rates of the rows are all but known
STREAM_REPLICAS = 4


def made_curves(seed, *, exponent=0.3, worlds=0.0, **settings):
    """x [sizes] and y [replicas, sizes] of a made law, `PLAIN` but for the settings."""
    of = PLAIN | settings
    rng, x = np.random.default_rng([seed, 16]), np.geomspace(1e3, 1e7, of["sizes"])
    error = rng.standard_normal((of["replicas"], of["sizes"]))
    for i in range(1, of["sizes"]):
        error[:, i] = of["path"] * error[:, i - 1] + np.sqrt(1 - of["path"] ** 2) * error[:, i]
    share = (x / x[0]) ** -exponent
    amplitude = FALL * np.exp(worlds * rng.standard_normal((of["replicas"], 1)))
    level = CONSTANT + of["shift"] * rng.standard_normal((of["replicas"], 1))
    return x, level + amplitude * share + of["noise"] * (x / x[0]) ** of["steepness"] * error


def recovered(x, y, exponent, constant):
    """Of the law of y [replicas, sizes]: what its 90 % intervals hold, their widths, the fit."""
    replicas, sizes = y.shape
    with threadpool_limits(1, "blas"):  # threads cost more than they save on matrices this small
        law = PowerLawPlusConstant().fit(
            np.tile(x, replicas), y.ravel(), np.repeat(np.arange(replicas), sizes)
        )
        of_exponent, of_constant = law.interval(0.9)
    return {
        "exponent_covered": of_exponent.low <= exponent <= of_exponent.high,
        "constant_covered": of_constant.low <= constant <= of_constant.high,
        "exponent": law.exponent_,
        "exponent_width": of_exponent.high - of_exponent.low,
        "constant_width": of_constant.high - of_constant.low,
        "identified": of_exponent.identified and of_constant.identified,
    }


def made_repeat(seed, settings):
    x, y = made_curves(seed, **settings)
    return recovered(x, y, settings.get("exponent", 0.3), CONSTANT)


def near_from(sizes, excess, exponent):
    """Index of the first of `sizes` from which on the local exponent is near its limit."""
    local = -np.diff(np.log(excess)) / np.diff(np.log(sizes))
    far = np.flatnonzero(np.abs(local / exponent - 1) > NEAR)
    return int(far[-1] + 1) if len(far) else 0


def stream_curve(popularity, kind, seed):
    """Expected log loss of one stream at all `MARKS` or all `TABLE_ROWS`."""
    learner = IdealLearner(popularity)
    if kind == "data":
        return learner.sample_curve(seed, MARKS).expected_log_loss
    return learner.sample_rows_sweep(seed, TABLE_ROWS, SAMPLES).expected_log_loss


def exact_excess(popularity, kind):
    """Sizes, exact excess over the constant, the exponent in the limit, the constant."""
    learner = IdealLearner(popularity)
    if kind == "data":
        loss = learner.expected_log_loss(MARKS)
        return MARKS, loss - learner.bayes_log_loss, learner.data_exponent, learner.bayes_log_loss
    # Rates known: what a table of a row each and the samples at hand still lack is its constant.
    loss = [float(learner.expected_log_loss(np.inf, int(rows))) for rows in TABLE_ROWS]
    constant = float(learner.expected_log_loss(SAMPLES))
    excess = np.array(loss) - learner.bayes_log_loss
    return TABLE_ROWS, excess, learner.rows_exponent, constant


def case_rows(name, repeats, exponent):
    """Rows of the report for a case: coverage of both, width of the exponent's interval."""
    table = pd.DataFrame(repeats)
    rows = []
    for of in ("exponent", "constant"):
        held = table[f"{of}_covered"]
        share = binomial_share(int(held.sum()), len(held), 0.95)
        kept = row(
            f"{name} ({len(held)}): 90 % intervals that hold the {of}",
            "share",
            share.value,
            LEAST,
            "higher",
            low=share.low,
            high=share.high,
        )
        rows.append(kept | {"met": LEAST <= share.value <= MOST})
    width = table.exponent_width
    rows.append(
        row(
            f"{name} ({len(width)}): median width of the exponent's interval, over the exponent",
            "ratio",
            float(width.median()) / exponent,
            WIDEST,
            "lower",
            low=float(width.quantile(0.05)) / exponent,
            high=float(width.quantile(0.95)) / exponent,
        )
    )
    return rows


def stream_rows(popularity, kind, curves, repeats):
    """Rows of the range that theory sets; prints what other ranges would have given."""
    sizes, excess, exponent, constant = exact_excess(popularity, kind)
    first, shown = near_from(sizes, excess, exponent), []
    curves = np.reshape(curves, (repeats, STREAM_REPLICAS, len(sizes)))
    for start in range(min(first + 2, len(sizes) - 3)):
        found = [recovered(sizes[start:], y[:, start:], exponent, constant) for y in curves]
        shown.append([sizes[start], len(sizes) - start, start == first])
        shown[-1] += list(pd.DataFrame(found).mean().round(3))
        if start == first:
            rows = case_rows(f"streams, {kind}, exponent {exponent:.3g}", found, exponent)
    columns = ["from", "sizes", "by theory", *found[0]]
    print(f"streams, {kind}, exponent {exponent:.3g}, means over {repeats} repeats, by range:")
    print(pd.DataFrame(shown, columns=columns).to_string(index=False), "\n")
    return rows


def rows(made_repeats: int = 200, stream_repeats: int = 40) -> list[dict]:
    """All rows of this module."""
    streams = [(0.5, "data"), (1.0, "data"), (0.5, "rows")]
    seeds = range(stream_repeats * STREAM_REPLICAS)
    report = []
    with Parallel(n_jobs=-1) as parallel:
        for name, settings in MADE.items():
            found = parallel(delayed(made_repeat)(seed, settings) for seed in range(made_repeats))
            report += case_rows(f"made, {name}", found, settings.get("exponent", 0.3))
        for popularity, kind in streams:
            curves = parallel(delayed(stream_curve)(popularity, kind, seed) for seed in seeds)
            report += stream_rows(popularity, kind, curves, stream_repeats)
    return report
