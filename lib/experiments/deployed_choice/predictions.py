"""What a size is predicted to earn once one training of it is deployed, by law and G."""

import numpy as np
import pandas as pd

from lib.experiments.study.size_lifts import law_of_sizes
from lib.laws.bnsl import BNSL
from lib.validation.tested_models import fit_revenue_model


class SingleTrainings:
    """A law whose draws are what single trainings reach: each size lies off it by its noise.

    A choice rests on the law; what is deployed is one training of a size.

    Args:
      law: fitted `lib.laws.BNSL`.
    """

    def __init__(self, law: BNSL):
        self.law = law

    def predict(self, x: np.ndarray) -> np.ndarray:
        """The law itself."""
        return self.law.predict(x)

    def sample(self, x: np.ndarray, draws: int, seed: int = 0) -> np.ndarray:
        """Draws of the metric [draws, sizes]; equal sizes are one training."""
        sizes, place = np.unique(x, return_inverse=True)
        normal = np.random.default_rng([seed, 2]).normal(size=(draws, len(sizes)))
        return self.law.sample(x, draws, seed) * np.exp(self.law.noise_at(sizes) * normal)[:, place]


def predicted_lifts(
    trainings: pd.DataFrame,
    relative_flops: np.ndarray,
    *,
    metric: str = "r_over_r_star",
    draws: int = 1000,
    seed: int = 0,
) -> tuple[np.ndarray, np.ndarray]:
    """What sizes of a stage earn over today's, by law and G as in notebooks 04 and 05.

    The law is fitted to all trainings of sizes, G to all tested trainings, each a model of its own.

    Args:
      trainings: a stage of `Known`.
      relative_flops: of the sizes over today's, [sizes].
      metric: column that the law predicts; draws, seed: of laws, lines and single trainings.

    Returns: lifts [sizes], and draws [draws, sizes] of what one training of each would earn, which
      hold what is not known of law and G, how far trainings lie off the law and models off G.
    """
    law = law_of_sizes(trainings, metric)
    g = fit_revenue_model(trainings, metric, draws=draws, seed=seed)
    return g.over_base(SingleTrainings(law), relative_flops, 1.0, draws, seed)
