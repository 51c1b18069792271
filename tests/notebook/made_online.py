"""Tables of an online study, made up so that each claim can go either way."""

import pandas as pd

POLICIES = ["5 min", "20 min", "60 min", "1440 min", "anew"]


def costs(cost=(0.0, 0.0, 0.002, 0.04, 0.05), half=0.001, sizes=("24-8", "96-24")):
    """Costs of staleness, each +- half."""
    rows = [
        {"size": size, "policy": policy, "r_over_r_star": 0.8 - value, "new_ads": 0.01}
        | {"cost": value, "low": value - half, "high": value + half}
        | {"revenue_cost": value / 2, "revenue_low": value / 2 - half}
        | {"revenue_high": value / 2 + half}
        for size in sizes
        for policy, value in zip(POLICIES, cost, strict=True)
    ]
    return pd.DataFrame(rows)


def slopes(online=0.01, difference=0.0, staleness=0.0, half=0.0005):
    values = {"offline": 0.01, "online": online, "difference": difference, "staleness": staleness}
    return pd.DataFrame(
        [
            {"what": what, "slope": value, "low": value - half, "high": value + half}
            for what, value in values.items()
        ]
    )


def drift(difference=0.02, half=0.005):
    row = {"policy": "1440 min", "difference": difference}
    row |= {"difference_low": difference - half, "difference_high": difference + half}
    return pd.DataFrame([row])


def late():
    rows = [("all", 0, 0.0), ("all", 4, 0.003), ("all", 64, 0.1), ("tables", 64, 0.0)]
    return pd.DataFrame(
        [
            {"delayed": d, "staleness": s, "cost": c, "low": c - 0.0005, "high": c + 0.0005}
            for d, s, c in rows
        ]
    )


def closed(cost=0.01):
    return pd.DataFrame(
        [
            {"run": run, "cost": cost, "low": cost - 0.005, "high": cost + 0.005}
            for run in ("closed loop", "drifting")
        ]
    )
