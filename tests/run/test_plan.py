"""The plan of a run: what runs, with what, and what is refused before it starts."""

import json

import pytest

from lib.__main__ import main
from lib.run import places
from lib.run.execute import KERNELSPEC
from lib.run.plan import plan
from tests.run.helpers import add_notebook, add_results

NOTEBOOKS = sorted((places.REPOSITORY / "notebooks").glob("*.ipynb"))


def test_plan_is_in_order_and_complete(repository):
    for stem in ("02_law", "00_logs", "01_metric"):
        add_notebook(repository, stem, "output = ''\nseed = 0", values={"seed": 3})
    (repository / "params/quick/01_metric.yaml").unlink()  # not in this profile
    jobs = plan()
    assert [job.stem for job in jobs] == ["00_logs", "02_law"]
    assert jobs[1].values == {"output": "outputs/quick/02_law", "seed": 3}
    assert jobs[1].after == ("00_logs",)


@pytest.mark.parametrize("name", ["02", "02_law", "notebooks/02_law.ipynb"])
def test_plan_takes_names_and_overrides(repository, name):
    for stem in ("00_logs", "02_law"):
        add_notebook(repository, stem, "output = ''\nrate = 0.5\nn = 1")
    [job] = plan([name], overrides={"rate": 1, "output": "elsewhere"})
    assert job.stem == "02_law"
    assert job.given == {"output": "elsewhere", "rate": 1.0}
    assert job.values == {**job.given, "n": 1}


def test_overrides_go_where_they_are_declared(repository):
    add_notebook(repository, "00_logs", "output = ''\nseed = 0")
    add_notebook(repository, "02_law", "output = ''")
    first, second = plan(overrides={"seed": 5})
    assert first.given["seed"] == 5
    assert "seed" not in second.given


@pytest.mark.parametrize(
    ("output", "message"),
    [
        ("outputs/quick/02_law", "belongs to 02_law in the profile quick"),
        ("outputs/quick/../quick/02_law/", "belongs to 02_law in the profile quick"),
        ("outputs/quick/02_law/cache", "belongs to 02_law in the profile quick"),
        ("outputs/full/00_logs", "belongs to 00_logs in the profile full"),
        ("outputs/law", "holds results of 02_law"),
        ("outputs/readers", "holds a summary.json of no notebook"),
        ("notebooks/00_logs.ipynb", "is a file; expected a folder"),
        ("s3://bucket/00_logs", "is a URL; expected a folder"),
    ],
)
def test_no_run_replaces_the_results_of_another(repository, capsys, output, message):
    for stem in ("00_logs", "02_law"):
        add_notebook(repository, stem, "output = ''\nseed = 0")
    (repository / "params/full").mkdir()
    (repository / "params/full/00_logs.yaml").write_text("")
    add_results(repository / "outputs/law", "02_law")
    (repository / "outputs/readers").mkdir()
    (repository / "outputs/readers/summary.json").write_text('{"mine": 1}')
    assert main(["run", "00", "-p", "output", output]) == 2
    error = capsys.readouterr().err
    assert f"run: 00_logs: output {output!r} {message}" in error and "expected a folder" in error
    assert not (repository / "outputs/quick").exists()


@pytest.mark.parametrize("output", ["outputs/quick/00_logs", "outputs/mine/02_law", "elsewhere"])
def test_a_run_takes_a_folder_of_its_own(repository, output):
    for stem in ("00_logs", "02_law"):
        add_notebook(repository, stem, "output = ''")
    add_results(repository / output)
    [job] = plan(["00"], overrides={"output": output})
    assert job.output == repository / output


def test_a_run_does_not_replace_its_own_input(repository):
    add_notebook(repository, "00_logs", "output = ''\nrows = ''", values={"rows": "a" * 5000})
    folder = repository / "outputs/quick/00_logs"
    add_results(folder, files=["rows.csv"])
    for name in ("rows.csv", "readers.csv"):
        (folder / name).write_text("a\n1\n")
    rows = "outputs/quick/00_logs/rows.csv"
    for text in (rows, str(repository / rows)):
        with pytest.raises(ValueError, match=r"00_logs: rows .*rows\.csv' is a result of the note"):
            plan(overrides={"rows": text})
        assert plan(overrides={"rows": text, "output": "outputs/mine/00_logs"})
    assert plan(overrides={"rows": "outputs/quick/00_logs/readers.csv"})


