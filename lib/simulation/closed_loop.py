"""The closed loop: a system logs, a model is trained on the log, deployed, and logs again.

The first model learns from the log of a random Pre-ranking and is poor, so that any model
trained a round later beats it. Models can be compared only once the rounds have converged, which
the gap to the oracle shows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from lib.simulation.ab_tests import ABTest, ab_test, run_arm
from lib.simulation.cascade import System, install_pre_ranking, oracle_system
from lib.simulation.logs import sample_logs
from lib.simulation.matching import Matched, match
from lib.simulation.world import World


@dataclass(frozen=True)
class Round:
    """One round of the closed loop.

    Attributes:
      number: 0 for the model trained on the random Pre-ranking's log.
      model: callable (users, ads) -> scores, trained in this round.
      system: System that runs it.
      next_impression: first impression_id that no log of the loop has used.
      oracle_gap: ABTest against the oracle Pre-ranking; its lift is what is lost, negative.
      change: ABTest against the round before; None in round 0.
    """

    number: int
    model: Callable
    system: System
    next_impression: int
    oracle_gap: ABTest
    change: ABTest | None


def closed_loop(
    world: World,
    train: Callable,
    *,
    rounds: int,
    impressions_per_round: int,
    seed: int,
    first_impressions: int | None = None,
    matched: Matched | None = None,
    counts: dict[str, Any] | None = None,
    users: int | None = None,
    visits: int = 4,
) -> Iterator[Round]:
    """Random log -> train -> deploy -> log -> train ... ; yields a Round after each training.

    Args:
      world: World.
      train: callable (tables, previous_model, round) -> model; `tables` iterates over the
        round's log (pyarrow tables, see `sample_logs`), `previous_model` is None in round 0,
        the model is a callable (users [B], ads [B, C]) -> scores [B, C].
      rounds: int >= 1, trainings in all.
      impressions_per_round: int, size of a round's log.
      seed: int; logs and tests of other seeds are other draws from the same world.
      first_impressions: size of the random log; default impressions_per_round.
      matched: Matched, default `match(world)`.
      counts: as for `sample_logs`.
      users, visits: size of the test against the oracle after each round, as for `run_arm`.

    Yields: Round.
    Raises: ValueError unless rounds >= 1.
    """
    if rounds < 1:
        raise ValueError(f"closed_loop: rounds must be at least 1; got {rounds}")
    matched = match(world) if matched is None else matched
    arms = {"visits": visits, "users": users, "seed": seed}
    oracle = run_arm(oracle_system(matched), **arms)
    system, model, arm, next_impression = install_pre_ranking(matched), None, None, 0
    for number in range(rounds):
        impressions = impressions_per_round
        if number == 0 and first_impressions is not None:
            impressions = first_impressions
        tables = sample_logs(
            system, impressions, seed=seed, counts=counts, first_impression=next_impression
        )
        next_impression += impressions
        model = train(tables, model, number)
        system = install_pre_ranking(matched, model)
        before, arm = arm, run_arm(system, **arms)
        name = f"round {number}"
        change = None if before is None else ab_test(before, arm, model=name)
        gap = ab_test(oracle, arm, model=name)
        yield Round(number, model, system, next_impression, gap, change)
