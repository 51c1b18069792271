"""Revenue lifts of sizes that neither the law nor G has seen (section 4.2, last paragraph)."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import stats

from lib.experiments.study.table import average
from lib.infra.intervals import check_interval, interval_bounds
from lib.laws.bnsl import BNSL
from lib.validation.concave_revenue_model import fit_better

LEAST_MODELS = 4  # sizes that a law, and models of other kinds that G, is fitted to


def predict_lifts(
    trainings: pd.DataFrame,
    held_out: Sequence[str],
    *,
    metric: str = "r_over_r_star",
    interval: float = 0.9,
    draws: int = 4000,
    seed: int = 0,
) -> pd.DataFrame:
    """G(law(FLOPs)) of sizes held out, beside what tests measured, in each world that has all.

    The law is fitted to the trainings of all other sizes (kinds "size" and "none"), G to the
    models that differ from the base in anything but size (kind not "size"), so that no test
    of a size takes part in its prediction; G is a line, or a parabola where that predicts left-out
    models better. A predicted interval covers the uncertainty of the law
    and of G, how far single models lie off G's line, and the errors of the measurement beside it:
    sampling of users, and seeds of training.

    Args:
      trainings: a study's rows (`lib.experiments.study.run`), one a training; models of the set
        "held_out" count as measurements only, those of "primary" for the fits.
      held_out: names of models, none of which is fitted.
      metric: column that the law predicts and G starts from, with its standard error in `_se`.
      interval: probability of the intervals; draws, seed: of laws and lines.

    Returns: DataFrame, one row a world and held-out model: world, model, flops, trainings,
      metric_predicted, metric_measured, predicted, low, high (lifts), by_measured_metric (G of
      metric_measured), measured, measured_low, measured_high, inside.
    Raises: ValueError for a metric that is not a column, where no world has trainings of all the
      held-out models (naming the models of the table), or where a world has fewer than 4 sizes,
      or 4 models of other kinds, to fit.
    """
    check_interval(interval, "predict_lifts: interval")
    for column in (metric, f"{metric}_se"):
        if column not in trainings:
            raise ValueError(
                f"predict_lifts: metric {metric!r} needs a column {column}; "
                f"the table has {', '.join(map(str, trainings.columns))}"
            )
    trainings = trainings[trainings.dial.fillna("") == ""] if "dial" in trainings else trainings
    tested = trainings[trainings.set.isin(["held_out", "primary"])].drop_duplicates(
        ["world", "model", "seed"]
    )  # a seed of both sets is one training
    worlds = {
        world: part
        for world, part in tested.groupby("world", sort=False)
        if set(held_out) <= set(part.model)
    }
    if not (worlds and held_out):
        raise ValueError(
            f"predict_lifts: no world has trainings of all of {held_out}; the models "
            f"are {', '.join(map(str, tested.model.unique()))}"
        )
    predictions = []
    for world, part in worlds.items():
        is_held_out = part.model.isin(held_out)
        measured = average(part[is_held_out].assign(set="held_out"))
        fitted = part[(part.set == "primary") & ~is_held_out]
        predictions.append(_predict(world, fitted, measured, metric, interval, draws, seed))
    return pd.concat(predictions, ignore_index=True)


class Skill(NamedTuple):
    """What predicted lifts are worth beside predicting none; lifts are fractions of revenue.

    Attributes:
      error: mean absolute error of the predictions; no_lift: of predicting that nothing changes.
      saved: no_lift less error; low, high: Student's t interval over worlds (NaN for one world).
      bias: mean of predicted less measured.
      law_bias, g_bias: its parts, what the law's metric moves the prediction by, and what G of the
        measured metric is off by. They may cancel.
      g_error: mean absolute error of G of the measured metric.
      worlds: number of worlds.
    """

    error: float
    no_lift: float
    saved: float
    low: float
    high: float
    bias: float
    law_bias: float
    g_bias: float
    g_error: float
    worlds: int


def skill(lifts: pd.DataFrame, interval: float = 0.9) -> Skill:
    """How much better the lifts of sizes not seen are predicted than by "no lift".

    Args:
      lifts: of `predict_lifts`; interval: probability of that of `saved`.

    >>> table = pd.DataFrame({"world": list("AB"), "predicted": [0.02, 0.03],
    ...                       "measured": [0.01, 0.03], "by_measured_metric": [0.04, 0.03]})
    >>> [round(value, 3) for value in skill(table)[:3]], round(skill(table).law_bias, 3)
    ([0.005, 0.02, 0.015], -0.01)
    """
    check_interval(interval, "skill: interval")
    error, size = (lifts.predicted - lifts.measured).abs(), lifts.measured.abs()
    saved = (size - error).groupby(lifts.world).mean()
    half = np.nan
    if len(saved) > 1:
        half = stats.t(len(saved) - 1).ppf((1 + interval) / 2) * saved.sem()
    g = lifts.by_measured_metric - lifts.measured
    return Skill(
        error=float(error.mean()),
        no_lift=float(size.mean()),
        saved=float(saved.mean()),
        low=float(saved.mean() - half),
        high=float(saved.mean() + half),
        bias=float((lifts.predicted - lifts.measured).mean()),
        law_bias=float((lifts.predicted - lifts.by_measured_metric).mean()),
        g_bias=float(g.mean()),
        g_error=float(g.abs().mean()),
        worlds=len(saved),
    )


def _predict(world, fitted, held_out, metric, interval, draws, seed):
    """Rows of `predict_lifts` of one world.

    fitted: trainings that law and G are fitted to; held_out: a row a model that is predicted.
    """
    sizes = fitted[fitted.kind.isin(["size", "none"])]
    others = average(fitted[fitted.kind != "size"])
    for count, what in ((sizes.flops.nunique(), "sizes"), (len(others), "models of other kinds")):
        if count < LEAST_MODELS:
            raise ValueError(
                f"predict_lifts: {world} has {count} {what} to fit; expected {LEAST_MODELS} or more"
            )
    law = BNSL(direction="rising", bound=1.0).fit(sizes.flops, sizes[metric], groups=sizes.flops)
    errors = others[f"{metric}_se"], others.revenue_lift_se
    g = fit_better(others[metric], others.revenue_lift, *errors, draws=draws, seed=seed)
    flops, rng = held_out.flops.to_numpy(float), np.random.default_rng(seed)
    seed_error = held_out.revenue_lift_spread.fillna(0) / np.sqrt(held_out.trainings)
    error = np.hypot(held_out.revenue_lift_se, seed_error).to_numpy()
    noise = np.hypot(g.scatter_[:, None], error) * rng.normal(size=(draws, len(held_out)))
    low, high = interval_bounds(g.sample(law.sample(flops, draws, seed)) + noise, interval)
    half = stats.norm.ppf((1 + interval) / 2) * error
    measured, metric_predicted = held_out.revenue_lift, law.predict(flops)
    return pd.DataFrame(
        {
            "world": world,
            "model": held_out.model,
            "flops": held_out.flops,
            "trainings": held_out.trainings,
            "metric_predicted": metric_predicted,
            "metric_measured": held_out[metric],
            "predicted": g.predict(metric_predicted),
            "low": low,
            "high": high,
            "by_measured_metric": g.predict(held_out[metric]),
            "measured": measured,
            "measured_low": measured - half,
            "measured_high": measured + half,
            "inside": (low <= measured) & (measured <= high),
        }
    )
