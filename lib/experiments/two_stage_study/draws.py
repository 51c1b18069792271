"""Draws of the two-stage study, and what decisions taken in them earn.

Costs are FLOPs of a request, ad vectors and ads' parts of the first layer computed beforehand:
Matching scans the inventory, Pre-ranking scores the candidates. That machine seconds are
proportional to them is assumed: at these sizes a machine would mostly wait for memory.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from lib.experiments.converged_system import SystemParameters
from lib.experiments.two_stage_study.arms import LATER, PAST, measure
from lib.infra import sweep
from lib.simulation.ab_tests import ratio_of_sums
from lib.simulation.parameters import world_parameters


@dataclasses.dataclass(frozen=True)
class TwoStages:
    """One draw: every combination of the two stages tested in one world.

    Attributes:
      towers, mlps: layers of the models, in the order of the axes; candidates: counts [K].
      today: (tower, MLP, candidates), indices of what runs now.
      revenue: money of each user, float [2, towers, mlps, K, users]: in visits of the PAST, on
        which decisions rest, and in LATER ones.
      matching_flops: of a request, [towers]; pre_ranking_flops: [mlps, K].
      features: what is known of each user when a request comes, [users, F]; their names.
    """

    towers: list
    mlps: list
    candidates: np.ndarray
    today: tuple[int, int, int]
    revenue: np.ndarray
    matching_flops: np.ndarray
    pre_ranking_flops: np.ndarray
    features: np.ndarray
    feature_names: list

    def lift(self, window: int) -> np.ndarray:
        """Revenue lift over today of every combination, [towers, mlps, K]."""
        total = self.revenue[window].sum(axis=-1)
        return total / total[self.today] - 1

    def standard_errors(self, window: int) -> np.ndarray:
        """Of `lift`, over users, paired; 0 of today's."""
        revenue = self.revenue[window]
        base = revenue[self.today]
        errors = [
            ratio_of_sums(arm - base, base)[1] for arm in revenue.reshape(-1, revenue.shape[-1])
        ]
        return np.reshape(errors, revenue.shape[:-1])

    def rows(self) -> list[dict]:
        """Every combination: its lift in both windows, errors over users, FLOPs of a request."""
        past, later = (
            (self.lift(window), self.standard_errors(window)) for window in (PAST, LATER)
        )
        return [
            {
                "tower": self.towers[i],
                "mlp": self.mlps[j],
                "candidates": int(self.candidates[k]),
                "past_lift": past[0][i, j, k],
                "past_lift_se": past[1][i, j, k],
                "revenue_lift": later[0][i, j, k],
                "revenue_lift_se": later[1][i, j, k],
                "matching_flops": int(self.matching_flops[i]),
                "pre_ranking_flops": int(self.pre_ranking_flops[j, k]),
            }
            for i, j, k in np.ndindex(past[0].shape)
        ]

    def difference(self, arm: tuple, other: tuple) -> tuple[float, float]:
        """Lift of one combination less that of another on LATER visits; its standard error."""
        later = self.revenue[LATER]
        return ratio_of_sums(later[arm] - later[other], later[self.today])

    def judge(self, arms: Mapping[str, tuple], best: str, against: str) -> list[dict]:
        """What combinations that were decided on earn on LATER visits, a row for each.

        Args:
          arms: name of a rule -> the combination that it chose.
          best: the rule that losses count from; against: the rule that gains count from.
        """
        rows = []
        for rule, arm in arms.items():
            tower, mlp, k = arm
            differences = {
                "lift": self.difference(arm, self.today),
                "loss": self.difference(arms[best], arm),
                "gain": self.difference(arm, arms[against]),
            }
            rows.append(
                {
                    "rule": rule,
                    "tower": self.towers[tower],
                    "mlp": self.mlps[mlp],
                    "candidates": int(self.candidates[k]),
                    **_with_errors(differences),
                }
            )
        return rows

    def per_user(self, arms: Sequence[tuple], window: int) -> np.ndarray:
        """Money of each user in each of these combinations, [users, arms]."""
        return np.stack([self.revenue[window][tuple(arm)] for arm in arms], axis=1)

    def known(self) -> np.ndarray:
        """`features` and what each user brought today's system in the PAST, [users, F + 1]."""
        return np.column_stack([self.features, self.revenue[PAST][self.today]])

    def cost(self, machines_matching: float, machines_pre_ranking: float) -> np.ndarray:
        """Machines that each combination needs, [towers, mlps, K], see the module.

        Args:
          machines_matching, machines_pre_ranking: that serve today's.
        """
        tower, *pair = self.today
        matching = machines_matching * self.matching_flops / self.matching_flops[tower]
        relative = self.pre_ranking_flops / self.pre_ranking_flops[tuple(pair)]
        return matching[:, None, None] + machines_pre_ranking * relative


