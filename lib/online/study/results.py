"""What the runs say: the cost of staleness, the law of size online, asynchrony.

Every draw of the system is one value; intervals are Student's over draws, so that they cover
another system like it: another world, another drift, another log, other first weights.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from lib.infra.intervals import mean_interval
from lib.simulation.drifting import DAY

R = "r_over_r_star"


def weighted(blocks: pd.DataFrame, by: Sequence[str]) -> pd.Series:
    """R/R* over impressions of blocks, for each value of `by`."""
    total = blocks[R] * blocks.impressions
    sums = total.groupby([blocks[name] for name in by]).sum()
    return sums / blocks.groupby(list(by)).impressions.sum()


def hourly(blocks: pd.DataFrame) -> pd.DataFrame:
    """Blocks of an hour in one row: run, draw, size, staleness, delayed, policy, hour, R/R*."""
    by = ["run", "draw", "size", "staleness", "delayed", "policy", "hour"]
    hours = blocks.assign(hour=blocks.minute // 60)
    counts = hours.groupby(by).impressions.sum()
    return pd.DataFrame({R: weighted(hours, by), "impressions": counts}).reset_index()


def costs_of_staleness(
    blocks: pd.DataFrame, revenue: pd.DataFrame, freshest: str, interval: float = 0.9
) -> pd.DataFrame:
    """What each policy loses against the freshest, on the same impressions and visits.

    Args:
      blocks, revenue: of `lib.online.study.table.Runs`, of one run.
      freshest: policy, such as "5 min".

    Returns: DataFrame: size, policy, r_over_r_star, cost, low, high (R/R* lost), new_ads (share of
      ads that the weights had never seen), and, where there are tests, revenue_cost,
      revenue_low, revenue_high (fraction of the freshest's revenue).
    """
    value = weighted(blocks, ["size", "policy", "draw"])
    earned = None
    if len(revenue):
        earned = revenue.groupby(["size", "policy", "draw"]).revenue.sum()
    new = blocks.groupby(["size", "policy"]).new_ads.mean()
    rows = []
    for size, policy in value.index.droplevel("draw").unique():
        own, best = value[size, policy], value[size, freshest]
        cost = mean_interval(best - own, interval)
        row = {"size": size, "policy": policy, R: own.mean(), "new_ads": new[size, policy]}
        row |= {"cost": cost.value, "low": cost.low, "high": cost.high}
        if earned is not None:
            lost = mean_interval(1 - earned[size, policy] / earned[size, freshest], interval)
            row |= {f"revenue_{name}": value for name, value in lost._asdict().items()}
        rows.append(row)
    return pd.DataFrame(rows).rename(columns={"revenue_value": "revenue_cost"})


def cost_by_age(
    blocks: pd.DataFrame, stale: str, freshest: str, bins: int = 8, interval: float = 0.9
) -> pd.DataFrame:
    """What weights lose as they age, against the freshest on the same impressions.

    Args:
      blocks: of one run and one size; stale: policy whose versions reach every age.
      bins: of age, equal in hours.

    Returns: DataFrame: age (mean, hours), cost, low, high (R/R*).
    """
    old = blocks[blocks.policy == stale].set_index(["draw", "minute"])
    new = blocks[blocks.policy == freshest].set_index(["draw", "minute"])
    age = old.index.get_level_values("minute") - old.version
    pairs = pd.DataFrame({"age": age / 60, "lost": new[R] - old[R], "weight": old.impressions})
    pairs["bin"] = np.minimum(pairs.age / pairs.age.max() * bins, bins - 1).astype(int)
    pairs["total"] = pairs.lost * pairs.weight
    by = pairs.groupby(["bin", "draw"])
    cost = by.total.sum() / by.weight.sum()
    rows = [
        {"age": pairs.age[pairs.bin == number].mean(), **_named("cost", cost[number], interval)}
        for number in range(bins)
    ]
    return pd.DataFrame(rows)


def costs_of_drift(
    blocks: pd.DataFrame, base: str, freshest: str, interval: float = 0.9
) -> pd.DataFrame:
    """What intervals cost where the world drifts, where it stands still, and by how much more.

    In a world that stands still an old model is worse only because it has been trained less.

    Returns: DataFrame: policy, and drifting, still, difference, each with _low and _high (R/R*).
    """
    own = blocks[blocks["size"] == base]
    cost = {}
    for kind in ("drifting", "still"):
        value = weighted(own[own.run == kind], ["policy", "draw"]).unstack("draw")
        cost[kind] = value.loc[freshest] - value
    cost["difference"] = cost["drifting"].loc[cost["still"].index] - cost["still"]
    rows = []
    for policy in cost["still"].index.drop(freshest):
        row = {"policy": policy}
        for kind, lost in cost.items():
            mean = mean_interval(lost.loc[policy], interval)
            row |= {kind: mean.value, f"{kind}_low": mean.low, f"{kind}_high": mean.high}
        rows.append(row)
    return pd.DataFrame(rows)


def own_ages(table: pd.DataFrame) -> pd.DataFrame:
    """A reader's own measurements: what a metric loses against the youngest weights.

    Args:
      table: columns age_minutes and metric (higher is better).

    Raises: ValueError for a missing column, fewer than 2 rows, or what is no number.

    >>> table = pd.DataFrame({"age_minutes": [60, 5], "metric": [0.78, 0.8]})
    >>> own_ages(table).cost.round(3).tolist()
    [0.0, 0.02]
    """
    missing = {"age_minutes", "metric"} - set(table.columns)
    if missing:
        raise ValueError(f"ages: needs the columns age_minutes and metric; {missing} is missing")
    own = table[["age_minutes", "metric"]].astype(float).sort_values("age_minutes")
    if len(own) < 2 or not np.isfinite(own.to_numpy()).all():
        raise ValueError("ages: needs two rows or more of finite numbers")
    return own.assign(cost=own.metric.iloc[0] - own.metric).reset_index(drop=True)


def over_time(blocks: pd.DataFrame, hours: int = 2) -> pd.DataFrame:
    """Mean R/R* over draws by time: DataFrame with hour (middle), policy, r_over_r_star."""
    hour = (blocks.minute // (60 * hours) + 0.5) * hours
    value = weighted(blocks.assign(hour=hour), ["policy", "hour", "draw"])
    return value.groupby(["policy", "hour"]).mean().rename(R).reset_index()


def revenue_over_time(revenue: pd.DataFrame) -> pd.DataFrame:
    """Mean over draws of the oracle's revenue lost: DataFrame with hour, policy, loss."""
    earned = revenue.set_index(["policy", "minute", "draw"]).revenue
    lost = (1 - earned / earned["oracle"]).drop("oracle", level="policy")
    mean = lost.groupby(["policy", "minute"]).mean().rename("loss").reset_index()
    return mean.assign(hour=mean.minute / 60)


def size_slopes(
    blocks: pd.DataFrame, online: str, freshest_hours: float, interval: float = 0.9
) -> pd.DataFrame:
    """What a doubling of FLOPs gives, offline and online, and how its staleness cost grows.

    Offline: trained on the past, tested on the first hours that come next. Online: served with
    the policy `online` over the rest of the story. `staleness`: the cost of a day's interval.

    Args:
      blocks: of the run "drifting", all sizes; freshest_hours: of the offline test.

    Returns: DataFrame: what ("offline", "online", "difference", "staleness"), slope, low, high:
      R/R* per doubling of FLOPs, of a straight line in log2 FLOPs through each draw's sizes.
    """
    day = f"{DAY} min"
    start = blocks.minute.min()
    split = start + 60 * freshest_hours
    first, rest = blocks[blocks.minute < split], blocks[blocks.minute >= split]
    by = ["draw", "flops"]
    offline = weighted(first[first.policy == day], by)
    served, stale = (weighted(rest[rest.policy == p], by) for p in (online, day))
    slopes = {"offline": _slopes(offline), "online": _slopes(served)}
    slopes["difference"] = slopes["online"] - slopes["offline"]
    slopes["staleness"] = _slopes(served - stale)
    return pd.DataFrame(
        [{"what": name, **_named("slope", slope, interval)} for name, slope in slopes.items()]
    )


def sizes_online(blocks: pd.DataFrame, revenue: pd.DataFrame, policy: str) -> pd.DataFrame:
    """Each size under a policy, each draw by itself: their levels differ, their sizes compare.

    Returns: DataFrame: flops, size, draw, r_over_r_star, loss (of the oracle's revenue).
    """
    value = weighted(blocks[blocks.policy == policy], ["size", "draw", "flops"])
    earned = revenue.groupby(["policy", "size", "draw"]).revenue.sum()
    loss = 1 - earned[policy] / earned["oracle"]
    table = value.rename(R).reset_index().join(loss.rename("loss"), on=["size", "draw"])
    return table.sort_values(["draw", "flops"], ignore_index=True)


def cost_of_asynchrony(
    blocks: pd.DataFrame, base: str, policy: str, interval: float = 0.9
) -> pd.DataFrame:
    """R/R* lost by gradients that come late, against the same training with none late.

    Args:
      blocks: all runs; base: size; policy: under which both are served.

    Returns: DataFrame: delayed ("all" or "tables"), staleness (steps), cost, low, high.
    """
    late = blocks[blocks.run == "asynchronous"]
    fresh = blocks[
        (blocks.run == "drifting") & (blocks["size"] == base) & (blocks.policy == policy)
    ]
    fresh = weighted(fresh[fresh.minute.isin(late.minute)], ["draw"])
    value = weighted(late, ["delayed", "staleness", "draw"])
    rows = [{"delayed": "all", "staleness": 0, "cost": 0.0, "low": 0.0, "high": 0.0}]
    for delayed, steps in value.index.droplevel("draw").unique():
        lost = fresh - value[delayed, steps]
        rows.append({"delayed": delayed, "staleness": steps, **_named("cost", lost, interval)})
    return pd.DataFrame(rows).sort_values(["delayed", "staleness"], ignore_index=True)


def closed_loop_costs(revenue: pd.DataFrame, base: str, interval: float = 0.9) -> pd.DataFrame:
    """Revenue that the longest interval loses against the shortest of the closed loop's.

    Returns: DataFrame: run ("drifting": the open loop, "closed loop"), cost, low, high.
    """
    own = revenue[revenue["size"] == base]
    closed = own[(own.run == "closed loop") & (own.policy != "oracle")]
    policies = sorted(closed.policy.unique(), key=lambda name: int(name.split()[0]))
    if len(policies) < 2:
        return pd.DataFrame(columns=["run", "cost", "low", "high"])
    rows = []
    for kind, part in own[own.minute.isin(closed.minute)].groupby("run"):
        earned = part.groupby(["policy", "draw"]).revenue.sum()
        lost = 1 - earned[policies[-1]] / earned[policies[0]]
        rows.append({"run": kind, **_named("cost", lost, interval)})
    return pd.DataFrame(rows)


def _slopes(value):
    """Slope on log2 FLOPs of each draw; value by (draw, flops)."""
    table = value.unstack("flops")
    x = np.log2(table.columns.to_numpy(float))
    x -= x.mean()
    return pd.Series(table.to_numpy() @ x / (x @ x), table.index)


def _named(name, values, interval):
    mean = mean_interval(values, interval)
    return {name: mean.value, "low": mean.low, "high": mean.high}
