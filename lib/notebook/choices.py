"""Sizes chosen from what is known of a draw's system, by the methods of notebooks 04 and 05.

Here because it joins rooms that know nothing of each other: trained models, economics, allocation.
"""

import dataclasses

import numpy as np

from lib import allocation, design
from lib.experiments.deployed_choice import Known, Options, Plan, name_of, pairs, predicted_lifts
from lib.models.flop_count import matrix_flops

PRE_RANKING, MATCHING = "Pre-ranking", "Matching"


@dataclasses.dataclass(frozen=True)
class Prices:
    """What machines cost and revenue is worth, in one currency.

    Attributes:
      machines: that serve a stage today, stage -> number; a size needs as many times of them as
        it needs today's FLOPs.
      price_per_hour: of a machine; revenue_per_hour: of the system today.
      roi_min: least ROI on what is earned and spent beyond today.
      budget: that a pair may cost beyond today, as a share of what both stages cost today.
    """

    machines: dict[str, float]
    price_per_hour: float
    revenue_per_hour: float
    roi_min: float
    budget: float

    @property
    def budget_per_hour(self) -> float:
        """The most that a pair may cost beyond today."""
        return self.budget * self.price_per_hour * sum(self.machines.values())

    def best(self, lift: np.ndarray, cost: np.ndarray) -> int:
        """The option that earns most with the least ROI (Eq 8).

        Args:
          lift: over today, [options]; cost: beyond today, [options], inf for what is excluded.
        """
        return design.best_size(self.revenue_per_hour * lift, cost, self.roi_min)

    def meets_roi(self, lift: float, cost: float) -> bool:
        """Whether a lift pays for its cost."""
        return bool(design.meets_roi(self.revenue_per_hour * lift, cost, self.roi_min))


def choose(
    known: Known,
    plan: Plan,
    prices: Prices,
    *,
    draws: int = 400,
    interval: float = 0.9,
    seed: int = 0,
) -> dict[str, Options]:
    """A size of Pre-ranking as notebook 04 would take it, and a pair as notebook 05 would.

    Args:
      known: of one draw; plan: whose sizes can be chosen.
      draws, seed: of laws, G and single trainings; interval: probability of lifts' intervals.

    Returns: {"size": options, "pair": options}, each with the chosen one.
    """
    sampling = {"metric": plan.metric, "draws": draws}
    grids, lifts, cost = {}, {}, {}
    for stream, (stage, family, trainings, hidden, today) in enumerate(
        (
            (PRE_RANKING, "mlp", known.pre_ranking, plan.sizes, plan.base_size),
            (MATCHING, "twin_tower", known.matching, plan.tower_sizes, plan.base_tower_size),
        )
    ):
        grids[stage] = _grid(trainings, hidden, family)
        relative = grids[stage].flops / grids[stage].flops[today]
        # Streams of their own: the errors of two stages are independent.
        lifts[stage] = predicted_lifts(trainings, relative, seed=2 * seed + stream, **sampling)
        cost[stage] = design.machine_cost(
            1 / relative, 1.0, prices.machines[stage], prices.price_per_hour
        )
    money = {"revenue_per_hour": prices.revenue_per_hour, "roi_min": prices.roi_min}
    economics = design.SizeEconomics(
        sizes=grids[PRE_RANKING],
        base=plan.base_size,
        lift=lifts[PRE_RANKING][0],
        lift_draws=lifts[PRE_RANKING][1],
        machine_cost=cost[PRE_RANKING],
        machine_cost_draws=np.tile(cost[PRE_RANKING], (draws, 1)),
        interval=interval,
        **money,
    )
    stages = {
        stage: allocation.Stage(
            design.sizes_table(grids[stage], *lifts[stage], cost[stage], interval),
            prices.machines[stage],
        )
        for stage in (MATCHING, PRE_RANKING)
    }
    pair = allocation.allocate_stages(
        stages, prices.budget, price_per_hour=prices.price_per_hour, **money
    ).choice

    def options(stage, hidden, today, chosen):
        names = [name_of(layers) for layers in hidden]
        return Options(names, *lifts[stage], cost[stage] - cost[stage][today], today, chosen)

    towers = options(MATCHING, plan.tower_sizes, plan.base_tower_size, pair[MATCHING])
    sizes = options(PRE_RANKING, plan.sizes, plan.base_size, pair[PRE_RANKING])
    return {
        "size": sizes._replace(chosen=economics.best()),
        "pair": pairs(towers, sizes, prices.budget_per_hour),
    }


def _grid(trainings, hidden, family):
    inputs = trainings.size_parameters.iloc[0][0]
    size_parameters = np.array([[inputs, *layers] for layers in hidden])
    return design.Sizes(size_parameters, matrix_flops(size_parameters, family))
