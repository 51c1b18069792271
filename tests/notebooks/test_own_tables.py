"""A reader's own tables enter the chain at any link: nothing is simulated or measured then."""

import json
import os
import subprocess
import sys

import numpy as np
import pandas as pd

from lib.logs import reader
from lib.logs.features import save_features
from tests import ROOT
from tests.small_log import FEATURES, make_log

QUICK = ROOT / "outputs" / "quick"


def run(root, notebook, **parameters):
    """Run a notebook of the quick profile in `root`; returns its summary."""
    given = [text for name, value in parameters.items() for text in ("-p", name, str(value))]
    subprocess.run(
        [sys.executable, "-m", "lib", "run", notebook, *given],
        check=True,
        env={**os.environ, "RETRIEVAL_SCALING_ROOT": str(root)},
        capture_output=True,
    )
    return json.loads((root / "outputs/quick" / notebook / "summary.json").read_text())


def test_ab_tests_and_measurements_of_ones_own(tmp_path):
    folder = QUICK / "01_metric_validation"
    summary = run(
        tmp_path,
        "01_metric_validation",
        measurements=folder / "measurements.csv",
        ab_tests=folder / "ab_tests.csv",
    )
    committed = json.loads((folder / "summary.json").read_text())
    assert summary["values"] == committed["values"]
    mine = tmp_path / "outputs/quick/01_metric_validation"
    # Processors differ in the last digits of sums.
    pd.testing.assert_frame_equal(
        pd.read_csv(mine / "agreement.csv"), pd.read_csv(folder / "agreement.csv"), rtol=1e-8
    )
    assert {file.stem for file in mine.glob("*.png")} == {
        "metrics_and_revenue",
        "agreement",
        "missed",
        "kinds",
    }
    assert not (mine / "cache").exists()  # nothing was simulated
    assert "14 models in your system" in summary["answer"]


def test_a_study_of_an_earlier_run(tmp_path):
    """The committed study of the quick profile: the same claims, and nothing is trained."""
    folder = QUICK / "01_metric_validation"
    summary = run(tmp_path, "01_metric_validation", trainings=folder / "study.csv")
    committed = json.loads((folder / "summary.json").read_text())
    assert summary["claims"] == committed["claims"]
    mine = tmp_path / "outputs/quick/01_metric_validation"
    assert (mine / "study.csv").read_text() == (folder / "study.csv").read_text()
    assert not (mine / "cache").exists()


def test_tests_of_ones_own_at_a_dial(tmp_path):
    """Tests repeated where an assumption holds less and less: a map of R² along it."""
    folder = QUICK / "01_metric_validation"
    plain = pd.read_csv(folder / "measurements.csv").merge(pd.read_csv(folder / "ab_tests.csv"))
    rng = np.random.default_rng(0)
    rows = pd.concat(
        [plain]
        + [
            plain.assign(
                dial="late tests",
                value=value,
                revenue_lift=plain.revenue_lift
                + value * plain.revenue_lift.std() * rng.normal(size=len(plain)),
            )
            for value in (0.0, 9.0)
        ]
    )
    lifts = ["revenue_lift", "revenue_lift_se"]
    keys = ["model", "dial", "value"]
    rows.drop(columns=lifts).to_csv(tmp_path / "measurements.csv", index=False)
    rows[keys + lifts].to_csv(tmp_path / "ab_tests.csv", index=False)
    run(tmp_path, "01_metric_validation", measurements="measurements.csv", ab_tests="ab_tests.csv")
    mine = tmp_path / "outputs/quick/01_metric_validation"
    assert (mine / "dials.png").is_file()
    dials = pd.read_csv(mine / "dials.csv")
    along = (
        dials[(dials.metric == "r_over_r_star") & (dials.revenue == "as billed")]
        .set_index("value")
        .r_squared
    )
    assert along[0.0] > along[9.0] + 0.3


def test_costs_of_ones_own(tmp_path):
    summary = run(tmp_path, "03_cost_simulation", costs=QUICK / "03_cost_simulation/costs.csv")
    committed = json.loads((QUICK / "03_cost_simulation/summary.json").read_text())
    assert [one["how"] for one in summary["values"]["paper_sizes"]] == [
        one["how"] for one in committed["values"]["paper_sizes"]
    ]
    assert not (tmp_path / "outputs/quick/03_cost_simulation/cache").exists()


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
    summary = run(tmp_path, "03_cost_simulation", costs="costs.csv")
    (answer,) = summary["values"]["paper_sizes"]
    assert answer["size_parameters"] == sizes[1]
    assert (answer["here"], answer["how"]) == (2.5, "measured")


def test_a_log_of_ones_own(tmp_path):
    reader.write_logs(tmp_path / "log.parquet", [make_log(400)])
    save_features(tmp_path / "features.yaml", FEATURES)
    summary = run(tmp_path, "00_logs", logs="log.parquet", features="features.yaml")
    assert summary["values"]["impressions"] == 400
    assert "simulated" not in summary["answer"]
