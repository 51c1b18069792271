"""Notebook 02 on tables of one's own, in a folder of one's own, and what it refuses at once."""

import ast
import json
import os
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from tests import ROOT
from tests.notebooks.cells import run_cells

NOTEBOOK = json.loads((ROOT / "notebooks/02_bnsl_fitting.ipynb").read_text())


def run(root, profile="paper", **parameters):
    """Run notebook 02 in `root`: (exit status, what it says, its summary or None)."""
    given = [text for name, value in parameters.items() for text in ("-p", name, str(value))]
    done = subprocess.run(
        [sys.executable, "-m", "lib", "run", "02", "--profile", profile, *given],
        env={**os.environ, "RETRIEVAL_SCALING_ROOT": str(root)},
        capture_output=True,
        text=True,
    )
    summary = root / "outputs" / profile / "02_bnsl_fitting" / "summary.json"
    found = json.loads(summary.read_text()) if summary.exists() else None
    return done.returncode, done.stderr, found


@pytest.mark.slow
def test_the_paper_s_points_are_found_wherever_results_go(tmp_path):
    """params/paper/figure7.csv is the project's, whatever RETRIEVAL_SCALING_ROOT says."""
    status, said, summary = run(tmp_path, other_breaks="[]")
    assert status == 0, said
    committed = ROOT / "outputs/paper/02_bnsl_fitting/summary.json"
    values = json.loads(committed.read_text())["values"]
    assert summary["values"]["r_squared"] == pytest.approx(values["r_squared"], abs=1e-4)
    assert summary["values"]["asymptote"] == pytest.approx(values["asymptote"], abs=1e-4)
    output = tmp_path / "outputs/paper/02_bnsl_fitting"
    figures = {file.stem for file in output.glob("*.svg")}
    assert figures == {"scaling_law", "law_diagnosis", "next_sizes", "lifts"}
    assert pd.read_csv(output / "measurements.csv").flops.nunique() == 10
    assert not (output / "cache").exists()  # nothing was trained


@pytest.mark.slow
def test_a_table_of_ones_own(tmp_path):
    """A loss that falls, two seeds a size, five sizes: no next size, no lifts, the law alone."""
    rng = np.random.default_rng(0)
    flops = np.repeat(np.geomspace(1e6, 1e8, 5).astype(int), 2)
    loss = 0.5 + 0.2 * (flops / 1e6) ** -0.3 + rng.normal(0, 1e-3, 10)
    models = pd.DataFrame({"model": [f"mine {i}" for i in range(10)], "flops": flops, "loss": loss})
    models.to_parquet(tmp_path / "mine.parquet")
    given = {"measurements": "mine.parquet", "metric": "loss", "direction": "falling"}
    run_cells("02_bnsl_fitting", tmp_path, profile="paper", bound=0.0, lifts="", **given)
    output = tmp_path / "outputs/paper/02_bnsl_fitting"
    summary = json.loads((output / "summary.json").read_text())
    assert summary["values"]["law_warnings"] == []
    assert summary["values"]["trainings"] == 10 and summary["values"]["sizes"] == 5
    half_gaps = np.diff(loss.reshape(5, 2)) / 2  # of two seeds, whose variance is 2 x its square
    expected = np.sqrt(np.mean(2 * half_gaps**2))
    assert summary["values"]["seed_sd"] == pytest.approx(expected, rel=1e-5)
    assert summary["claims"][-1]["name"] == "loss improves with FLOPs (mean gain a doubling)"
    assert summary["claims"][-1]["verdict"] == "holds"
    assert {file.stem for file in output.glob("*.svg")} == {"scaling_law", "law_diagnosis"}


@pytest.mark.parametrize(
    ("profile", "parameters", "message"),
    [
        ("quick", {"seeds": []}, r"seeds must not be empty; got \[\]"),
        ("paper", {"measurements": "unknown.csv"}, r"unknown\.csv"),
    ],
)
def test_bad_parameters_stop_the_notebook_at_once(tmp_path, profile, parameters, message):
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        run_cells("02_bnsl_fitting", tmp_path, profile=profile, **parameters)
    assert not list(tmp_path.glob("outputs/*/02_bnsl_fitting/*"))  # nothing was made


def code_cells():
    return ["".join(cell["source"]) for cell in NOTEBOOK["cells"] if cell["cell_type"] == "code"]


def assigned(source):
    """Names that a cell assigns, imports and loops apart."""
    return {
        node.id
        for statement in ast.walk(ast.parse(source))
        if isinstance(statement, ast.Assign | ast.AugAssign | ast.AnnAssign)
        for target in getattr(statement, "targets", [getattr(statement, "target", None)])
        for node in ast.walk(target)
        if isinstance(node, ast.Name)
    }


def test_no_cell_assigns_what_another_one_does():
    """So a cell that is run twice finds what it found the first time."""
    owners = {}
    for place, source in enumerate(code_cells()):
        for name in assigned(source):
            owners.setdefault(name, []).append(place)
    owners.pop("figure")  # of each figure's own cell, and used nowhere else
    assert {name: cells for name, cells in owners.items() if len(cells) > 1} == {}
