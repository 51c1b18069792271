"""Real lists without a cascade: do metrics rank models as money on other sessions does?

Where nothing can be tested online, a metric cannot be held against revenue lift. What lists with
money still tell: of a population of models, which earns more on sessions that the metric has not
seen. Every resample draws sessions with replacement and deals the distinct ones into two halves,
one for the metric and one for the money, so that no session's luck is in both.
"""
import numpy as np
import pandas as pd


def rank_by_money(values, money, *, draws=1000, interval=0.9, seed=0):
    """How each metric, on half of the sessions, ranks models by the money of the other half.

    Args:
      values: metric name -> [models, sessions], NaN where undefined.
      money: [models, sessions], what a model's top m hold (`lib.metrics.captured`).
      draws, seed: of the resampled and dealt sessions; interval: probability of low and high.

    Returns: DataFrame, a row a metric: `kendall` (tau-b of the models' order), `low`, `high`, and
      `regret`, `regret_low`, `regret_high`: the share of the best model's money that is lost by
      taking the model that the metric prefers.
    Raises: ValueError for shapes that differ, fewer than 3 models or money below 0.

    >>> sure = np.array([[0.0], [1.0], [2.0]]) + np.zeros(50)
    >>> rank_by_money({"metric": sure}, sure, draws=20)[["kendall", "regret"]].values.tolist()
    [[1.0, 0.0]]
    """
    money = np.asarray(money, float)
    values = {name: np.asarray(value, float) for name, value in values.items()}
    for name, value in values.items():
        if value.shape != money.shape or money.ndim != 2 or len(money) < 3:
            raise ValueError("rank_by_money: needs [models, sessions] of 3 or more models; got "
                             f"{name} {value.shape} and money {money.shape}")
    if not (money >= 0).all():
        raise ValueError(f"rank_by_money: money must be >= 0; got {money.min()}")
    sessions, rng = money.shape[1], np.random.default_rng(seed)
    weights = rng.multinomial(sessions, np.full(sessions, 1 / sessions), draws)
    seen = rng.random((draws, sessions)) < 0.5
    earned = (weights * ~seen) @ money.T
    rows = []
    for name, value in values.items():
        defined = np.isfinite(value)
        score = ((weights * seen) @ np.where(defined, value, 0).T) / ((weights * seen) @ defined.T)
        taken = np.take_along_axis(earned, score.argmax(axis=1)[:, None], axis=1)[:, 0]
        rows.append({"metric": name} | _summary("kendall", _kendall(score, earned), interval)
                    | _summary("regret", 1 - taken / earned.max(axis=1), interval))
    return pd.DataFrame(rows).rename(columns={"kendall_low": "low", "kendall_high": "high"})


def _kendall(a, b):
    """Kendall's tau-b of each row, [draws, models] twice -> [draws]."""
    first, second = (np.sign(z[:, :, None] - z[:, None, :]) for z in (a, b))
    with np.errstate(invalid="ignore"):
        return (first * second).sum(axis=(1, 2)) / np.sqrt(
            (first**2).sum(axis=(1, 2)) * (second**2).sum(axis=(1, 2)))


def _summary(name, drawn, interval):
    tail = (1 - interval) / 2
    low, high = np.nanquantile(drawn, [tail, 1 - tail])
    return {name: float(np.nanmean(drawn)), f"{name}_low": float(low), f"{name}_high": float(high)}
