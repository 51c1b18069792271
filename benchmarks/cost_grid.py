"""A sub-grid of appendix B.1 measured whole, and searches replayed on it.

    python -m benchmarks.cost_grid [--sizes N] [--engine NAME]   measure (20 minutes; resumes)
    python -m benchmarks cost_grid                               replay searches on the table

A replay knows the revenue of every size, draws each measurement it asks for from that
size's repeats, and is held against the optimum that the whole table gives.
"""

import argparse
import json

import numpy as np
import pandas as pd
from tqdm import tqdm

from benchmarks.report import row
from lib.cost.algorithm import cost_per_hour, required_machines
from lib.design.roi_choice import best_size
from lib.design.size_grids import size_grid
from lib.design.size_search import Goal, Requests, search
from lib.infra import machine, sweep
from lib.infra.files import replacing
from lib.laws import BNSL
from lib.models.flop_count import matrix_flops
from lib.run.places import root
from lib.serving.load.service_time import service_time_task
from lib.serving.queueing import load_at_limit

BASE, SOLVED = [3328, 1024, 256, 256, 256, 1], [16128, 1024, 512, 512, 512, 1]
SOLVED_LIFT = 0.0085  # section 5.1
MACHINES_BASE, PRICE_PER_HOUR, REVENUE_PER_HOUR = 100.0, 1.0, 10_000.0
REQUESTS = Requests(candidates=300, latency_limit_ms=100.0, workers=2)
REPEATS = 3


def table_path():
    return root() / "outputs" / "bench" / "cost_grid.csv"


def sub_grid(count):
    """`count` sizes evenly over the FLOPs order of B.1, the base and the paper's among them."""
    grid = size_grid()
    order = np.lexsort((grid.size_parameters[:, 1], grid.flops))
    picked = order[np.linspace(0, len(order) - 1, count - 2).round().astype(int)]
    sizes = np.unique([*grid.size_parameters[picked].tolist(), BASE, SOLVED], axis=0)
    return sizes[np.argsort(matrix_flops(sizes), kind="stable")]


# ---- measuring ------------------------------------------------------------


def measure(sizes, engine):
    """Time all sizes `REPEATS` times, apart in time; keep the table."""
    known = {
        "candidates": REQUESTS.candidates,
        "latency_limit_ms": REQUESTS.latency_limit_ms,
        "workers": REQUESTS.workers,
        "form": REQUESTS.form,
        "engine": engine,
        "seed": 0,
        "on": machine.facts(),
    }
    tasks = [
        {**known, "size_parameters": size, "repeat": repeat}
        for repeat in range(REPEATS)
        for size in np.random.default_rng(repeat).permutation(sizes).tolist()
    ]
    rows = sweep.run(
        service_time_task, tasks, root() / "outputs" / "bench" / "cache" / "cost_grid", n_jobs=1
    )
    kept = pd.DataFrame(rows).dropna(axis="columns", how="all")
    with replacing(table_path()) as temporary:
        kept.assign(size_parameters=[json.dumps(size) for size in kept["size_parameters"]]).to_csv(
            temporary, index=False
        )


def measured_sizes(path=None):
    """The kept table, one row a size: the median time of its repeats.

    Raises: SystemExit where it was not measured yet.
    """
    path = path or table_path()
    if not path.exists():
        raise SystemExit(
            f"benchmarks cost_grid: {path} is not there; python -m benchmarks.cost_grid measures it"
        )
    table = read_table(path)
    key = table["size_parameters"].map(str)
    first = table[table["repeat"] == 0].set_index(key[table["repeat"] == 0])
    times = table.groupby(key)["service_ms"].median()
    rows = first.assign(service_ms=times[first.index]).sort_values("flops", kind="stable")
    return rows.reset_index(drop=True)


def read_table(path):
    """The table with size parameters as lists."""
    table = pd.read_csv(path)
    return table.assign(size_parameters=table["size_parameters"].map(json.loads))


# ---- replaying ------------------------------------------------------------


def revenue_beyond_base(flops, revenue_per_hour=REVENUE_PER_HOUR):
    """Revenue per hour beyond the base's, [sizes], by the paper's own law and G.

    The law is fitted to Figure 7; G's slope is that which gives the size of section 5.1 its
    published 0.85 %.
    """
    points = pd.read_csv(root() / "params" / "paper" / "figure7.csv")
    law = BNSL(bound=1.0).fit(points["flops"], points["r_over_r_star"])
    base, solved = matrix_flops(BASE), matrix_flops(SOLVED)
    gain = law.predict(np.asarray(flops, float)) - law.predict(float(base))
    return (
        revenue_per_hour
        * SOLVED_LIFT
        * gain
        / (law.predict(float(solved)) - law.predict(float(base)))
    )


