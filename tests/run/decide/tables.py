"""A reader's tables with a known law and a known G, and what notebook 04 leaves of them."""

import json

import numpy as np
import pandas as pd
import yaml

from lib.run.decide.question import DESIGN, LAW
from lib.run.plan import Job
from tests import ROOT

BASE = [3328, 1024, 256, 256, 256, 1]
FLOPS = np.array([864320, 1753216, 3604736, 7602688, 13109248, 49284096])
GAIN = 0.8  # of revenue, for each unit of the metric


def metric(flops):
    """The law: R/R* of a size."""
    return 0.9 - 0.1 * (flops / FLOPS[0]) ** -0.25


def measurements(**changes):
    noise = np.random.default_rng(1).normal(0, 5e-4, len(FLOPS))
    table = {"model": [f"size {i}" for i in range(len(FLOPS))], "flops": FLOPS}
    return pd.DataFrame(table | {"r_over_r_star": metric(FLOPS) + noise}).assign(**changes)


def ab_tests(**changes):
    noise = np.random.default_rng(2).normal(0, 3e-4, len(FLOPS))
    lifts = GAIN * (metric(FLOPS) - metric(FLOPS[3])) + noise
    return pd.DataFrame(
        {"model": measurements().model, "revenue_lift": lifts, "revenue_lift_se": 3e-4}
    ).assign(**changes)


def costs():
    return pd.read_csv(ROOT / "params/quick/costs.csv")


PRICES = {
    "base_model": "size 3",
    "base": BASE,
    "machines_base": 100.0,
    "price_per_hour": 2.5,
    "revenue_per_hour": 40000.0,
    "candidates": 100,
    "latency_limit_ms": 100.0,
}


def written(folder, *, prices=None, **tables):
    """The question's file in a folder, with its tables beside it."""
    tables = {"measurements": measurements(), "ab_tests": ab_tests(), "costs": costs()} | tables
    for name, table in tables.items():
        table.to_csv(folder / f"{name}.csv", index=False)
    asked = {name: f"{name}.csv" for name in tables} | PRICES | (prices or {})
    path = folder / "question.yaml"
    path.write_text(yaml.safe_dump({k: v for k, v in asked.items() if v is not None}))
    return path


def draws(count=60, seed=0):
    """Arrays of a draws.npz: a rising lift and a rising cost, both uncertain, 40 sizes."""
    rng = np.random.default_rng(seed)
    flops = np.geomspace(0.3, 8, 40) * FLOPS[3]
    flops[12] = FLOPS[3]
    base = 12
    ratio = flops / FLOPS[3]
    lift = 0.04 * (1 - ratio**-0.5) / 0.6
    lift_draws = lift * rng.normal(1, 0.4, (count, 1)) + rng.normal(0, 4e-4, (count, 40))
    lift_draws -= lift_draws[:, [base]]
    cost_draws = 250 * ratio**0.8 * np.exp(rng.normal(0, 0.1, (count, 40)))
    cost_draws[:, base] = 250
    cost_draws[: count // 4, -1] = np.inf
    return {
        "size_parameters": np.stack([np.arange(40) + 100, np.full(40, 64), np.ones(40, int)], 1),
        "flops": flops,
        "lift": lift - lift[base],
        "machine_cost": 250 * ratio**0.8,
        "lift_draws": lift_draws.astype("f4"),
        "machine_cost_draws": cost_draws.astype("f4"),
        "base": np.array(base),
    }


def finished(folder, **changes):
    """Jobs of notebooks 02 and 04 as if they had run, with their results."""
    jobs = []
    for stem in (LAW, DESIGN):
        output = folder / stem
        output.mkdir(parents=True)
        claim = {"name": "R/R\\* rises", "value": 0.5, "interval": [0.4, 0.6], "source": "this run"}
        claim |= {"published": None, "verdict": "holds", "covers": "this system measured again"}
        summary = {"notebook": stem, "answer": f"Answer of **{stem}** <b>", "values": {}}
        summary |= {"claims": [claim], "files": ["scaling_law.svg"]}
        (output / "summary.json").write_text(json.dumps(summary))
        (output / "scaling_law.svg").write_text('<svg xmlns="http://www.w3.org/2000/svg"/>')
        jobs.append(Job(stem, "decision", {}, {}, {"output": str(output), "seed": 0}, ()))
    np.savez(folder / DESIGN / "draws.npz", **(draws() | changes))
    return jobs


def scenarios():
    """Two scenarios of three sizes; within 100 the second one deserves the larger one."""
    return pd.DataFrame(
        {
            "scenario": ["home"] * 3 + ["search"] * 3,
            "size_parameters": ["[8, 4, 1]", "[16, 4, 1]", "[32, 4, 1]"] * 2,
            "revenue": [1000.0, 1010.0, 1015.0, 2000.0, 2040.0, 2060.0],
            "cost": [20.0, 40.0, 60.0, 20.0, 40.0, 60.0],
            "today": [1, 0, 0, 1, 0, 0],
        }
    )


def next_measurements():
    return pd.DataFrame(
        [
            {
                "kind": "A/B test",
                "size_parameters": "[110, 64, 1]",
                "correlation": 0.8,
                "per_hour": 1.25,
                "of_perfect": 0.5,
                "worth": 10950.0,
                "price": 1000.0,
                "net": 9950.0,
                "change": 0.25,
                "then": "[111, 64, 1]",
            }
        ]
    )