def test_plan_refuses_files_of_no_notebook(repository):
    add_notebook(repository, "00_logs", "output = ''")
    (repository / "params/quick/00_log.yaml").write_text("")
    with pytest.raises(ValueError, match=r"00_log.yaml: belongs to no notebook; .*00_logs"):
        plan()


def test_plan_refuses_a_notebook_left_out_of_the_profile(repository):
    for stem in ("00_logs", "02_law"):
        add_notebook(repository, stem, "output = ''")
    (repository / "params/quick/02_law.yaml").unlink()
    with pytest.raises(ValueError, match=r"the profile quick has no params/quick/02_law.yaml"):
        plan(["02"])


def test_plan_wants_an_output(repository):
    add_notebook(repository, "00_logs", "seed = 0")
    with pytest.raises(ValueError, match=r"00_logs.ipynb: expected a parameter 'output'"):
        plan()


def test_plan_refuses_what_is_no_notebook(repository):
    add_notebook(repository, "00_logs", "output = ''")
    (repository / "notebooks/00_logs.ipynb").write_text("{")
    with pytest.raises(ValueError, match=r"notebooks/00_logs.ipynb: not a notebook"):
        plan()


@pytest.mark.parametrize(
    "profile",
    sorted(path.name for path in (places.REPOSITORY / "params").iterdir() if path.is_dir()),
)
def test_each_profile_can_be_planned(profile):
    for job in plan(profile=profile):
        assert job.values["output"] == f"outputs/{profile}/{job.stem}"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_sources_hold_no_results(path):
    notebook = json.loads(path.read_text())
    assert (notebook["nbformat"], notebook["nbformat_minor"]) == (4, 5)
    assert notebook["metadata"]["kernelspec"] == KERNELSPEC
    for cell in notebook["cells"]:
        assert cell["id"]
        if cell["cell_type"] == "code":
            assert cell["outputs"] == []
            assert cell["execution_count"] is None


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_in_a_profile(path):
    files = sorted((places.REPOSITORY / "params").glob(f"*/{path.stem}.yaml"))
    assert files
    for file in files:
        [job] = plan([path.stem], profile=file.parent.name)
        assert job.values["output"] == f"outputs/{file.parent.name}/{path.stem}"


# ---- profiles of one's own ------------------------------------------------


@pytest.fixture
def mine(repository, tmp_path):
    for stem in ("00_logs", "02_law"):
        add_notebook(repository, stem, "output = ''\nseed = 0")
    folder = tmp_path / "mine"
    folder.mkdir()
    for stem in ("00_logs", "02_law"):
        (folder / f"{stem}.yaml").write_text("seed: 3")
    with places.of_profile(folder):
        yield folder


def test_a_profile_of_one_s_own(mine):
    for name in ("question.yaml", "features.yaml", "README.md"):
        (mine / name).write_text("a: 1")
    jobs = plan(profile=str(mine))
    assert [job.values for job in jobs] == [
        {"output": f"outputs/{stem}", "seed": 3} for stem in ("00_logs", "02_law")
    ]
    assert [job.output for job in jobs] == [
        mine / "outputs" / stem for stem in ("00_logs", "02_law")
    ]
    assert jobs[0].executed == mine / "outputs/00_logs.ipynb"


@pytest.mark.parametrize(
    ("output", "message"),
    [
        ("outputs/02_law", "belongs to 02_law in the profile"),
        (".", "holds the profile's own files; expected a folder of its own, as outputs/00_logs"),
        ("..", "holds the profile's own files"),
    ],
)
def test_one_s_own_files_are_not_replaced(mine, output, message):
    with pytest.raises(ValueError, match=f"00_logs: output '{output}' {message}"):
        plan(["00"], profile=str(mine), overrides={"output": output})


def test_results_of_the_repository_are_not_replaced_by_another_profile(mine, repository):
    output = str(repository / "outputs/quick/02_law")
    with pytest.raises(ValueError, match="belongs to 02_law in the profile quick"):
        plan(["02"], profile=str(mine), overrides={"output": output})


def test_other_yaml_files_of_one_s_own_are_refused(mine):
    (mine / "02_laws.yaml").write_text("")
    with pytest.raises(ValueError, match=r"mine/02_laws.yaml: belongs to no notebook; .*may lie"):
        plan(profile=str(mine))


def test_a_profile_of_one_s_own_is_planned_where_it_lies(mine):
    with places.rooted(mine.parent), pytest.raises(RuntimeError, match=r"inside lib\.run\.places"):
        plan(profile=str(mine))
