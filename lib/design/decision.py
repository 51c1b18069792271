"""A decision, not an argmax: what each size would cost if it were the wrong one.

Of many sizes nearly alike each is the best in few draws, and "share of draws best" says nothing.
Here every size is judged in all joint draws at once, in money per hour:

    value   revenue, as far as the best size that keeps the ROI bound earns it as well, less what
            the size falls short of the bound (roi_min x cost - revenue): that has to come from
            elsewhere
    regret  what the best size that keeps the bound earns in the same draw, less the value; >= 0,
            and 0 for that best size alone

A size that turns out not to meet the latency limit, or to cost beyond the base more than the system
earns, is not deployed: the base stays. (Close to the limit a draw may ask for any number of
machines, and one such draw would decide all means.) The smallest expected regret is the expected
value of perfect information, so no measurement is worth more.
"""

import dataclasses
import functools
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pandas as pd

from lib.design.size_economics import SizeEconomics
from lib.infra.intervals import check_interval, interval_bounds

BLOCK = 2**16  # values of [draws, sizes] at a time: they stay in a processor's cache


@dataclasses.dataclass(frozen=True)
class Decision:
    """Which size to build, from joint draws of revenue and cost, and how sure that is.

    Attributes:
      economics: `SizeEconomics`, its draws joint, its roi and roi_min those of the bound.
      confidence: probability with which the choice must keep the ROI bound.
      tolerance: fraction of revenue that would not matter.
      near_share: share of draws in which a size must lie within the tolerance of the best one to
        be called near-equivalent.

    >>> from lib.design.size_grids import Sizes
    >>> sizes = Sizes(np.array([[4, 2, 1], [8, 2, 1], [8, 4, 1]]), np.array([20, 36, 72]))
    >>> lift_draws = np.array([[0.0, 0.02, 0.03], [0.0, 0.02, 0.04], [0.0, 0.02, 0.02]])
    >>> cost_draws = np.tile([100.0, 110.0, 130.0], (3, 1))
    >>> economics = SizeEconomics(sizes, 0, lift_draws.mean(0), lift_draws, cost_draws[0],
    ...                           cost_draws, revenue_per_hour=1000.0)
    >>> decision = Decision(economics, confidence=0.9)
    >>> decision.choice, decision.probability_of_bound.round(2).tolist()
    (1, [1.0, 1.0, 0.67])
    >>> decision.regret.round(2).tolist()  # the third earns 10 or 20 more, or falls 10 short
    [30.0, 10.0, 3.33]
    """

    economics: SizeEconomics
    confidence: float = 0.9
    tolerance: float = 0.0005
    near_share: float = 0.9

    def __post_init__(self):
        check_interval(self.confidence, "Decision: confidence")
        check_interval(self.near_share, "Decision: near_share")
        if not self.tolerance >= 0:
            raise ValueError(f"Decision: tolerance must be >= 0; got {self.tolerance}")
        lifts, costs = (
            np.shape(getattr(self.economics, name)) for name in ("lift_draws", "machine_cost_draws")
        )
        if lifts != costs:
            raise ValueError(
                "Decision: lifts and costs must have been drawn together, as many draws of each; "
                f"got {lifts} and {costs}"
            )

    # ---- what a size is worth -------------------------------------------------

    @property
    def regret_draws(self) -> np.ndarray:
        """Of each size in each draw, currency per hour, [draws, sizes]; see the module's head."""
        return self._summary["draws"]

    @property
    def regret(self) -> np.ndarray:
        """Expected regret of choosing each size, currency per hour, [sizes]."""
        return self._summary["regret"]

    @property
    def expected_revenue(self) -> np.ndarray:
        """Mean over draws, currency per hour, [sizes]; incremental: beyond the base's."""
        return self._summary["revenue"]

    @property
    def expected_cost(self) -> np.ndarray:
        """Mean over draws, as `expected_revenue`; the base's where a size is not deployed."""
        return self._summary["cost"]

    @property
    def probability_of_bound(self) -> np.ndarray:
        """Share of draws in which a size is deployed and keeps the ROI bound, [sizes]."""
        return self._summary["meets"]

    @property
    def near_best(self) -> np.ndarray:
        """Share of draws in which a size's regret is within the tolerance, [sizes]."""
        return self._summary["near"]

    @property
    def near_equivalent(self) -> np.ndarray:
        """Sizes that are within the tolerance of the best one in `near_share` of draws, [sizes].

        It may hold none: then no size can be called as good as the best.
        """
        return self.near_best >= self.near_share

    # ---- the decision -----------------------------------------------------------

    @functools.cached_property
    def choice(self) -> int:
        """The size that earns most in expectation of those that keep the bound with confidence.

        Equal revenues go to the lower cost.

        Raises: ValueError where no size keeps it so surely; with an incremental ROI the base does.
        """
        return self._choose(self.expected_revenue, self.expected_cost, self.probability_of_bound)

    @functools.cached_property
    def least_regret(self) -> int:
        """The size of the smallest expected regret; equal ones go to the lower cost."""
        tied = self.regret <= self.regret.min() * (1 + 1e-12)
        return int(np.where(tied, self.expected_cost, np.inf).argmin())

    @property
    def perfect_information(self) -> float:
        """What knowing everything would be worth, currency per hour (EVPI)."""
        return float(self.regret.min())

    def contenders(self, count: int) -> list[int]:
        """Sizes worth a further look: the choice, the best of most draws, those of least regret.

        Half of them, or as many as there are, are the best one of some draw.
        """
        often = np.argsort(-self._summary["share_best"], kind="stable")
        often = often[self._summary["share_best"][often] > 0][: count // 2]
        near = np.argsort(self.regret, kind="stable")
        ordered = [self.choice, self.least_regret, *often.tolist(), *near.tolist()]
        return list(dict.fromkeys(ordered))[:count]

    def table(self) -> pd.DataFrame:
        """A row for each size: what it earns and costs in expectation, its regret, its chances."""
        sizes = self.economics.sizes
        return pd.DataFrame(
            {
                "size_parameters": sizes.size_parameters.tolist(),
                "flops": sizes.flops,
                "expected_revenue": self.expected_revenue,
                "expected_cost": self.expected_cost,
                "regret": self.regret,
                "probability_of_bound": self.probability_of_bound,
                "near_best": self.near_best,
                "near_equivalent": self.near_equivalent,
                "share_best": self._summary["share_best"],
            }
        )

    def frontier(self, limits: Sequence[float]) -> pd.DataFrame:
        """The choice, and what it earns, under other ROI bounds.

        Args:
          limits: values of roi_min, >= 0.

        Returns: DataFrame, a row for each: roi_min, size and size_parameters of the choice,
          revenue (expected), low and high (its interval, probability `economics.interval`), cost,
          probability_of_bound, and perfect: expected revenue of whoever knew each draw. Limits
          that no size keeps with the asked confidence have size -1 and NaN.
        Raises: ValueError for a limit below 0.
        """
        limits = np.asarray(limits, float)
        if not (limits >= 0).all():
            raise ValueError(f"frontier: limits must be >= 0; got {limits.tolist()}")
        count = len(self.economics.lift_draws)
        meets = np.zeros((len(limits), len(self.economics.lift)))
        perfect = np.zeros(len(limits))
        for _, revenue, cost, served in self._blocks():
            for place, limit in enumerate(limits):
                kept = served & (limit * cost <= revenue)
                meets[place] += kept.sum(axis=0)
                perfect[place] += self._best(revenue, kept).sum()
        rows = []
        for limit, chances, known in zip(limits, meets / count, perfect / count, strict=True):
            row = {"roi_min": limit, "size": -1, "perfect": known}
            if (chances >= self.confidence).any():
                index = self._choose(self.expected_revenue, self.expected_cost, chances)
                row |= {"size": index} | self._row(index) | {"probability_of_bound": chances[index]}
            rows.append(row)
        columns = ["roi_min", "size", "size_parameters", "revenue", "low", "high", "cost"]
        return pd.DataFrame(rows, columns=[*columns, "probability_of_bound", "perfect"])

    def revenue_of(self, index: int) -> np.ndarray:
        """What one size earns in each draw, as `expected_revenue`, [draws]."""
        return np.concatenate([revenue[:, index] for _, revenue, _, _ in self._blocks()])

    # ---- the draws, a block at a time ---------------------------------------------

    def _blocks(self) -> Iterator[tuple]:
        """(rows, revenue, cost, served) of successive draws; the base's where not deployed."""
        economics = self.economics
        draws, sizes = np.shape(economics.lift_draws)
        step = max(1, BLOCK // sizes)
        for start in range(0, draws, step):
            rows = slice(start, start + step)
            revenue, cost = economics.money(
                economics.lift_draws[rows], economics.machine_cost_draws[rows]
            )
            base = economics.base
            served = cost <= cost[:, [base]] + economics.revenue_per_hour
            if not served.all():
                revenue = np.where(served, revenue, revenue[:, [base]])
                cost = np.where(served, cost, cost[:, [base]])
            yield rows, revenue, cost, served

    def _best(self, revenue, meets):
        """Revenue of the best size that keeps the bound, the base's where none does, [draws]."""
        best = np.where(meets, revenue, -np.inf).max(axis=1)
        return np.where(np.isfinite(best), best, revenue[:, self.economics.base])

    @functools.cached_property
    def _summary(self):
        """What the properties read: means over draws [sizes], and all regrets."""
        draws, sizes = np.shape(self.economics.lift_draws)
        sums = {
            name: np.zeros(sizes)
            for name in ("revenue", "cost", "regret", "meets", "near", "share_best")
        }
        drawn = np.empty((draws, sizes))
        within = self.tolerance * self.economics.revenue_per_hour
        for rows, revenue, cost, served in self._blocks():
            shortfall = np.maximum(self.economics.roi_min * cost - revenue, 0.0)
            meets = served & (shortfall == 0)
            found = self._best(revenue, meets)
            regret = np.subtract(
                found[:, None], np.minimum(revenue, found[:, None]), out=drawn[rows]
            )
            regret += shortfall
            sums["revenue"] += revenue.sum(axis=0)
            sums["cost"] += cost.sum(axis=0)
            sums["regret"] += regret.sum(axis=0)
            sums["meets"] += meets.sum(axis=0)
            sums["near"] += (regret <= within).sum(axis=0)
            first = np.where(meets & (revenue == found[:, None]), cost, np.inf)
            places = first.argmin(axis=1)[np.isfinite(first).any(axis=1)]
            sums["share_best"] += np.bincount(places, minlength=sizes)
        means = {name: total / draws for name, total in sums.items()}
        return means | {"draws": drawn}

    def _choose(self, revenue, cost, chances):
        sure = chances >= self.confidence
        if not sure.any():
            raise ValueError(
                f"Decision: no size keeps roi_min = {self.economics.roi_min:g} with a confidence "
                f"of {self.confidence:g}; the highest probability is {chances.max():.3g}"
            )
        tied = sure & (revenue == revenue[sure].max())
        return int(np.where(tied, cost, np.inf).argmin())

    def _row(self, index):
        low, high = interval_bounds(self.revenue_of(index), self.economics.interval)
        return {
            "size_parameters": self.economics.sizes.size_parameters[index].tolist(),
            "revenue": self.expected_revenue[index],
            "low": float(low),
            "high": float(high),
            "cost": self.expected_cost[index],
        }


def choices(decisions: Mapping[str, Decision]) -> pd.DataFrame:
    """The choice of each of several decisions about the same sizes, such as one cost after another.

    Returns: DataFrame, a row for each: decision (its name), size_parameters, extra_revenue and
      extra_cost (expected, beyond the base's), regret, probability_of_bound, least_regret (the
      size_parameters of the smallest expected regret).
    """
    rows = []
    for name, decision in decisions.items():
        chosen, base = decision.choice, decision.economics.base
        sizes = decision.economics.sizes.size_parameters
        rows.append(
            {
                "decision": name,
                "size_parameters": sizes[chosen].tolist(),
                "extra_revenue": np.subtract(*decision.expected_revenue[[chosen, base]]),
                "extra_cost": np.subtract(*decision.expected_cost[[chosen, base]]),
                "regret": decision.regret[chosen],
                "probability_of_bound": decision.probability_of_bound[chosen],
                "least_regret": sizes[decision.least_regret].tolist(),
            }
        )
    return pd.DataFrame(rows)
