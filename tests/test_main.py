"""The command line: wrong arguments end in one line."""

import shutil

import pytest

from lib import __main__ as command
from lib.__main__ import main
from lib.run.parameters import read_overrides
from tests.run.helpers import add_notebook


def parse(arguments):
    return command.parser().parse_args(command.with_negative_values(arguments))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--profile", "fast"], "--profile fast: not found; params/ has empty, quick"),
        (["--profile", "empty"], "params/empty: expected NOTEBOOK.yaml files; found none"),
        (["2"], "2: expected one notebook of 00_logs, 02_law; found none"),
        (
            ["-p", "sed", "3"],
            "-p sed: no notebook of this run declares it; they are 00_logs, 02_law",
        ),
        (["-p", "seed", "1e3"], "-p: seed must be int; got '1e3'"),
        (["-p", "seed", "["], "-p seed: while parsing"),
        (["-p", "seed", "-1e3"], "-p: seed must be int; got '-1e3' (in YAML write 1000,"),
        (["-p", "seed", "-a"], "-p: seed must be int; got '-a'"),
        (["-p", "seed", "- 1"], "-p: seed must be int; got [1]"),
        (["-p", "seed", "[1]: 2"], "-p seed: expected a name before ':'; found a list"),
        (["-p", "output", "a"], "00_logs and 02_law have the same output 'a'"),
    ],
)
def test_wrong_arguments_end_in_one_line(repository, capsys, arguments, message):
    (repository / "params/empty").mkdir()
    for stem in ("00_logs", "02_law"):
        add_notebook(repository, stem, "output = ''\nseed = 0")
    assert main(["run", *arguments]) == 2
    assert message in capsys.readouterr().err
    assert not (repository / "outputs").exists()


def test_negative_values_are_values(repository):
    add_notebook(repository, "00_logs", "output = ''\nbound = 0.5\nseed = 0\nnames = []")
    options = ["-p", "bound", "-1.0e-3", "-p", "seed", "-5", "-p", "names", "- a"]
    parsed = parse(["run", *options, "--force"])
    assert read_overrides(parsed.parameters) == {"bound": -0.001, "seed": -5, "names": ["a"]}
    assert parsed.force
    with pytest.raises(SystemExit):
        parse(["run", "-p", "bound", "--force"])


def test_an_installed_copy_says_what_it_is_for(repository, capsys):
    shutil.rmtree(repository / "params")
    assert main(["run"]) == 2
    message = capsys.readouterr().err
    assert f"no notebooks and parameters in {repository}" in message
    assert "from a checkout of the repository" in message
