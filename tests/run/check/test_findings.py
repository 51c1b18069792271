"""All checks of a notebook, and of the notebooks of a run, before any kernel starts."""

import json

import pytest

from lib.__main__ import main
from lib.notebook import report
from lib.run import places
from lib.run.check import check, say
from lib.run.check.findings import examine_run
from lib.run.plan import plan
from tests.fresh_process import printed
from tests.run.check.given import quick
from tests.run.decide import tables as made
from tests.run.helpers import add_results


@pytest.fixture
def root(tmp_path, monkeypatch):
    """An empty folder where relative paths start; notebooks and profiles are the repository's."""
    monkeypatch.setenv(places.ROOT, str(tmp_path))
    return tmp_path


@pytest.mark.parametrize(
    ("notebook", "parameters", "words"),
    [  # what once came after minutes of training or of load tests
        ("00", {"learning_rate": "-0.03"}, "learning_rate must be a number > 0; got -0.03"),
        ("00", {"logs": "log.parquet"}, "features must name the features file (YAML) of logs"),
        ("02", {"metric": "ndgc"}, "metric must be one of 'r_over_r_star'"),
        ("02", {"seeds": "[]"}, "seeds must not be empty; got []"),
        ("02", {"sizes": "[]"}, "sizes must not be empty; got []"),
        ("02", {"dataset": "criteo"}, "dataset must be one of '', 'trivago', 'movielens'"),
        ("02", {"held_out": "-1"}, "held_out must be a whole number >= 0; got -1"),
        ("02", {"other_breaks": "[-1]"}, "other_breaks must be a list of whole numbers >= 0"),
        ("03", {"model_file": "typo.onnx"}, "model_file: typo.onnx: no such file"),
        ("03", {"candidates": "0"}, "candidates must be a whole number >= 1; got 0"),
        ("04", {"latency_limit_ms": "0"}, "latency_limit_ms must be a number > 0; got 0"),
        ("04", {"latency_limit_ms": "-5"}, "latency_limit_ms must be a number > 0; got -5"),
        ("04", {"candidates": "-100"}, "candidates must be a whole number >= 1; got -100"),
        ("04", {"workers": "0"}, "workers must be a whole number >= 1; got 0"),
        ("04", {"draws": "0"}, "draws must be a whole number >= 1; got 0"),
        ("04", {"revenue_per_hour": "-1.0"}, "revenue_per_hour must be a number > 0; got -1.0"),
        ("04", {"base": "[3328, 1024, 256, 256, 1]"}, "base must hold the widths of 6 layers"),
        ("04", {"trainings": "no.csv"}, "trainings: no.csv: no such file"),
        ("05", {"base_hidden": "[33, 16]"}, "base_hidden must be one of [8, 4]"),
        ("05", {"metric": "auc"}, "metric must be one of 'r_over_r_star'"),
        ("05", {"sizes": "[]"}, "sizes must be a list of one or more sizes"),
        ("05b", {"budgets": "[2.0]"}, "budgets must hold 1.0"),
        ("05c", {"deployed_seeds": "[0]"}, "deployed_seeds must be others than law_seeds"),
        ("06", {"families": "[mlp]"}, "families must hold 'dlrm'"),
        ("07", {"served": "30"}, "served must be one of 5, 20, 60, 240, 1440"),
    ],
)
@pytest.mark.parametrize("command", ["run", "check"])
def test_both_commands_refuse_in_one_line_and_write_nothing(
    root, capsys, command, notebook, parameters, words
):
    given = [part for name, value in parameters.items() for part in ("-p", name, value)]
    assert main([command, notebook, *given]) == 2
    said = capsys.readouterr()
    assert said.err.startswith(f"{command}: {notebook}") and words in said.err, said.err
    assert said.err.count("\n") == 1 and not said.out
    assert list(root.iterdir()) == []


@pytest.mark.parametrize(
    ("variants", "words"),
    [
        ("[{model: a}, {model: b}]", "variants must hold 4 or more models of the primary set"),
        ("[{model: a}, {model: b}, {model: a}, {model: c}]", "different models; got 'a' twice"),
        ("[{model: a, hiden: [4, 1]}]", "variants[0]['hiden']: no such name is known"),
    ],
)
def test_variants_with_which_nothing_can_be_fitted(root, capsys, variants, words):
    assert main(["run", "01", "-p", "variants", variants]) == 2
    assert words in capsys.readouterr().err


