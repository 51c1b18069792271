"""What was predicted and chosen, held against the deployed test."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from scipy import stats

from lib.infra.intervals import interval_bounds
from lib.simulation.ab_tests import ratio_of_sums


class Options(NamedTuple):
    """What could be chosen in a draw, and what is; made before any of it is deployed.

    Attributes:
      names: of the options.
      predicted: lifts over today [options]; draws: of what one training of each would earn,
        [draws, options].
      cost: beyond today's, currency per hour, [options]; inf: cannot be chosen.
      today, chosen: places of today's sizes and of the chosen option.
    """

    names: list[str]
    predicted: np.ndarray
    draws: np.ndarray
    cost: np.ndarray
    today: int
    chosen: int


def pairs(towers: Options, sizes: Options, budget: float) -> Options:
    """All pairs of two stages' sizes, whose lifts and costs are added up as in Eq 9.

    Args:
      towers, sizes: of the stages, each with its part of the chosen pair; their draws are
        independent.
      budget: the most that a pair may cost beyond today, currency per hour.

    >>> stage = Options(["a", "b"], np.array([0, 0.1]), np.zeros((3, 2)), np.array([0, 5.0]), 0, 1)
    >>> both = pairs(stage, stage, budget=7)
    >>> both.names[both.chosen], both.predicted.tolist(), both.cost.tolist()
    ('b + b', [0.0, 0.1, 0.1, 0.2], [0.0, 5.0, 5.0, inf])
    """
    count = len(sizes.names)
    cost = (towers.cost[:, None] + sizes.cost).ravel()
    return Options(
        [f"{tower} + {size}" for tower in towers.names for size in sizes.names],
        (towers.predicted[:, None] + sizes.predicted).ravel(),
        (towers.draws[:, :, None] + sizes.draws[:, None]).reshape(len(sizes.draws), -1),
        np.where(cost <= budget, cost, np.inf),
        towers.today * count + sizes.today,
        towers.chosen * count + sizes.chosen,
    )


def held_against(
    predicted: float,
    draws: np.ndarray,
    revenue: np.ndarray,
    base: np.ndarray,
    interval: float = 0.9,
    seed: int = 0,
) -> dict[str, Any]:
    """A predicted lift beside the measured one.

    Args:
      predicted: lift; draws: of what one training would earn, [draws].
      revenue, base: of the users of the new arm and of today's, [users].
      interval: probability of both intervals; seed: of the test's error, which every draw gets.

    Returns: predicted, low, high (of what such a test would measure), measured, measured_se,
      measured_low, measured_high, inside.

    >>> row = held_against(0.9, np.linspace(0.5, 1.5, 11), np.array([1.0, 3.0]), np.ones(2))
    >>> row["measured"], row["inside"], row["low"] < 0.5 < 1.5 < row["high"]
    (1.0, True, True)
    """
    measured, error = ratio_of_sums(revenue - base, base)
    noise = error * np.random.default_rng([seed, 3]).normal(size=len(draws))
    low, high = interval_bounds(draws + noise, interval)
    half = stats.norm.ppf((1 + interval) / 2) * error
    return {
        "predicted": float(predicted),
        "low": float(low),
        "high": float(high),
        "measured": measured,
        "measured_se": error,
        "measured_low": float(measured - half),
        "measured_high": float(measured + half),
        "inside": bool(low <= measured <= high),
    }


class Regret(NamedTuple):
    """How much more the best option would have earned than the chosen one.

    Attributes:
      best: its place among the options.
      value, standard_error: fractions of today's revenue, means over trainings. The best one is
        picked by the test that measures it, so that its luck counts as regret.
      crossed: picked by one training of every option and measured by the others, mean over
        trainings; without the luck of training. NaN where each option is trained once.
    """

    best: int
    value: float
    standard_error: float
    crossed: float


def regret(
    revenue: np.ndarray, today: int, chosen: int, pick: Callable[[np.ndarray], int]
) -> Regret:
    """Regret of a choice by the deployed test.

    Args:
      revenue: of the users, [trainings, options, users].
      today, chosen: places of today's and of the chosen option.
      pick: lifts [options] -> place of the best option that may be chosen.

    >>> users = np.array([[1.0, 1.0], [1.0, 1.2], [1.2, 1.2]])  # of three options
    >>> round(regret(users[None], 0, 1, np.argmax).value, 3)
    0.1
    """
    base = revenue[0, today]
    lifts = revenue.sum(axis=-1) / base.sum() - 1
    mean = revenue.mean(axis=0)
    best = int(pick(lifts.mean(axis=0)))
    value, error = ratio_of_sums(mean[best] - mean[chosen], base)
    crossed = np.nan
    if len(lifts) > 1:
        others = [np.delete(lifts, i, axis=0).mean(axis=0) for i in range(len(lifts))]
        crossed = np.mean(
            [
                other[int(pick(one))] - other[chosen]
                for one, other in zip(lifts, others, strict=True)
            ]
        )
    return Regret(best, value, error, float(crossed))


def compare(
    options: Options,
    revenue: np.ndarray,
    pick: Callable[[np.ndarray], int],
    interval: float = 0.9,
    seed: int = 0,
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """All options held against the deployed test of the first training, and the chosen one.

    Args:
      revenue, pick: as for `regret`; interval, seed: as for `held_against`.

    Returns: (a row an option: option, today, chosen and what `held_against` says; the row of the
      choice: chosen, stays (whether it is today's), the same, best, and `Regret`).
    """
    base = revenue[0, options.today]
    table = pd.DataFrame(
        [
            {
                "option": name,
                "today": i == options.today,
                "chosen": i == options.chosen,
                **held_against(
                    options.predicted[i], options.draws[:, i], revenue[0, i], base, interval, seed
                ),
            }
            for i, name in enumerate(options.names)
        ]
    )
    lost = regret(revenue, options.today, options.chosen, pick)
    own = table.iloc[options.chosen].drop(["option", "today", "chosen"])
    return table, {
        "chosen": options.names[options.chosen],
        "stays": options.chosen == options.today,
        **own.to_dict(),
        "best": options.names[lost.best],
        "regret": lost.value,
        "regret_se": lost.standard_error,
        "regret_crossed": lost.crossed,
    }
