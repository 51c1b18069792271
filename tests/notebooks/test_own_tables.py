"""A reader's own tables enter the chain at any link: nothing is simulated or measured then."""

import functools
import json
import os
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from lib.infra.child_process import in_child
from lib.logs import reader
from lib.logs.features import save_features
from tests import ROOT
from tests.notebooks.cells import leave_results, run_cells
from tests.small_log import FEATURES, make_log

QUICK = ROOT / "outputs" / "quick"


STEM = "01_metric_validation"


def run(root, notebook, **parameters):
    """Run a notebook in this process with the quick profile's parameters; what it leaves."""
    return run_cells(
        notebook, root, profile="quick", **{name: str(value) for name, value in parameters.items()}
    )


def run_alone(root, notebook, **parameters):
    """`run` in a fresh process, for what it writes."""
    given = {name: str(value) for name, value in parameters.items()}
    in_child(notebook, functools.partial(leave_results, notebook, root, profile="quick", **given))


def command(root, notebook, **parameters):
    """Run a notebook of the quick profile by the command, with a kernel of its own."""
    given = [text for name, value in parameters.items() for text in ("-p", name, str(value))]
    done = subprocess.run(
        [sys.executable, "-m", "lib", "run", notebook, *given],
        check=False,
        env={**os.environ, "RETRIEVAL_SCALING_ROOT": str(root)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


def summary_of(root, notebook=STEM):
    return json.loads((root / "outputs/quick" / notebook / "summary.json").read_text())


def figures(root):
    """Names of the figures that notebook 01 left in `root`."""
    return {file.stem for file in (root / "outputs/quick" / STEM).glob("*.png")}


@pytest.mark.slow
def test_ab_tests_and_measurements_of_ones_own(tmp_path):
    folder = QUICK / STEM
    given = {name: folder / f"{name}.csv" for name in ("measurements", "ab_tests")}
    command(tmp_path, STEM, **given)
    summary = summary_of(tmp_path)
    committed = json.loads((folder / "summary.json").read_text())
    assert summary["values"]["slope"] == committed["values"]["slope"]
    mine = tmp_path / "outputs/quick" / STEM
    # The tables are those of the first of the study's systems.
    r_squared = pd.read_csv(mine / "metric_comparison.csv").set_index("metric").r_squared
    first = pd.read_csv(folder / "by_world.csv").iloc[0]
    for metric in ("r_over_r_star", "ndcg", "recall", "opa"):
        assert r_squared[metric] == pytest.approx(first[metric], rel=1e-8)
    assert figures(tmp_path) == {"metrics_and_revenue", "metric_comparison", "missed", "kinds"}
    assert not (mine / "cache").exists()  # nothing was simulated
    assert "16 models in your system" in summary["answer"]


def test_r_over_r_star_and_lift_are_enough(tmp_path):
    """A table without any other metric, error, kind or cut: what they would show is left out."""
    folder = QUICK / STEM
    pd.read_csv(folder / "measurements.csv")[["model", "r_over_r_star"]].to_csv(
        tmp_path / "measurements.csv", index=False
    )
    pd.read_csv(folder / "ab_tests.csv")[["model", "revenue_lift"]].to_csv(
        tmp_path / "ab_tests.csv", index=False
    )
    shown = run(tmp_path, STEM, measurements="measurements.csv", ab_tests="ab_tests.csv")["shown"]
    summary = summary_of(tmp_path)
    assert figures(tmp_path) == {"metrics_and_revenue", "metric_comparison", "missed"}
    assert [claim["name"] for claim in summary["claims"]] == [
        "R² of R/R* with revenue lift",
        "the model that R/R* puts first earns more than the base (lift)",
        "revenue lift grows with R/R*",
    ]
    first = pd.read_csv(folder / "by_world.csv").iloc[0]
    assert summary["claims"][0]["value"] == pytest.approx(first.r_over_r_star, abs=1e-6)
    # Nothing is said of what is not there.
    for heading in (
        "Which differences between models",
        "World by world",
        "sensitivity parameters\n",
    ):
        assert heading not in shown


def test_one_table_without_the_other_is_refused(tmp_path):
    with pytest.raises(ValueError, match="ab_tests must name a table, needed with measurements"):
        run(tmp_path, STEM, measurements=QUICK / STEM / "measurements.csv")


def test_a_study_of_an_earlier_run(tmp_path):
    """The committed study of the quick profile: the same claims, and nothing is trained."""
    folder = QUICK / STEM
    run(tmp_path, STEM, trainings=folder / "study.csv")
    summary = summary_of(tmp_path)
    committed = json.loads((folder / "summary.json").read_text())
    assert summary["claims"] == committed["claims"]
    mine = tmp_path / "outputs/quick" / STEM
    assert (mine / "study.csv").read_text() == (folder / "study.csv").read_text()
    assert not (mine / "cache").exists()


def test_tests_of_ones_own_at_a_dial(tmp_path):
    """Tests repeated where an assumption holds less and less: how R² changes along it."""
    folder = QUICK / STEM
    plain = pd.read_csv(folder / "measurements.csv").merge(pd.read_csv(folder / "ab_tests.csv"))
    rng = np.random.default_rng(0)
    rows = pd.concat(
        [plain]
        + [
            plain.assign(
                dial="late_tests",
                value=value,
                revenue_lift=np.clip(
                    plain.revenue_lift
                    + value * plain.revenue_lift.std() * rng.normal(size=len(plain)),
                    -1,
                    1,
                ),
            )
            for value in (0.0, 9.0)
        ]
    )
    lifts = ["revenue_lift", "revenue_lift_se"]
    keys = ["model", "dial", "value"]
    rows.drop(columns=lifts).to_csv(tmp_path / "measurements.csv", index=False)
    rows[keys + lifts].to_csv(tmp_path / "ab_tests.csv", index=False)
    shown = run(tmp_path, STEM, measurements="measurements.csv", ab_tests="ab_tests.csv")["shown"]
    assert "changes" in figures(tmp_path)
    assert "Where it stops: sensitivity parameters" in shown
    mine = tmp_path / "outputs/quick" / STEM
    along = pd.read_csv(mine / "sensitivity.csv")
    along = along[(along.metric == "r_over_r_star") & (along.revenue == "as billed")]
    r_squared = along.set_index("value").r_squared
    assert r_squared[0.0] > r_squared[9.0] + 0.3
    (change,) = pd.read_csv(mine / "changes.csv").change
    assert change == pytest.approx(r_squared[9.0] - r_squared[0.0])


def test_costs_of_ones_own(tmp_path):
    run_alone(tmp_path, "03_cost_simulation", costs=QUICK / "03_cost_simulation/costs.csv")
    summary = summary_of(tmp_path, "03_cost_simulation")
    committed = json.loads((QUICK / "03_cost_simulation/summary.json").read_text())
    assert [one["how"] for one in summary["values"]["paper_sizes"]] == [
        one["how"] for one in committed["values"]["paper_sizes"]
    ]
    mine = tmp_path / "outputs/quick/03_cost_simulation"
    assert not (mine / "timings.csv").exists() and not (mine / "search.csv").exists()


def test_the_fewest_columns_of_costs(tmp_path):
    """A table of only what is asked for still answers for the sizes that it holds."""
    sizes = [[3328, 1024, 256, 256, 256, 1], [5128, 1024, 512, 512, 512, 1]]
    pd.DataFrame(
        [
            {
                "family": "mlp",
                "size_parameters": str(size),
                "engine": "mine",
                "precision": "fp16",
                "machine": "mine",
                "candidates": 1500,
                "latency_limit_ms": 50.0,
                "qps": qps,
                "qps_low": 0.9 * qps,
                "qps_high": 1.1 * qps,
                "machines": machines,
                "cost_per_hour": machines,
            }
            for size, qps, machines in zip(sizes, (1000.0, 400.0), (100.0, 250.0), strict=True)
        ]
    ).to_csv(tmp_path / "costs.csv")
    run_alone(tmp_path, "03_cost_simulation", costs="costs.csv")
    summary = summary_of(tmp_path, "03_cost_simulation")
    (answer,) = summary["values"]["paper_sizes"]
    assert answer["size_parameters"] == sizes[1]
    assert (answer["here"], answer["how"]) == (2.5, "measured")


def test_a_log_of_ones_own(tmp_path):
    reader.write_logs(tmp_path / "log.parquet", [make_log(400)])
    save_features(tmp_path / "features.yaml", FEATURES)
    run(tmp_path, "00_logs", logs="log.parquet", features="features.yaml")
    summary = summary_of(tmp_path, "00_logs")
    assert summary["values"]["impressions"] == 400
    assert "simulated" not in summary["answer"]
