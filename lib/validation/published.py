"""What the paper's Figures 3 to 6 report of each metric against revenue lift, and how surely."""

from typing import NamedTuple

import numpy as np
from scipy import stats

from lib.infra.intervals import check_interval

# The text does not say how many models the figures show (5 tests at a time, one day each). The
# largest deviation is 2.0 to 2.7 times the mean one in the four figures, as among some ten normal
# deviations (2.4 on average; 2.0 among five, 2.8 among twenty).
MODELS = 10


class Published(NamedTuple):
    """R² of the line, mean and largest deviation from it in points of lift (% of revenue)."""

    r_squared: float
    mean_deviation: float
    max_deviation: float


class Figure7(NamedTuple):
    """The law of R/R* over FLOPs: R² in sample, and of how many sizes."""

    r_squared: float
    sizes: int


FIGURES_3_TO_6 = {
    "r_over_r_star": Published(0.902, 0.243, 0.483),
    "ndcg": Published(0.793, 0.311, 0.819),
    "recall": Published(0.509, 0.534, 1.139),
    "opa": Published(0.140, 0.634, 1.690),
}


FIGURE_7 = Figure7(0.996, 10)


def r_squared_interval(
    r_squared: float, models: int = MODELS, interval: float = 0.9
) -> tuple[float, float]:
    """(low, high) of the R² of a line by Fisher's z, its models taken as a sample.

    Args:
      r_squared: between 0 and 1; models: 4 or more.

    >>> low, high = r_squared_interval(FIGURES_3_TO_6["r_over_r_star"].r_squared)
    >>> round(low, 2), round(high, 2)
    (0.7, 0.97)
    """
    if not 0 <= r_squared < 1 or models < 4:
        raise ValueError(
            "r_squared_interval: needs 0 <= r_squared < 1 of 4 or more models; got "
            f"{r_squared} of {models}"
        )
    half = stats.norm.ppf((1 + check_interval(interval)) / 2) / np.sqrt(models - 3)
    z = np.arctanh(np.sqrt(r_squared))
    low, high = np.tanh([max(z - half, 0.0), z + half]) ** 2
    return float(low), float(high)


def published_difference(first: str, second: str) -> float | None:
    """R² of one metric less another's in the paper's figures; None where it has not both.

    >>> published_difference("r_over_r_star", "ndcg")
    0.109
    """
    if not {first, second} <= FIGURES_3_TO_6.keys():
        return None
    return round(FIGURES_3_TO_6[first].r_squared - FIGURES_3_TO_6[second].r_squared, 3)
