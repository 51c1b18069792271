"""How much traffic a test of a lift needs, and how many days: paired and unpaired.

The standard error of a lift falls with the root of the impressions. One test's error says what
any number of impressions gives, and a two-sided test of the lift at `level` has the asked power
where the lift is (z_{(1 + level) / 2} + z_power) errors.

*Unpaired*: users are split, each arm has its own. *Paired*: the same users and requests go to both
arms, as in a simulation or with requests replayed; what both arms share cancels.
"""

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy import special

from lib.infra.intervals import check_interval


def plan_tests(
    lifts: ArrayLike,
    standard_error: float,
    impressions: float,
    *,
    paired: bool,
    variance_ratio: float,
    impressions_per_day: float,
    power: float = 0.8,
    level: float = 0.95,
) -> pd.DataFrame:
    """Impressions and days of a test for lifts of given sizes.

    Args:
      lifts: that the test must be able to tell from 0, fractions, [lifts].
      standard_error: of the lift in a test made before, a fraction, such as the column
        revenue_lift_se of an ab_tests table; impressions: of an arm of that test.
      paired: whether that test was paired.
      variance_ratio: variance of an unpaired test over that of a paired one of as many impressions.
      impressions_per_day: that an arm can get.
      power: probability that a lift of this size is found; level: confidence of the test.

    Returns: DataFrame, rows of each lift paired and unpaired: lift, design ("paired" or
      "unpaired"), impressions (of an arm), days.
    Raises: ValueError for a lift of 0, for what must be > 0, and probabilities outside (0, 1).

    >>> plan_tests([0.01], 0.005, 1e6, paired=False, variance_ratio=100.0,
    ...            impressions_per_day=1e6).round(3)
       lift    design  impressions   days
    0  0.01    paired    19622.199  0.020
    1  0.01  unpaired  1962219.934  1.962
    """
    lifts = np.atleast_1d(np.asarray(lifts, float))
    check_interval(power, "plan_tests: power")
    check_interval(level, "plan_tests: level")
    if not (np.isfinite(lifts).all() and (lifts != 0).all()):
        raise ValueError(f"plan_tests: lifts must be numbers other than 0; got {lifts.tolist()}")
    positive = {
        "standard_error": standard_error,
        "impressions": impressions,
        "variance_ratio": variance_ratio,
        "impressions_per_day": impressions_per_day,
    }
    for name, value in positive.items():
        if not 0 < value < np.inf:
            raise ValueError(f"plan_tests: {name} must be > 0; got {value}")
    errors = special.ndtri((1 + level) / 2) + special.ndtri(power)
    needed = impressions * (errors * standard_error / lifts) ** 2
    rows = [
        {
            "lift": lift,
            "design": design,
            "impressions": count * variance_ratio ** ((design == "unpaired") - (not paired)),
        }
        for lift, count in zip(lifts, needed, strict=True)
        for design in ("paired", "unpaired")
    ]
    table = pd.DataFrame(rows)
    return table.assign(days=table["impressions"] / impressions_per_day)
