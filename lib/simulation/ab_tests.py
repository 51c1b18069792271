"""Paired A/B tests of two retrieval systems with common random numbers.

The same users make the same visits in both arms, and whatever is random in a visit is the same
number in both. Arms do not interfere (no budget is spent), so this is the difference that a test
with endless traffic would find, up to the sample of users; users are the unit of all standard
errors.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import joblib
import numpy as np

from lib.simulation.cascade import System, install_pre_ranking, visit
from lib.simulation.matching import match
from lib.simulation.world import World

BILLINGS = ("revenue", "revenue_gsp", "revenue_true")
BLOCK_VISITS = 512  # visits simulated together; their candidates then stay in the cache


@dataclass(frozen=True)
class Arm:
    """Revenue per user of one system, in currency units over all their visits.

    Attributes:
      revenue, revenue_gsp, revenue_true: float64 [users]: first price, generalised second price,
        and what the exposures were worth by what users really do.
      users: integers, who they are.
      visits: int, per user.
      seed: int, of the random numbers that arms have in common.
    """

    revenue: np.ndarray
    revenue_gsp: np.ndarray
    revenue_true: np.ndarray
    users: np.ndarray
    visits: int
    seed: int


@dataclass(frozen=True)
class ABTest:
    """A row of the table `ab_tests`: a variant against the base.

    Attributes:
      model: name of the variant.
      revenue_lift: variant's revenue / base's revenue - 1 (0.01 is one per cent).
      revenue_lift_se: its standard error over users.
      impressions: visits in each arm.
      users: users in each arm.
      revenue_lift_gsp, revenue_lift_gsp_se: the same under second-price billing.
      revenue_lift_true, revenue_lift_true_se: the same by what users really do.
    """

    model: str
    revenue_lift: float
    revenue_lift_se: float
    impressions: int
    users: int
    revenue_lift_gsp: float
    revenue_lift_gsp_se: float
    revenue_lift_true: float
    revenue_lift_true_se: float

    def as_row(self) -> dict[str, Any]:
        """The result as a dict, a row of `ab_tests`."""
        return asdict(self)


def run_arm(system: System, *, visits: int, seed: int, users: int | None = None) -> Arm:
    """The revenue that users bring in visits to a system.

    Args:
      system: System.
      visits: int >= 1, per user.
      seed: int; arms to be compared need the same.
      users: int, how many of the system's users take part, the first of them; default all.

    Returns: Arm.

    Raises: ValueError for users or visits out of range.
    """
    available = len(system.matched.users)
    users = available if users is None else users
    if not 1 <= users <= available:
        raise ValueError(f"run_arm: users must lie in 1..{available}; got {users}")
    if visits < 1:
        raise ValueError(f"run_arm: visits must be at least 1; got {visits}")
    rows, numbers = (x.ravel() for x in np.indices((users, visits)))
    revenue = np.empty((len(BILLINGS), len(rows)))
    for start in range(0, len(rows), BLOCK_VISITS):
        block = slice(start, start + BLOCK_VISITS)
        outcome = visit(system, rows[block], numbers[block], seed)
        revenue[:, block] = [getattr(outcome, billing) for billing in BILLINGS]
    per_user = revenue.reshape(-1, users, visits).sum(axis=2)
    return Arm(*per_user, users=system.matched.users[:users], visits=visits, seed=seed)


def run_arms(
    world: World,
    models: Sequence[Callable | None],
    *,
    visits: int,
    seed: int,
    users: int | None = None,
    block_users: int = 2048,
    n_jobs: int = 1,
) -> list[Arm]:
    """Arms of several Pre-ranking models, a block of users at a time.

    The same arms as from `run_arm` on systems of all users, but memory grows neither with users
    nor with visits, and blocks may run side by side.

    Args:
      world: World, without budgets: their pace is found from all users together.
      models: list of callables as for `install_pre_ranking`; for n_jobs > 1 they can be pickled.
      visits, seed: as for `run_arm`; users: int, the first so many that are present.
      block_users: users whose candidates are held at a time; n_jobs: blocks at a time.

    Returns: list of Arm.
    Raises: ValueError for a world with budgets, users or visits out of range.
    """
    if world.parameters.budget_tightness:
        raise ValueError(
            "run_arms: a world with budgets needs all users at once; got "
            f"budget_tightness = {world.parameters.budget_tightness}"
        )
    present = world.present_users
    users = len(present) if users is None else users
    if not 1 <= users <= len(present):
        raise ValueError(f"run_arms: users must lie in 1..{len(present)}; got {users}")
    blocks = [present[low : min(low + block_users, users)] for low in range(0, users, block_users)]
    arms = joblib.Parallel(n_jobs)(
        joblib.delayed(_block_arms)(world, models, block, visits, seed) for block in blocks
    )
    return [_joined(parts) for parts in zip(*arms, strict=True)]


def _block_arms(world, models, users, visits, seed):
    matched = match(world, users=users)
    return [
        run_arm(install_pre_ranking(matched, model), visits=visits, seed=seed) for model in models
    ]


def _joined(arms):
    parts = {
        name: np.concatenate([getattr(arm, name) for arm in arms]) for name in (*BILLINGS, "users")
    }
    return replace(arms[0], **parts)


def ab_test(
    base: System | Arm,
    variant: System | Arm,
    *,
    model: str = "variant",
    visits: int = 4,
    seed: int = 0,
    users: int | None = None,
    bootstrap: int = 0,
) -> ABTest:
    """Revenue lift of a variant over the base, paired by user.

    Args:
      base, variant: System, or Arm where the visits have been made: run the base once with
        `run_arm` and compare many variants with it.
      model: name of the variant.
      visits, seed, users: as for `run_arm`; taken from an Arm where one is given.
      bootstrap: number of resamples of users for the standard error; 0 uses the delta method
        for a ratio of means.

    Returns: ABTest.

    Raises: ValueError when the arms differ in users, visits or seed, or the base earns nothing.
    """
    finished = next((arm for arm in (base, variant) if isinstance(arm, Arm)), None)
    if finished is not None:
        visits, seed, users = finished.visits, finished.seed, len(finished.users)
    base, variant = (
        run_arm(arm, visits=visits, seed=seed, users=users) if isinstance(arm, System) else arm
        for arm in (base, variant)
    )
    _check_paired(base, variant)
    lifts = [
        _lift(getattr(base, billing), getattr(variant, billing), bootstrap, seed)
        for billing in BILLINGS
    ]
    users = len(base.users)
    return ABTest(model, *lifts[0], users * base.visits, users, *lifts[1], *lifts[2])


def _check_paired(base, variant):
    for name in ("visits", "seed"):
        first, second = getattr(base, name), getattr(variant, name)
        if first != second:
            raise ValueError(f"ab_test: both arms need the same {name}; got {first} and {second}")
    if not np.array_equal(base.users, variant.users):
        raise ValueError(
            "ab_test: both arms need the same users; got "
            f"{len(base.users)} and {len(variant.users)} that differ"
        )
    if not base.revenue.sum() > 0:
        raise ValueError("ab_test: the base must earn something; its revenue is 0")


def _lift(base, variant, bootstrap, seed):
    """Lift in revenue and its standard error over users, (float, float)."""
    ratio, se = ratio_of_sums(variant, base)
    if bootstrap:
        n = len(base)
        # Resampling users with replacement is weighting them by multinomial counts.
        weights = np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), bootstrap)
        ratios = (weights @ variant) / (weights @ base)
        mean = math.fsum(ratios) / bootstrap
        se = np.sqrt(math.fsum((ratios - mean) ** 2) / (bootstrap - 1))
    return ratio - 1, float(se)


def ratio_of_sums(part: np.ndarray, whole: np.ndarray) -> tuple[float, float]:
    """One quantity of all users over another, and its standard error over users (delta method).

    Args:
      part, whole: money of each user, [users]; the error of a single user is NaN.

    >>> ratio_of_sums(np.array([1.0, 1.0]), np.array([4.0, 4.0]))
    (0.25, 0.0)
    """
    # Sums of money are exact (cascade.py), and fsum's do not depend on the order of terms.
    ratio, users = part.sum() / whole.sum(), len(whole)
    squares = math.fsum((part - ratio * whole) ** 2)
    se = np.sqrt(users * squares / (users - 1)) / whole.sum() if users > 1 else np.nan
    return float(ratio), float(se)