def test_a_run_waits_for_what_it_writes_itself(root):
    found = {job.stem: inputs for job, inputs in examine_run(plan())}
    assert len(found) == 11
    assert set(found["02_bnsl_fitting"].awaited) == {"logs", "features", "trainings"}
    assert set(found["03_cost_simulation"].tables) == {"recorded_costs", "law_points", "law_tests"}
    with pytest.raises(ValueError, match=r"^02_bnsl_fitting: logs: .*notebook 00_logs writes it"):
        examine_run(plan(["02"]))


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("costs", "outputs/quick/03_cost_simulation/cost.csv"),
        ("costs", "outputs/quick/03_cost_simulation/costs.txt"),
        ("trainings", "outputs/quick/01_metric_validation/stuy.csv"),
    ],
)
def test_a_file_that_no_notebook_of_the_run_writes(root, name, path):
    jobs = plan(["00", "01", "02", "03", "04"])
    jobs[-1].values[name] = path
    with pytest.raises(ValueError, match=rf"04.*: {name}: {path}: no notebook of this run writes"):
        examine_run(jobs)


def test_a_log_that_no_notebook_of_the_run_writes(root):
    path = "outputs/quick/00_logs/cache/system/log.parquet"
    jobs = plan(["00", "02"], overrides={"features": path})
    with pytest.raises(ValueError, match="00_logs: logs must name the log that features"):
        examine_run(jobs)
    jobs = plan(["00", "02"])
    jobs[1].values["logs"] = path
    with pytest.raises(ValueError, match=r"logs: .*log.parquet: no notebook of this run writes"):
        examine_run(jobs)


def test_a_notebook_by_itself_keeps_to_its_own_output(root):
    add_results(root / "outputs/quick/01_metric_validation", "01_metric_validation")
    values = quick("06_dlrm_scaling", output="outputs/quick/01_metric_validation")
    with pytest.raises(ValueError, match="holds results of 01_metric_validation, which 06_dlrm"):
        check("06_dlrm_scaling", values)
    (root / "file").write_text("")
    with pytest.raises(ValueError, match="output 'file' is a file; expected a folder"):
        check("06_dlrm_scaling", quick("06_dlrm_scaling", output="file"))


def test_a_cell_says_what_looks_wrong(root, capsys):
    names = quick("06_dlrm_scaling") | {"logs": capsys, "learning_rate": "not of this notebook"}
    say("06_dlrm_scaling", names)
    assert capsys.readouterr().out == ""
    with pytest.raises(ValueError, match="interval must be a number between 0 and 1; got 90"):
        say("06_dlrm_scaling", names | {"interval": 90})


def test_what_looks_wrong_is_said_and_stands_in_the_summary(root, capsys, monkeypatch):
    monkeypatch.setattr(report, "SUSPICIONS", {})
    made.measurements().to_csv(root / "m.csv", index=False)
    made.ab_tests().replace({"model": {"size 2": "size 2x"}}).to_csv(root / "a.csv", index=False)
    say(
        "01_metric_validation",
        quick("01_metric_validation", measurements="m.csv", ab_tests="a.csv"),
    )
    said = capsys.readouterr().out
    assert said.startswith("Suspicious: ") and "size 2x" in said
    written = report.Report("01_metric_validation", root / "out")
    written.write()
    summary = json.loads((root / "out/summary.json").read_text())
    assert any("size 2x" in sentence for sentence in summary["suspicions"])
    report.Report("06_dlrm_scaling", root / "other").write()
    assert "suspicions" not in json.loads((root / "other/summary.json").read_text())


def test_other_notebooks_pass():
    assert check("99_own", {"anything": -1}) == []


@pytest.mark.slow
def test_nothing_heavy_is_imported():
    code = (
        "import sys; from lib.__main__ import main; main(['check', 'paper'])\n"
        "heavy = {'tensorflow', 'keras', 'sklearn', 'papermill', 'jax', 'onnxruntime'}\n"
        "print('heavy:', *(heavy & set(sys.modules)))"
    )
    assert printed(code).splitlines()[-1] == "heavy:"