def run(
    folder: str | Path,
    seeds: Sequence[int],
    *,
    towers: Sequence[Sequence[int]],
    base_tower: Sequence[int],
    mlps: Sequence[Sequence[int]],
    candidates: Sequence[int],
    visits: int,
    matching_impressions: int,
    n_jobs: int = 1,
    **system,
) -> list[TwoStages]:
    """Build, train and test one draw for each seed; what is finished is not done again.

    Args:
      folder: of systems, models and revenues.
      seeds: of the draws: world, loop, logs, weights and visits.
      towers: layers of the twin towers; base_tower: today's, one of them.
      mlps: layers of the Pre-ranking models, the system's own (`hidden`) among them.
      candidates: numbers that Matching hands on, the world's own (`matching_ads`) among them.
      visits: of every user, in each window of each arm.
      matching_impressions: of the log that towers learn from.
      n_jobs: draws at a time.
      system: further values of `SystemParameters`.

    Raises: ValueError where today's system is not among the combinations, before anything runs.
    """
    tasks = []
    for seed in seeds:
        parameters = SystemParameters(seed=seed, **system)
        for name, value, options in (
            ("base_tower", list(base_tower), [list(layers) for layers in towers]),
            ("hidden", list(parameters.hidden), [list(layers) for layers in mlps]),
            ("matching_ads", _own_candidates(parameters.model_dump()), list(candidates)),
        ):
            if value not in options:
                raise ValueError(f"two_stage_study: {name} must be one of {options}; got {value}")
        tasks.append(
            {
                "system": parameters.model_dump(mode="json"),
                "towers": [list(layers) for layers in towers],
                "base_tower": list(base_tower),
                "mlps": [list(layers) for layers in mlps],
                "candidates": list(candidates),
                "visits": visits,
                "matching_impressions": matching_impressions,
            }
        )
    results = sweep.run(measure, tasks, folder, n_jobs=n_jobs)
    return [
        _two_stages(task, result, sweep.result_path(measure, task, folder))
        for task, result in zip(tasks, results, strict=True)
    ]


def judge_requests(money: Mapping[str, np.ndarray], base: str, against: str) -> list[dict]:
    """What policies by request earn, a row for each.

    Args:
      money: name of a policy -> what each user's requests bring, [users].
      base: the policy that lifts count from; against: the one that gains count from, both as
        shares of the base's revenue.
    """
    return [
        {
            "policy": name,
            **_with_errors(
                {
                    "lift": ratio_of_sums(values - money[base], money[base]),
                    "gain": ratio_of_sums(values - money[against], money[base]),
                }
            ),
        }
        for name, values in money.items()
    ]


def _with_errors(differences):
    return {
        column: number
        for name, pair in differences.items()
        for column, number in zip((name, f"{name}_se"), pair, strict=True)
    }


def _two_stages(task, result, path):
    """The draw that `measure` left at `path`.npz."""
    with np.load(path.with_name(f"{path.name}.npz")) as arrays:
        revenue, features = arrays["revenue"], arrays["features"]
    today = (
        task["towers"].index(task["base_tower"]),
        task["mlps"].index(task["system"]["hidden"]),
        task["candidates"].index(_own_candidates(task["system"])),
    )
    return TwoStages(
        towers=task["towers"],
        mlps=task["mlps"],
        candidates=np.array(task["candidates"]),
        today=today,
        revenue=revenue,
        matching_flops=np.array(result["matching_flops"]),
        pre_ranking_flops=np.array(result["pre_ranking_flops"]),
        features=features,
        feature_names=result["feature_names"],
    )


def _own_candidates(system):
    """How many candidates the world of a system's parameters hands on by itself."""
    return world_parameters(system["world"], **(system["world_changes"] or {})).matching_ads
