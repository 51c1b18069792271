"""Revenue lifts of sizes that neither the law nor G has seen (section 4.2, last paragraph)."""

import numpy as np
import pandas as pd
from scipy import stats

from lib.experiments.study.table import average
from lib.infra.intervals import check_interval, interval_bounds
from lib.laws.bnsl import BNSL
from lib.validation.revenue_model import LinearRevenueModel


def predict_lifts(
    trainings: pd.DataFrame,
    held_out: list[str],
    *,
    metric: str = "r_over_r_star",
    interval: float = 0.9,
    draws: int = 4000,
    seed: int = 0,
) -> pd.DataFrame:
    """G(law(FLOPs)) of sizes held out, beside what tests measured, in each world that has all.

    The law is fitted to the trainings of all other sizes (kinds "size" and "none"), G to the
    models that differ from the base in anything but size (kind not "size"), so that no test
    of a size takes part in its prediction. A predicted interval holds what is not known of the law
    and of G, how far single models lie off G's line, and the errors of the measurement that it is
    held against: sampling of users, and seeds of training.

    Args:
      trainings: a study's rows (`lib.experiments.study.run`), one a training; models of the set
        "held_out" count as measurements only, those of "primary" for the fits.
      held_out: names of models, none of which is fitted.
      metric: column that the law predicts and G starts from; its `_se` stands beside it.
      interval: probability of the intervals; draws, seed: of laws and lines.

    Returns: DataFrame, one row a world and held-out model: world, model, flops, trainings,
      metric_predicted, metric_measured, predicted, low, high (lifts), measured, measured_low,
      measured_high, inside.
    Raises: ValueError for an interval that is not between 0 and 1; where no world has trainings
      of all the held-out models, naming those that there are; where a world has fewer than 4
      sizes, or 4 models of other kinds, to fit.
    """
    check_interval(interval)
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
    rows = []
    for world, part in worlds.items():
        unseen = average(part[part.model.isin(held_out)].assign(set="held_out"))
        fitted = part[(part.set == "primary") & ~part.model.isin(held_out)]
        rows.append(_predict(world, fitted, unseen, metric, interval, draws, seed))
    return pd.concat(rows, ignore_index=True)


def _predict(world, fitted, unseen, metric, interval, draws, seed):
    sizes = fitted[fitted.kind.isin(["size", "none"])]
    others = average(fitted[fitted.kind != "size"])
    for count, what in ((sizes.flops.nunique(), "sizes"), (len(others), "models of other kinds")):
        if count < 4:
            raise ValueError(
                f"predict_lifts: {world} has {count} {what} to fit; expected 4 or more"
            )
    law = BNSL(direction="rising", bound=1.0).fit(sizes.flops, sizes[metric], groups=sizes.flops)
    g = LinearRevenueModel(draws, seed).fit(
        others[metric], others.revenue_lift, others[f"{metric}_se"], others.revenue_lift_se
    )
    flops, rng = unseen.flops.to_numpy(float), np.random.default_rng(seed)
    seed_error = unseen.revenue_lift_spread.fillna(0) / np.sqrt(unseen.trainings)
    error = np.hypot(unseen.revenue_lift_se, seed_error).to_numpy()
    noise = np.hypot(g.scatter_[:, None], error) * rng.normal(size=(draws, len(unseen)))
    low, high = interval_bounds(g.sample(law.sample(flops, draws, seed)) + noise, interval)
    half_width = stats.norm.interval(interval)[1] * error
    measured, metric_predicted = unseen.revenue_lift, law.predict(flops)
    return pd.DataFrame(
        {
            "world": world,
            "model": unseen.model,
            "flops": unseen.flops,
            "trainings": unseen.trainings,
            "metric_predicted": metric_predicted,
            "metric_measured": unseen[metric],
            "predicted": g.predict(metric_predicted),
            "low": low,
            "high": high,
            "measured": measured,
            "measured_low": measured - half_width,
            "measured_high": measured + half_width,
            "inside": (low <= measured) & (measured <= high),
        }
    )
