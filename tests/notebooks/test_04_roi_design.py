"""Notebook 04 with tables of a reader's own: what it runs on, and what it refuses at once."""

import json
import os
import struct
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from tests import ROOT
from tests.notebooks.cells import run_cells

MODELS = 8
METRIC = np.linspace(0.80, 0.87, MODELS)


def measurements(**changes):
    return pd.DataFrame(
        {
            "model": [f"m{i}" for i in range(MODELS)],
            "flops": np.geomspace(1e6, 1e8, MODELS).astype(int),
            "r_over_r_star": METRIC,
        }
    ).assign(**changes)


def ab_tests(**changes):
    noise = np.random.default_rng(0).normal(0, 1e-3, MODELS)
    return pd.DataFrame(
        {
            "model": [f"m{i}" for i in range(MODELS)],
            "revenue_lift": 0.5 * (METRIC - 0.8) + noise,
            "impressions": 10**6,
        }
    ).assign(**changes)


def costs(**changes):
    """The columns that DESIGN.md asks for, and no others."""
    loads = {256: 40.0, 512: 30.0, 768: 20.0, 1024: 10.0}
    return pd.DataFrame(
        [
            {
                "family": "mlp",
                "size_parameters": str([3328, width, 256, 256, 256, 1]),
                "engine": "mine",
                "precision": "fp32",
                "machine": "mine",
                "candidates": 100,
                "latency_limit_ms": 100.0,
                "qps": qps,
                "qps_low": 0.9 * qps,
                "qps_high": 1.1 * qps,
                "machines": 1e3 / qps,
                "cost_per_hour": 1e3 / qps,
            }
            for width, qps in loads.items()
        ]
    ).assign(**changes)


def written(folder, **tables):
    """Parameters of the notebook that name tables, written into a folder."""
    tables = {"measurements": measurements(), "ab_tests": ab_tests(), "costs": costs()} | tables
    for name, table in tables.items():
        table.to_csv(folder / f"{name}.csv", index=False)
    paths = {name: str(folder / f"{name}.csv") for name in tables}
    return {"models": paths["measurements"], "base_model": "m0", "candidates": 100} | paths


def inputs(folder, *, tables=None, **parameters):
    """The notebook's first cells, until all tables are read."""
    return run_cells(
        "04_roi_design", folder, "inputs", **written(folder, **(tables or {})) | parameters
    )


@pytest.mark.slow
def test_the_fewest_columns_in_a_small_currency(tmp_path):
    """Errors of lifts alone, no service times, revenue of 10 an hour: the figure keeps its size."""
    parameters = written(tmp_path, ab_tests=ab_tests(revenue_lift_se=1e-3)) | {
        "draws": 50,
        "latency_limit_ms": 100.0,
        "revenue_per_hour": 10.0,
        "training_costs": "''",  # the profile names a table that is not in this folder
    }
    given = [text for name, value in parameters.items() for text in ("-p", name, str(value))]
    subprocess.run(
        [sys.executable, "-m", "lib", "run", "04_roi_design", *given],
        check=True,
        env={**os.environ, "RETRIEVAL_SCALING_ROOT": str(tmp_path)},
        cwd=ROOT,
        capture_output=True,
    )
    folder = tmp_path / "outputs/quick"
    summary = json.loads((folder / "04_roi_design/summary.json").read_text())
    assert summary["values"]["sizes"] == 1553
    header = (folder / "04_roi_design/sizes.png").read_bytes()[16:24]
    width, height = struct.unpack(">II", header)
    with np.load(folder / "04_roi_design/draws.npz") as arrays:
        assert arrays["lift_draws"].shape == (50, 1553) == arrays["machine_cost_draws"].shape
        assert arrays["lift_draws"].dtype == np.float32 and arrays["lift"][arrays["base"]] == 0
    decided = pd.read_csv(folder / "04_roi_design/decision.csv")
    assert {"expected_revenue", "regret", "probability_of_bound", "near_equivalent"} <= set(decided)
    ranked = pd.read_csv(folder / "04_roi_design/next_measurements.csv")
    assert set(ranked.kind) == {"A/B test", "training", "load test"}
    # Sizes near the latency limit need any number of machines in some draws; means stay finite.
    assert decided.regret.between(0, 20).all() and ranked.per_hour.between(0, 10).all()
    assert 900 < width < 1500 and 500 < height < 1000


@pytest.mark.slow
def test_broken_models_do_not_enter(tmp_path):
    """A secondary model far off the line changes nothing; without `set` it would."""
    broken = {"model": "broken", "flops": 10**6, "r_over_r_star": 0.4}
    test = {"model": "broken", "revenue_lift": -0.9, "impressions": 10**6}
    table = pd.concat([measurements(set="primary"), pd.DataFrame([broken | {"set": "secondary"}])])
    tests = pd.concat([ab_tests(), pd.DataFrame([test])])
    slopes = [
        run_cells(
            "04_roi_design",
            tmp_path,
            "lifts",
            draws=50,
            **written(tmp_path, ab_tests=tests) | {"models": str(path)},
        )["revenue_model"].slope_
        for path in (
            _csv(tmp_path / "with_set.csv", table),
            _csv(tmp_path / "own.csv", measurements()),
        )
    ]
    assert slopes[0] == slopes[1]
    assert slopes[0] == pytest.approx(0.5, abs=0.1)