class Measured:
    """The kept table: sizes in the order of FLOPs, their QPS by the median time, by repeats.

    A size's QPS is what the latency limit allows for its time (`load_at_limit`): the search
    that is replayed does the same, and a load test's own chance stays out of the truth.
    """

    def __init__(self, table):
        table = table.assign(size=table["size_parameters"].map(tuple))
        times = table.pivot(index="size", columns="repeat", values="service_ms")
        flops = matrix_flops(np.array(times.index.tolist()))
        times = times.iloc[np.argsort(flops, kind="stable")]
        self.sizes = np.array(times.index.tolist())
        limit, workers = REQUESTS.latency_limit_ms, REQUESTS.workers
        times = times.fillna(np.inf)  # a size that failed bears no load
        self.repeats = load_at_limit(times.to_numpy(), limit, workers=workers)
        self.qps = load_at_limit(times.median(axis=1).to_numpy(), limit, workers=workers)
        self.base = int((self.sizes == BASE).all(axis=1).argmax())

    def goal(self, roi_min=1.0):
        revenue = revenue_beyond_base(matrix_flops(self.sizes))
        return Goal(revenue, self.base, MACHINES_BASE, PRICE_PER_HOUR, roi_min)

    def cost(self):
        """Cost beyond the base's of the whole table, [sizes]."""
        machines = required_machines(self.qps[self.base], MACHINES_BASE, self.qps)
        return cost_per_hour(machines - MACHINES_BASE, PRICE_PER_HOUR)


def replay(table, seed, *, roi_min=1.0, share=0.05, **options):
    """One search on a measured table, held against the table's optimum.

    Args:
      table: rows of size_parameters, repeat, service_ms.
      seed: of the repeats drawn, the first sizes and the search's draws.
      roi_min: None for revenue less cost.
      share: of the sizes that may be measured.
      options: of `lib.design.size_search.search`.

    Returns: dict of chosen and optimum (size parameters), measurements, share measured,
      regret (of the goal's value, relative to the optimum's), revenue_gap (relative; of
      incremental revenue), meets_roi and roi (incremental, by the whole table),
      probability_best, enough.
    """
    known = Measured(table)
    goal, rng = known.goal(roi_min), np.random.default_rng(seed)
    by_size = dict(zip(map(tuple, known.sizes.tolist()), known.repeats, strict=True))
    result = search(
        known.sizes,
        goal,
        lambda size: {"qps": rng.choice(by_size[tuple(size)])},
        REQUESTS,
        budget=max(4, int(share * len(known.sizes))),
        seed=seed,
        progress=False,
        **options,
    )
    cost, value = known.cost(), goal.value(known.qps)
    optimum = int(value.argmax()) if roi_min is None else best_size(goal.revenue, cost, roi_min)
    best = result.best
    return {
        "chosen": known.sizes[best].tolist(),
        "optimum": known.sizes[optimum].tolist(),
        "measurements": len(result.rows),
        "share": len(result.rows) / len(known.sizes),
        "regret": float(1 - value[best] / value[optimum]),
        "revenue_gap": float(1 - goal.revenue[best] / goal.revenue[optimum]),
        "meets_roi": bool(roi_min is None or np.isfinite(value[best])),
        "roi": float(goal.revenue[best] / cost[best]) if cost[best] > 0 else np.inf,
        "probability_best": result.probability_best,
        "enough": result.enough,
    }


def replays(table, count=20, **options):
    """`replay` by seeds 0 .. count - 1, a DataFrame."""
    return pd.DataFrame(
        [replay(table, seed, **options) for seed in tqdm(range(count), desc="replays", leave=False)]
    )


def main():
    """Replays on the kept table; the rows of the report."""
    measured_sizes()  # says so where there is no table
    table, rows = read_table(table_path()), []
    for name, roi_min in (("revenue at ROI >= 1", 1.0), ("revenue less cost", None)):
        done = replays(table, roi_min=roi_min)
        print(f"\n{name}:\n{done.round(4).to_string()}")
        gap = done["revenue_gap" if roi_min else "regret"].where(done["meets_roi"], np.inf)
        rows.append(
            row(
                f"{name}: replays within 1 % of the optimum",
                "share",
                float((gap <= 0.01).mean()),
                1.0,
                "higher",
            )
        )
        rows.append(
            row(f"{name}: measured", "share of sizes", float(done["share"].max()), 0.05, "lower")
        )
    return rows


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, default=160)
    parser.add_argument("--engine", default="onnxruntime")
    given = parser.parse_args()
    measure(sub_grid(given.sizes), given.engine)
