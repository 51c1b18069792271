"""Laws on made curves, of their own family and of kinds outside it, with sizes held out beyond.

A part of `benchmarks.laws`. What each kind is made of was written down once and stayed; the
parameters of a curve are drawn from its seed. Sizes lie even in x or in log x over a factor of 20
to 1,000; held out is what follows, up to twice the largest.
"""

from time import perf_counter
from typing import NamedTuple

import numpy as np
import pandas as pd

from benchmarks.report import coverage_row, rmsle, row, spread
from lib.laws import BNSL, BasinHoppingBNSL
from lib.laws.curve import bnsl

HELD_OUT = np.geomspace(1.1, 2.0, 8)  # times the largest x


class Made(NamedTuple):
    """A made curve: measurements, and new ones beyond them with the truth they scatter about."""

    x: np.ndarray
    y: np.ndarray
    x_new: np.ndarray
    y_new: np.ndarray
    truth: np.ndarray
    rising: bool = False
    bound: float | None = None


def sizes(rng, points, factor=None):
    """x from 1: even in x or in log x, [points]."""
    top = np.exp(rng.uniform(np.log(20), np.log(1000))) if factor is None else factor
    return np.linspace(1.0, top, points) if rng.random() < 0.5 else np.geomspace(1.0, top, points)


def draw_law(rng, breaks, top):
    """A falling law of Eq 6 from 1 at x = 1 towards a floor, breaks inside the range."""
    floor = rng.uniform(0.0, 0.7)
    while True:
        law = {
            "a": floor,
            "b": 1 - floor,
            "c0": rng.uniform(0.1, 0.6),
            "c": rng.uniform(-0.3, 0.4, breaks),
            "d": np.exp(rng.uniform(0.2, 0.8, breaks) * np.log(top)),
            "f": rng.uniform(0.1, 0.6, breaks),
        }
        if (
            law["c0"] + law["c"].sum() > 0.08
            and law["c0"] + min(np.cumsum(law["c"]), default=0) > 0
        ):
            return law


def noise_of(rng):
    """Standard deviation of log y, from .1 % to 3 %."""
    return np.exp(rng.uniform(np.log(0.001), np.log(0.03)))


def of_law(rng, points, breaks=0, errors=None, change=None):
    """A law with noise; `errors(rng, n, noise)` draws log errors, white by default."""
    x = sizes(rng, points)
    law, noise = draw_law(rng, breaks, x[-1]), noise_of(rng)
    x_new = x[-1] * HELD_OUT
    every = np.append(x, x_new)
    error = (errors or white)(rng, len(every), noise)
    truth = bnsl(every, **law)
    y = truth * np.exp(error)
    if change:
        y = change(rng, y, points)
    return Made(x, y[:points], x_new, y[points:], truth[points:])


def white(rng, n, noise):
    return noise * rng.normal(size=n)


def heavy(rng, n, noise):
    return noise * rng.standard_t(3, size=n) / np.sqrt(3)


def autocorrelated(rng, n, noise):
    """AR(1) along the points, correlation .5 to .95 between neighbours."""
    keep = rng.uniform(0.5, 0.95)
    error = noise * rng.normal(size=n)
    for i in range(1, n):
        error[i] = keep * error[i - 1] + np.sqrt(1 - keep**2) * error[i]
    return error


def spikes(rng, y, points):
    """Loss spikes: one to three in a hundred points, +10 to +50 %."""
    where = rng.choice(points, size=max(1, round(points * rng.uniform(0.01, 0.03))), replace=False)
    y = y.copy()
    y[where] *= 1 + rng.uniform(0.1, 0.5, len(where))
    return y


def learning_rate_decay(rng, points):
    """A training under a cosine schedule: loss falls faster as the rate does.

    L = a + b S^-c - k A, S the sum of the rate, A what momentum of the decay has gathered (Tissue
    et al. 2024, arXiv:2408.11029). Points reach 50 to 80 % of the schedule; held out is the rest,
    at most twice the last point.
    """
    top = np.exp(rng.uniform(np.log(20), np.log(1000)))
    reach = rng.uniform(0.5, 0.8)
    fine = np.linspace(0.0, 1.0, 4001)[1:]
    rate = 0.55 + 0.45 * np.cos(np.pi * fine)
    fed = np.cumsum(rate) * (fine[0])
    momentum, drop = 0.0, np.empty_like(fine)
    memory = np.exp(-fine[0] / rng.uniform(0.02, 0.1))
    for i, fall in enumerate(-np.diff(rate, prepend=rate[0])):
        momentum = memory * momentum + fall
        drop[i] = momentum
    drop = np.cumsum(drop)
    floor, power = rng.uniform(0.3, 0.7), rng.uniform(0.2, 0.6)
    unit = fed[np.searchsorted(fine, reach / top)]
    loss = floor + (1 - floor) * (fed / unit) ** -power
    loss -= rng.uniform(0.02, 0.1) * drop / drop[-1]
    x = sizes(rng, points, factor=top)
    x_new = x[-1] * np.geomspace(1.05, min(2.0, 1 / reach), 8)
    every = np.append(x, x_new) / top * reach
    truth = np.interp(every, fine, loss)
    y = truth * np.exp(white(rng, len(every), noise_of(rng)))
    return Made(x, y[:points], x_new, y[points:], truth[points:])


