"""The map: in which streams data return more than parameters.

Every stream of the map differs from the study's in some of: popularity (how fast rare ids get
rarer), spectrum (how fast further factors matter less), drift, noise. In each, the base goes
through four times as many samples as its scaled versions, so that four times the data stands
beside four times each part, measured on independent worlds.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from lib.experiments.dlrm_study.gains import COUNTS, by_draw, loss_column
from lib.experiments.dlrm_study.sizes import Size, scaled
from lib.experiments.dlrm_study.streams import simulated_streams
from lib.experiments.dlrm_study.table import Training, TrainingPlan, run
from lib.infra.intervals import mean_interval
from lib.simulation.click_stream import ClickStreamParameters

FACTOR = 4
SCALED = ("rows", "width", "all_mlps")


# A cell's parameters, of which only popularity and spectrum, or only drift and noise, vary.
TURNED = ("popularity_exponent", "spectrum_exponent", "drift_rows", "noise")


def cells(
    parameters: Mapping[str, Any],
    popularity: Sequence[float],
    spectrum: Sequence[float],
    drift: Sequence[float],
    noise: Sequence[float],
) -> list[dict[str, float]]:
    """The map's two halves: popularity x spectrum, and drift x noise about the study's own stream.

    >>> len(cells({}, [0.5, 1.0], [1.0], [0], [0.0, 0.5]))  # one of them is in both
    3
    """
    p = ClickStreamParameters(**parameters)
    centre = {name: getattr(p, name) for name in TURNED}
    first = [
        centre | {"popularity_exponent": a, "spectrum_exponent": b}
        for a in popularity
        for b in spectrum
    ]
    second = [centre | {"drift_rows": d, "noise": share} for d in drift for share in noise]
    return [dict(cell) for cell in dict.fromkeys(tuple(c.items()) for c in [*first, *second])]


def survey(
    cells: Sequence[Mapping[str, float]],
    parameters: Mapping[str, Any],
    base: Size,
    plan: TrainingPlan,
    seeds: Sequence[int],
    rates_of: Callable[[Size], Sequence[float]],
    folder: str | Path,
    *,
    n_jobs: int = 1,
    backend: str = "loky",
) -> pd.DataFrame:
    """Train base and scaled sizes in every cell of the map.

    Args:
      cells: each the parameters in which its streams differ from `parameters`.
      plan: whose largest mark the base reaches; scaled sizes stop at a quarter of it.
      seeds: of each cell's worlds.
      rates_of: learning rates of a size.

    Returns: the tables of `lib.experiments.dlrm_study.table.run`, with the cells' parameters and
      `cell`, its number.
    """
    quarter = [mark for mark in plan.marks if mark * FACTOR <= max(plan.marks)]
    short = dataclasses.replace(plan, marks=quarter)
    different = [{**parameters, **cell} for cell in cells]
    streams = simulated_streams(
        different,
        seeds,
        max(plan.marks) + plan.validation_rows,
        Path(folder) / "streams",
        n_jobs=n_jobs,
        backend=backend,
    )
    sizes = [("data", 1, base, plan)]
    sizes += [(way, FACTOR, scaled(base, way, FACTOR), short) for way in SCALED]
    trainings = [
        Training("dlrm", way, factor, size, of_cell, part, rates_of(size))
        for of_cell in streams
        for way, factor, size, part in sizes
    ]
    table = run(trainings, folder, n_jobs=n_jobs, backend=backend)
    numbers = {stream.data: n for n, of_cell in enumerate(streams) for stream in of_cell}
    table["cell"] = table.data.map(numbers)
    return table.join(pd.DataFrame(list(cells)), on="cell")


def cell_gains(table: pd.DataFrame, interval: float = 0.9) -> pd.DataFrame:
    """What four times each resource gives in each cell, and which gives most.

    Args:
      table: of `survey`.

    Returns: DataFrame: cell, samples, way ("data" and SCALED), gain, low, high (fraction of the
      base's loss), and `less_than_data` (mean, low, high of data's gain less the way's).
    """
    rows = []
    for cell, part in table.groupby("cell"):
        loss = by_draw(part, loss_column(part))
        base = loss.loc["data", 1.0]
        for samples in base.index:
            if FACTOR * samples not in base.index:
                continue
            data = 1 - base.loc[FACTOR * samples] / base.loc[samples]
            for way in ("data", *SCALED):
                gain = data
                if way != "data":
                    gain = 1 - loss.loc[way, float(FACTOR), samples] / base.loc[samples]
                mean, less = mean_interval(gain, interval), mean_interval(data - gain, interval)
                rows.append(
                    {"cell": cell, "samples": samples, "way": way, "gain": mean.value}
                    | {"low": mean.low, "high": mean.high, "less_than_data": less.value}
                    | {"less_low": less.low, "less_high": less.high}
                )
    return pd.DataFrame(rows)


def where_data_wins(gains: pd.DataFrame, table: pd.DataFrame) -> pd.DataFrame:
    """Each cell's best way of scaling parameters against data, at every number of samples.

    Args:
      gains: of `cell_gains`; table: of `survey`.

    Returns: DataFrame: cell, samples, best (way), data_gain, parameter_gain, ratio of the two,
      the columns of TURNED, and verdict: "data" where data's gain is larger beyond the interval,
      "parameters" where smaller, else "undecided"; "nothing" where neither counts.
    """
    rows = []
    for (cell, samples), part in gains.groupby(["cell", "samples"]):
        data = part[part.way == "data"].iloc[0]
        best = part[part.way != "data"].sort_values("gain").iloc[-1]
        verdict = "undecided"
        if max(data.high, best.high) < COUNTS:
            verdict = "nothing"
        elif best.less_low > 0:
            verdict = "data"
        elif best.less_high < 0:
            verdict = "parameters"
        rows.append(
            {
                "cell": cell,
                "samples": samples,
                "best": best.way,
                "data_gain": data.gain,
                "parameter_gain": best.gain,
                "ratio": best.gain / data.gain if data.gain > 0 else np.inf,
                "verdict": verdict,
            }
        )
    turned = table.groupby("cell")[list(TURNED)].first()
    return pd.DataFrame(rows).join(turned, on="cell")
