"""Training logs of a running system (paper, Eq 1): about ten ads of each impression.

Ads are drawn from what each stage dropped or kept, and labelled with their relative place `v` in
the system's own queue and with Ranking's eCPM, 0 for what never reached Ranking.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
from tqdm import tqdm

from lib.simulation.cascade import System, best, visit
from lib.simulation.keyed_random import integers, uniform, visit_keys
from lib.simulation.parameters import WorldParameters

STAGES = ("matching", "pre_ranking", "ranking", "mix_ranking")  # by how far an ad got
START = datetime.datetime(2024, 1, 1, tzinfo=datetime.UTC)
BLOCK_VISITS = 512  # visits simulated together; their candidates then stay in the cache


def sample_logs(
    system: System,
    impressions: int,
    *,
    seed: int,
    counts: dict[str, Any] | None = None,
    first_impression: int = 0,
    start: datetime.datetime = START,
    impressions_per_second: float = 100.0,
    impressions_per_table: int = 8192,
) -> Iterator[pa.Table]:
    """Impressions of a running system, as pyarrow tables in time order.

    A user of the system, drawn uniformly, makes each impression. The content depends on `seed`
    and the impression's number alone, not on `impressions_per_table`.

    Args:
      system: System.
      impressions: int >= 1.
      seed: int.
      counts: for each stage of STAGES the ads drawn per impression: a number, or (fewest, most)
        for a uniform number between them. A stage holds the ads that got exactly so far:
        "pre_ranking" those that lost there, "matching" Matching's losers; default
        `usual_counts` of the world.
      first_impression: impression_id of the first row; continue a log with its end.
      start: time of impression 0, a datetime with a time zone.
      impressions_per_second: traffic.
      impressions_per_table: size of the tables; memory grows with it and with nothing else.

    Yields: pyarrow.Table with the columns impression_id (int64), timestamp (ms, UTC), v
      (float32, from 0 for the last ad of the impression), ecpm (float32, per 1000 exposures),
      exposed (bool), stage (dictionary), and every feature of `World.features`, the user's
      repeated on each row. Rows of an impression are adjacent, in random order.

    Raises: ValueError for a count that the stage cannot supply.
    """
    if counts is None:
        counts = usual_counts(system.matched.world.parameters)
    counts = _checked_counts(counts, system)
    for name, value in [
        ("impressions", impressions),
        ("impressions_per_table", impressions_per_table),
    ]:
        if value < 1:
            raise ValueError(f"sample_logs: {name} must be at least 1; got {value}")
    starts = range(first_impression, first_impression + impressions, impressions_per_table)
    for first in tqdm(starts, desc="impressions", unit="table", leave=False, disable=None):
        last = min(first + impressions_per_table, first_impression + impressions)
        parts = []
        for block in range(first, last, BLOCK_VISITS):
            numbers = np.arange(block, min(block + BLOCK_VISITS, last))
            parts.append(_impressions(system, numbers, counts, seed))
        rows = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        yield _table(rows, system.matched.world, seed, start, impressions_per_second)


def usual_counts(parameters: WorldParameters) -> dict[str, tuple[int, int]]:
    """Of each stage, fewest and most ads of an impression: ten on average, not always ten.

    >>> from lib.simulation.parameters import world_parameters
    >>> usual_counts(world_parameters("A"))
    {'pre_ranking': (3, 5), 'ranking': (3, 5), 'mix_ranking': (2, 2)}
    """
    losers, ranked = parameters.logged_losers, 8 - parameters.logged_losers
    about = {"pre_ranking": losers, "ranking": ranked}
    return {
        stage: (max(count - 1, 0), count + 1 if count else 0) for stage, count in about.items()
    } | {"mix_ranking": (2, 2)}


def visitors(system: System, numbers: np.ndarray, seed: int) -> np.ndarray:
    """Who makes the impressions `numbers` [B] of a log: rows of `system.matched`, [B]."""
    return integers(visit_keys(seed, "log", 0, numbers), 0, len(system.matched.users))


def _checked_counts(counts, system):
    """{stage: (fewest, most)} for all stages, or ValueError."""
    p = system.matched.world.parameters
    available = {
        "matching": system.matched.lost_ads.shape[1],
        # What visits keep of the candidates varies: half is there for certain enough.
        "pre_ranking": int(p.matching_ads * (1 - p.drop_rate) / 2),
        "ranking": p.pre_ranking_ads - p.mix_queue,
        "mix_ranking": p.mix_queue,
    }
    pairs = dict.fromkeys(STAGES, (0, 0))
    for stage, count in counts.items():
        if stage not in available:
            raise ValueError(f"sample_logs: counts has stage {stage!r}; stages are {STAGES}")
        fewest, most = count if isinstance(count, (tuple, list)) else (count, count)
        if not 0 <= fewest <= most <= available[stage]:
            raise ValueError(
                f"sample_logs: counts[{stage!r}] must lie in 0..{available[stage]}; got {count}"
            )
        pairs[stage] = fewest, most
    if sum(fewest for fewest, _ in pairs.values()) < 2:
        raise ValueError(f"sample_logs: counts must give 2 ads or more; got {counts}")
    return pairs


def _impressions(system, numbers, counts, seed):
    """The sampled ads of the impressions `numbers` as flat columns, a dict of arrays."""
    matched = system.matched
    log_keys = visit_keys(seed, "log", 0, numbers)
    rows = visitors(system, numbers, seed)
    visits = visit(system, rows, numbers, seed)
    most = {stage: count for stage, (_, count) in counts.items()}
    sample = _sample(matched, rows, visits, most, numbers, seed)

    present = np.concatenate(
        [_present(log_keys, 1 + code, *counts[stage]) for code, stage in enumerate(STAGES)], axis=1
    )
    # The system's order, worst first; those that are not in the sample come before all others.
    order = np.lexsort((sample.pop("merit"), sample["stage"], present), axis=1)
    place = np.argsort(order, axis=1)
    sample["v"] = place - (~present).sum(axis=1, keepdims=True)
    sample["impression_id"] = np.broadcast_to(numbers[:, None], present.shape)
    sample["user"] = np.broadcast_to(matched.users[rows][:, None], present.shape)
    mixed = uniform(visit_keys(seed, "row order", 0, numbers), sample["ad"])
    row_order = np.argsort(mixed, axis=1, kind="stable")
    present = np.take_along_axis(present, row_order, axis=1)
    return {
        name: np.take_along_axis(values, row_order, axis=1)[present]
        for name, values in sample.items()
    }


def _sample(matched, rows, visits, most, numbers, seed):
    """`most` ads of each stage for B visits: ad, stage, ecpm, exposed, merit, each [B, sum].

    `merit` orders ads within a stage, the higher the better.
    """
    p, users = matched.world.parameters, matched.users[rows]

    def pick(stage, items, taken=False):
        """Columns of `most[stage]` items [B, C] or [C] that are not taken, in random order."""
        order = uniform(visit_keys(seed, stage, users, numbers), items)
        return best(np.where(taken, -np.inf, order), most[stage])

    lost = pick("matching", np.arange(matched.lost_ads.shape[1]))
    no_loser = visits.absent.copy()
    np.put_along_axis(no_loser, visits.columns, True, axis=1)
    cut = pick("pre_ranking", matched.ads[rows], no_loser)  # by ad: candidates have no order
    behind = p.mix_queue + pick("ranking", np.arange(p.pre_ranking_ads - p.mix_queue))
    ahead = pick("mix_ranking", np.arange(p.mix_queue))

    place = np.concatenate([behind, ahead], axis=1)  # in the queue of those that reached Ranking
    ranked = np.take_along_axis(visits.queue, place, axis=1)
    columns = np.concatenate([cut, np.take_along_axis(visits.columns, ranked, axis=1)], axis=1)
    exposed = np.zeros_like(visits.queue, dtype=bool)
    exposed[:, : visits.exposed.shape[1]] = visits.exposed

    def after(never_ranked, values):
        """Values of the ranked ads behind a constant for the others."""
        fill = np.full((len(rows), lost.shape[1] + cut.shape[1]), never_ranked)
        return np.concatenate([fill, values], axis=1)

    merit_cut = np.take_along_axis(visits.scores, cut, axis=1)
    return {
        "ad": np.concatenate(
            [matched.lost_ads[rows[:, None], lost], matched.ads[rows[:, None], columns]], axis=1
        ),
        "stage": np.broadcast_to(
            np.repeat(np.arange(len(STAGES), dtype=np.int8), [most[s] for s in STAGES]),
            (len(rows), sum(most.values())),
        ),
        "ecpm": after(np.float32(0), np.take_along_axis(visits.ecpm, ranked, axis=1)),
        "exposed": after(False, np.take_along_axis(exposed, place, axis=1)),
        "merit": np.concatenate([-lost, merit_cut, -place], axis=1),
    }


def _present(keys, item, fewest, most):
    """Which of `most` sampled ads an impression has, bool [B, most]: a uniform number of them."""
    count = fewest + integers(keys, item, most - fewest + 1)
    return np.arange(most) < count[:, None]


def _table(rows, world, seed, start, impressions_per_second):
    """Flat columns and the features of their users and ads as a pyarrow table."""
    numbers = rows["impression_id"]
    # Impressions come at a steady rate, each at a random moment of its interval.
    moment = numbers + uniform(visit_keys(seed, "moment", 0, numbers), [0])[:, 0]
    origin = np.int64(start.timestamp() * 1000)
    timestamp = origin + (1000 / impressions_per_second * moment).astype(np.int64)
    columns = {
        "impression_id": pa.array(numbers),
        "timestamp": pa.array(timestamp).cast(pa.timestamp("ms", tz="UTC")),
        "v": pa.array(rows["v"].astype(np.float32)),
        "ecpm": pa.array(rows["ecpm"]),
        "exposed": pa.array(rows["exposed"]),
        "stage": pa.DictionaryArray.from_arrays(rows["stage"], list(STAGES)),
    }
    values = {**world.user_features(rows["user"]), **world.ad_features(rows["ad"])}
    for feature in world.features:
        columns[feature["name"]] = _arrow(feature, values[feature["name"]])
    return pa.table(columns)


def _arrow(feature, values):
    """A feature's values [rows] or [rows, width] as an arrow array."""
    if feature["kind"] == "dense":
        return pa.FixedSizeListArray.from_arrays(pa.array(values.ravel()), values.shape[1])
    if feature["kind"] == "multi_valued":
        offsets = np.arange(len(values) + 1, dtype=np.int32) * values.shape[1]
        return pa.ListArray.from_arrays(offsets, values.ravel())
    return pa.array(values)