def warm_up(rng, points):
    """The rate rises linearly over the first 2 to 10 % of the training: the start falls late."""
    x = sizes(rng, points)
    end = rng.uniform(0.02, 0.1) * x[-1]
    every = np.append(x, x[-1] * HELD_OUT)
    fed = np.where(every < end, every**2 / (2 * end), every - end / 2)
    floor, power = rng.uniform(0.0, 0.7), rng.uniform(0.2, 0.6)
    truth = floor + (1 - floor) * (1 + fed / fed[0]) ** -power
    y = truth * np.exp(white(rng, len(every), noise_of(rng)))
    return Made(x, y[:points], every[points:], y[points:], truth[points:])


def few_flat(rng, points=None):
    """Six to nine sizes whose whole change is a half to three times the noise."""
    points = int(rng.integers(6, 10))
    x = np.geomspace(1.0, np.exp(rng.uniform(np.log(20), np.log(1000))), points)
    every, noise = np.append(x, x[-1] * HELD_OUT), noise_of(rng)
    change = noise * rng.uniform(0.5, 3.0)
    power = rng.uniform(0.1, 0.6)
    truth = 1 + change * (every**-power - x[-1] ** -power) / (1 - x[-1] ** -power)
    y = truth * np.exp(white(rng, len(every), noise))
    return Made(x, y[:points], every[points:], y[points:], truth[points:])


def near_bound(rng, points):
    """A share that nears 1: measured on 300 to 30,000 cases, binomial noise."""
    x = sizes(rng, points)
    every = np.append(x, x[-1] * HELD_OUT)
    missing = rng.uniform(0.05, 0.4) * every ** -rng.uniform(0.1, 0.6)
    cases = int(np.exp(rng.uniform(np.log(300), np.log(30000))))
    y = rng.binomial(cases, 1 - missing) / cases
    return Made(x, y[:points], every[points:], y[points:], 1 - missing[points:], True, 1.0)


KINDS = {
    "power law": of_law,
    "one break": lambda rng, points: of_law(rng, points, 1),
    "two breaks": lambda rng, points: of_law(rng, points, 2),
    "heavy tails": lambda rng, points: of_law(rng, points, 0, heavy),
    "autocorrelated": lambda rng, points: of_law(rng, points, 0, autocorrelated),
    "loss spikes": lambda rng, points: of_law(rng, points, 0, None, spikes),
    "learning-rate decay": learning_rate_decay,
    "warm-up": warm_up,
    "few flat points": few_flat,
    "near its bound": near_bound,
}
POINTS = (8, 15, 40, 100)


def made_curves(kind, count, seed=0):
    """`count` curves of a kind, with 8, 15, 40 and 100 points by turns."""
    number = list(KINDS).index(kind)
    return [
        KINDS[kind](np.random.default_rng([seed, number, i]), POINTS[i % len(POINTS)])
        for i in range(count)
    ]


def power_law(x):
    """The made curve of which dense and noisy points are drawn."""
    return 2 + 3 * (x / 1e9) ** -0.5


DENSE = {  # points and noise: errors at twice the largest x
    "100 even in x, .3 %": (np.linspace(1e9, 1e11, 100), 0.003, 0.0226),
    "100 even in x, 1 %": (np.linspace(1e9, 1e11, 100), 0.01, 0.0392),
    "100 even in log x, 1 %": (np.geomspace(1e9, 1e11, 100), 0.01, 0.0221),
    "20 even in log x, 1 %": (np.geomspace(1e9, 1e11, 20), 0.01, 0.0076),
    "10 even in log x, 1 %": (np.geomspace(1e9, 1e11, 10), 0.01, 0.0148),
}


def ideal_half_width(x, x_new, noise):
    """Of a 90 % interval in log y by least squares that knows the noise and the form a + b x^-c."""
    u = np.log(np.append(x, x_new) / 1e9)
    share = 3 * np.exp(-0.5 * u) / (2 + 3 * np.exp(-0.5 * u))
    slopes = np.column_stack([1 - share, share, -share * u])
    known, new = slopes[:-1], slopes[-1]
    return 1.645 * noise * np.sqrt(1 + new @ np.linalg.inv(known.T @ known) @ new)