def _csv(path, table):
    table.to_csv(path, index=False)
    return path


def test_numbered_models(tmp_path):
    tables = {
        "measurements": measurements(model=range(MODELS)),
        "ab_tests": ab_tests(model=range(MODELS)),
    }
    names = inputs(tmp_path, tables=tables, base_model="1")
    assert names["base_row"].flops == measurements().flops[1]


def test_a_model_without_a_test_is_said(tmp_path, capsys):
    names = inputs(tmp_path, tables={"ab_tests": ab_tests().iloc[1:]})
    assert len(names["tested"]) == MODELS - 1
    assert "model 'm0'" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"latency_limit_ms": 0.0}, "latency_limit_ms must be a number > 0; got 0.0"),
        ({"latency_limit_ms": -5.0}, "latency_limit_ms must be a number > 0; got -5.0"),
        ({"candidates": -100}, "candidates must be a whole number >= 1; got -100"),
        ({"workers": 0}, "workers must be a whole number >= 1; got 0"),
        ({"draws": 0}, "draws must be a whole number >= 1; got 0"),
        ({"seed": -1}, "seed must be a whole number >= 0; got -1"),
        ({"roi_min": -1.0}, "roi_min must be a number >= 0; got -1.0"),
        ({"revenue_per_hour": -10.0}, "revenue_per_hour must be a number > 0; got -10.0"),
        ({"price_per_hour": 0.0}, "price_per_hour must be a number > 0; got 0.0"),
        ({"machines_base": 0.0}, "machines_base must be a number > 0; got 0.0"),
        ({"interval": 90.0}, "interval must be a number between 0 and 1; got 90.0"),
        ({"roi": "net"}, "roi must be one of 'incremental', 'total'; got 'net'"),
        ({"ratio_from": "all"}, "ratio_from must be one of 'input', 'hidden'; got 'all'"),
        ({"metric": "auc"}, r"metric must be a column .*measurements.csv.*'auc'"),
        ({"base": [3328, 1024, 256, 256, 1]}, r"base must hold the widths of 6 layers"),
        ({"part_bytes": 8}, "part_bytes must be 2 or 4; got 8"),
        ({"roi_limits": [1.0, -2.0]}, r"roi_limits must be a list of .* >= 0; got \[1.0, -2.0\]"),
        ({"ads": -1.0}, "ads must be a number >= 0; got -1.0"),
        ({"ads": 1e6, "ad_cache_bytes_max": 1e9}, "ad_cache_bytes_max must allow for the base"),
        ({"base_model": "m9"}, r"base_model must be .*measurements.csv.*'m0'.*got 'm9'"),
    ],
)
def test_a_bad_parameter_is_named_at_once(tmp_path, parameters, message):
    with pytest.raises(ValueError, match=message):
        inputs(tmp_path, **parameters)


@pytest.mark.parametrize(
    ("tables", "words"),
    [
        (
            {"measurements": measurements().replace({"r_over_r_star": {METRIC[4]: np.nan}})},
            ["measurements.csv", "r_over_r_star", "m4"],
        ),
        (
            {"measurements": measurements().rename(columns={"flops": "FLOPs"})},
            ["measurements.csv", "flops", "FLOPs"],
        ),
        ({"ab_tests": ab_tests(revenue_lift="0.85%")}, ["ab_tests.csv", "revenue_lift", "0.85%"]),
        ({"costs": costs().drop(columns="qps")}, ["costs.csv", "qps"]),
    ],
)
def test_a_bad_table_names_file_column_and_value(tmp_path, tables, words):
    with pytest.raises(ValueError, match=".*".join(map(r"(?=[\s\S]*{})".format, words))):
        inputs(tmp_path, tables=tables)


def test_a_base_beyond_the_limit_says_which_parameters_help(tmp_path):
    with pytest.raises(ValueError, match="raise latency_limit_ms, or let it score fewer"):
        run_cells(
            "04_roi_design", tmp_path, "serving", **written(tmp_path) | {"latency_limit_ms": 0.001}
        )


def test_a_base_beside_the_grid_and_limits(tmp_path, capsys):
    """A base of 1,000 units is added; a cache of 2 GB holds 1,000 units of a million ads."""
    names = inputs(tmp_path, base=[3328, 1000, 256, 256, 256, 1], ads=1e6, ad_cache_bytes_max=2.0e9)
    sizes = names["grid"].size_parameters
    assert sizes[names["base_index"]].tolist() == [3328, 1000, 256, 256, 256, 1]
    assert sizes[:, 1].max() == 1000
    assert "ad_cache_bytes_max leaves out" in capsys.readouterr().out


def test_sizes_of_a_reader_s_own(tmp_path):
    own = pd.DataFrame({"size_parameters": ["[400, 64, 1]", "[400, 128, 1]", "[800, 96, 1]"]})
    path = _csv(tmp_path / "sizes.csv", own)
    names = inputs(tmp_path, sizes_table=str(path), base=[400, 100, 1])
    assert names["grid"].size_parameters.tolist() == [
        [400, 100, 1],
        [400, 64, 1],
        [400, 128, 1],
        [800, 96, 1],
    ]
    assert names["paper_index"] is None
