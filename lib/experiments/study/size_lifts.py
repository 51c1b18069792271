"""What sizes earn over the base, by law and G, in each system of a study (sections 4.2 and 5.1)."""

import numpy as np
import pandas as pd

from lib.experiments.study.table import average
from lib.laws.bnsl import BNSL
from lib.validation.tested_models import fit_revenue_model

SIZES = ("size", "none")  # kinds of models whose metric the law is fitted to


def lifts_of_sizes(
    trainings: pd.DataFrame,
    relative_flops: np.ndarray,
    *,
    metric: str = "r_over_r_star",
    draws: int = 1000,
    seed: int = 0,
) -> tuple[np.ndarray, np.ndarray]:
    """Lifts of sizes over the base in one system.

    The law is fitted to all trainings of sizes and of the base, G to all primary models.

    Args:
      trainings: a system's rows (`lib.experiments.study.run`), one a training.
      relative_flops: FLOPs of the sizes over the base's, [sizes].
      metric: column that the law predicts and G starts from.
      draws, seed: of laws and lines.

    Returns: lifts [sizes] and draws of them [draws, sizes].
    Raises: ValueError where the system has no training of the base (kind "none").
    """
    primary = trainings[trainings.set == "primary"]
    sizes = primary[primary.kind.isin(SIZES)]
    if not (sizes.kind == "none").any():
        raise ValueError(
            f"lifts_of_sizes: {trainings.world.iloc[0]} needs a training of the base (kind "
            f"'none'); the kinds are {', '.join(map(str, primary.kind.unique()))}"
        )
    base_flops = sizes.flops[sizes.kind == "none"].iloc[0]
    law = BNSL(monotone=True).fit(sizes.flops / base_flops, sizes[metric], groups=sizes.flops)
    g = fit_revenue_model(average(primary), metric, draws=draws, seed=seed)
    return g.over_base(law, np.asarray(relative_flops, float), 1.0, draws, seed)


def lifts_by_system(
    trainings: pd.DataFrame, relative_flops: np.ndarray, **settings
) -> pd.DataFrame:
    """`lifts_of_sizes` in each system of a study: a row a system, a column a size.

    Args:
      trainings: a study's rows; systems at points of a dial are left out.
      relative_flops: as for `lifts_of_sizes`; settings: its metric, draws and seed.

    Returns: DataFrame [systems, sizes], the systems' names as index.
    """
    plain = trainings[trainings.dial.fillna("") == ""] if "dial" in trainings else trainings
    return pd.DataFrame(
        {
            world: lifts_of_sizes(part, relative_flops, **settings)[0]
            for world, part in plain.groupby("world", sort=False)
        }
    ).T
