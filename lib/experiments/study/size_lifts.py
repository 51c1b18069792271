"""Growth with FLOPs, and what sizes earn over the base, in each system of a study (4.2, 5.1)."""

import numpy as np
import pandas as pd

from lib.experiments.study.table import average
from lib.laws.bnsl import BNSL
from lib.laws.growth import growth_per_doubling
from lib.validation.systems import LEAST_SYSTEMS, AcrossSystems
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
    law, g = _law_and_g(trainings, metric, draws, seed)
    return g.over_base(law, relative_flops, 1.0, draws, seed)


def lifts_across_systems(
    trainings: pd.DataFrame, relative_flops: np.ndarray, **settings
) -> AcrossSystems:
    """`lifts_by_system` as the mean of systems like these, [sizes].

    Raises: ValueError for fewer than 3 systems.
    """
    lifts = lifts_by_system(trainings, relative_flops, **settings)
    if len(lifts) < LEAST_SYSTEMS:
        raise ValueError(
            f"{trainings.attrs.get('path', 'trainings')}: needs {LEAST_SYSTEMS} systems or more "
            f"(column world); got {', '.join(lifts.index)}"
        )
    return AcrossSystems(lifts)


def lifts_by_system(
    trainings: pd.DataFrame,
    relative_flops: np.ndarray,
    *,
    metric: str = "r_over_r_star",
    draws: int = 1000,
    seed: int = 0,
) -> pd.DataFrame:
    """Lifts of `lifts_of_sizes` in each system of a study: a row a system, a column a size.

    Args:
      trainings: a study's rows; systems at points of a dial are left out.
      relative_flops, metric: as for `lifts_of_sizes`; draws, seed: of the lines that G's is the
        median of.

    Returns: DataFrame [systems, sizes], the systems' names as index.
    """
    lifts = {}
    for world, part in _systems(trainings):
        law, g = _law_and_g(part, metric, draws, seed)
        lifts[world] = g.lifts_over_base(law, relative_flops, 1.0)
    return pd.DataFrame(lifts).T


def law_of_sizes(trainings: pd.DataFrame, metric: str = "r_over_r_star") -> BNSL:
    """The law of a metric in one system, fitted to all trainings of sizes and of the base.

    Args:
      trainings: a system's rows, one a training; of a table with a column `set`, the primary ones.
      metric: column that the law predicts.

    Returns: the law of FLOPs over the base's; trainings of equal FLOPs are one group.
    Raises: ValueError where the system has no training of the base (kind "none").
    """
    sizes, base_flops = _sizes(trainings)
    return BNSL(monotone=True).fit(sizes.flops / base_flops, sizes[metric], groups=sizes.flops)


def law_warnings(trainings: pd.DataFrame, metric: str = "r_over_r_star") -> dict[str, list[str]]:
    """What the laws behind `lifts_by_system` say of themselves (`BNSL.warnings_`).

    Args:
      trainings, metric: as for `lifts_by_system`.

    Returns: {system: its law's warnings}, of the systems whose law has any.
    """
    warnings = {world: law_of_sizes(part, metric).warnings_ for world, part in _systems(trainings)}
    return {world: texts for world, texts in warnings.items() if texts}


def largest_size(trainings: pd.DataFrame) -> float:
    """FLOPs of the largest size that every system has trained, over the base's."""
    return min(
        sizes.flops.max() / base_flops
        for sizes, base_flops in (_sizes(part) for _, part in _systems(trainings))
    )


def growth_by_system(trainings: pd.DataFrame, metric: str = "r_over_r_star") -> pd.Series:
    """A metric's change each time a model's FLOPs double, in each system of a study.

    Args:
      trainings: as for `lifts_by_system`; the sizes of the primary set count.

    Returns: Series, the systems' names as index.
    """
    growth = {}
    for world, part in _systems(trainings):
        sizes, _ = _sizes(part)
        growth[world] = growth_per_doubling(sizes.flops, sizes[metric]).per_doubling
    return pd.Series(growth)


def _law_and_g(trainings, metric, draws, seed):
    law = law_of_sizes(trainings, metric)
    primary = average(trainings[trainings.set == "primary"])
    return law, fit_revenue_model(primary, metric, draws=draws, seed=seed)


def _sizes(trainings):
    """A system's trainings that a law is fitted to, and the base's FLOPs."""
    primary = trainings[trainings.set == "primary"] if "set" in trainings else trainings
    base = primary[primary.kind == "none"]
    if base.empty:
        system = trainings.world.iloc[0] if "world" in trainings else "trainings"
        raise ValueError(
            f"{system}: needs a training of the base (kind 'none') in the primary set; the "
            f"kinds are {', '.join(map(str, primary.kind.unique()))}"
        )
    return primary[primary.kind.isin(SIZES)], base.flops.iloc[0]


def _systems(trainings):
    plain = trainings[trainings.dial.fillna("") == ""] if "dial" in trainings else trainings
    return plain.groupby("world", sort=False)