def dense_rows(seeds=200):
    """Dense, noisy points of a power law: error, coverage and width at twice the largest x."""
    rows = []
    for name, (x, noise, before) in DENSE.items():
        errors, held, half = [], [], []
        for seed in range(seeds):
            rng = np.random.default_rng(seed)
            y = power_law(x) * (1 + noise * rng.normal(size=len(x)))
            new = power_law(2 * x[-1]) * (1 + noise * rng.normal())
            mean, low, high = BNSL().fit(x, y).predict(2 * x[-1], interval=0.9)
            errors.append(abs(np.log(mean / power_law(2 * x[-1]))))
            held.append(low <= new <= high)
            half.append(np.log(high / low) / 2)
        low, high = spread(np.array(errors))
        rows.append(
            row(
                f"power law, {name} noise: mean error of log y",
                "log y",
                np.mean(errors),
                0.003 if len(x) == 100 else before,
                "lower",
                baseline=before,
                name="before weights came from a smooth",
                low=low,
                high=high,
            )
        )
        rows.append(coverage_row(f"power law, {name} noise: coverage", np.array(held, float)))
        width = np.median(half) / ideal_half_width(x, 2 * x[-1], noise)
        rows.append(
            row(
                f"power law, {name} noise: width over the ideal interval's",
                "ratio",
                width,
                1.5,
                "lower",
            )
        )
    return rows


def made_rows(curves=60):
    """Coverage and error on made curves of every kind, seeds that chose nothing."""
    rows, shown = [], []
    for kind in KINDS:
        covered, errors, rivals, halves = [], [], [], []
        for made in made_curves(kind, curves, seed=2):
            shape = {"direction": "rising" if made.rising else "falling"}
            mean, low, high = (
                BNSL(bound=made.bound, **shape)
                .fit(made.x, made.y)
                .predict(made.x_new, interval=0.9)
            )
            hopped = BasinHoppingBNSL(1, hops=10, **shape).fit(made.x, made.y)
            errors.append(rmsle(mean, made.truth))
            predicted = hopped.predict(made.x_new)  # of a metric <= 0: it has none
            rivals.append(rmsle(predicted, made.truth) if np.all(predicted > 0) else np.nan)
            covered.append(np.mean((low <= made.y_new) & (made.y_new <= high)))
            halves.append(np.mean(np.log(high / low)) / 2)
        means = np.mean(errors), np.nanmean(rivals), np.mean(covered)
        shown.append([kind, *means, np.median(halves), np.isnan(rivals).sum()])
        rows.append(coverage_row(f"made curves, {kind} ({curves}): coverage", np.array(covered)))
        low, high = spread(np.array(errors))
        rows.append(
            row(
                f"made curves, {kind} ({curves}): mean RMSLE from the truth",
                "log y",
                np.mean(errors),
                np.nanmean(rivals),
                "lower",
                baseline=np.nanmean(rivals),
                name="basin-hopping, one break, 10 hops",
                low=low,
                high=high,
            )
        )
    columns = ["kind", "error", "basin-hopping", "coverage", "half width", "rival failed"]
    print(pd.DataFrame(shown, columns=columns).round(4).to_string(index=False), "\n")
    return rows


def spike_row(seeds=40):
    """One point of 100 at +40 %: what it does to the law at the others."""
    medians = []
    for seed in range(seeds):
        rng = np.random.default_rng(seed)
        x = np.geomspace(1e9, 1e11, 100) if seed % 2 else np.linspace(1e9, 1e11, 100)
        y, spike = power_law(x) * (1 + 0.01 * rng.normal(size=100)), rng.integers(100)
        y[spike] *= 1.4
        off = np.abs(np.log(BNSL().fit(x, y).predict(x) / power_law(x)))
        medians.append(np.median(np.delete(off, spike)))
    return row(
        "one point of 100 at +40 %: median error at the others, median over curves",
        "log y",
        np.median(medians),
        0.005,
        "lower",
        baseline=0.17,
        name="before points off all others lost weight",
        low=min(medians),
        high=max(medians),
    )


def timing_rows(repeats=30):
    """Wall time of one fit and of a first interval, points on a noisy power law."""
    rows = []
    for points, target in ((50, 5.0), (1000, 50.0)):
        rng = np.random.default_rng(points)
        x = np.geomspace(1e9, 1e11, points)
        y = power_law(x) * (1 + 0.01 * rng.normal(size=points))
        seconds, first = [], []
        for _ in range(repeats):
            law = BNSL(direction="falling")
            started = perf_counter()
            law.fit(x, y)
            seconds.append(perf_counter() - started)
            started = perf_counter()
            law.predict(2 * x[-1], interval=0.9)
            first.append(perf_counter() - started)
        rows.append(
            row(
                f"one fit, {points} points, median", "ms", 1e3 * np.median(seconds), target, "lower"
            )
        )
        print(
            f"{points} points: first interval, which makes the back-tests, "
            f"{1e3 * np.median(first):.1f} ms"
        )
    return rows


def made_curve_rows():
    """All rows of this module."""
    return [*timing_rows(), *dense_rows(), spike_row(), *made_rows()]
