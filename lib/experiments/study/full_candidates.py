"""R/R* where no log selects: every candidate of a user ranked, the stage's own cut.

A log holds about ten of a thousand candidates, chosen by the system that wrote it, and none of
those that it kept out of Ranking has an eCPM. What that costs R/R* shows beside a metric of
complete lists. A platform could approximate it by sending all candidates of sampled requests to
Ranking.
"""

import numpy as np

from lib.metrics import ranking
from lib.simulation.cascade import System


def r_over_r_star(system: System, m: int) -> np.ndarray:
    """Eq 5 over complete candidate lists, one value a user, whose mean is the ratio of sums.

    The system's model keeps as many of a user's candidates as Pre-ranking's revenue pathway may
    send on; R is the eCPM of the best m of these, R* that of the best m of all, both by what
    Ranking predicts before a visit's noise. Their sums over users are divided, as
    revenues are.

    Args:
      system: `lib.simulation.System` with a model; m: ads.

    Returns: [users]; linearised, so that the standard error of the mean is the ratio's.
    """
    keep, _ = system.matched.world.parameters.pre_ranking_slots
    ecpm = np.exp(system.matched.log_ecpm.astype(float))
    return ranking.ratio_influence_values(*kept_and_best(system.scores, ecpm, max(keep, m), m))


def kept_and_best(scores, ecpm, keep: int, m: int) -> tuple[np.ndarray, np.ndarray]:
    """eCPM of the best m among the `keep` best by score, and of the best m of all, each [users].

    Args:
      scores, ecpm: [users, candidates].

    >>> kept_and_best(np.array([[3.0, 2.0, 1.0]]), np.array([[5.0, 10.0, 20.0]]), 2, 1)
    (array([10.]), array([20.]))
    """
    kept_index = np.argpartition(scores, -keep, axis=1)[:, -keep:]
    return _sum_of_best(np.take_along_axis(ecpm, kept_index, axis=1), m), _sum_of_best(ecpm, m)


def _sum_of_best(values, count):
    return np.partition(values, -count, axis=1)[:, -count:].sum(axis=1)
