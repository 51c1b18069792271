"""A benchmark's rows: medians and extremes, targets from both sides, one form for all."""

import importlib
import json

import numpy as np
import pytest

from benchmarks.__main__ import NO_BENCHMARKS, main, names
from benchmarks.report import row, show
from tests import ROOT

KEYS = {  # DESIGN: relied on by readers of outputs/bench/NAME.json
    *("figure", "unit", "ours", "low", "high", "baseline", "baseline_name", "target", "better"),
    "met",
}


def test_several_values_give_their_median_and_extremes():
    got = row("a step", "s", np.array([0.3, 0.1, 0.25]), 0.25)
    assert got == {
        "figure": "a step",
        "unit": "s",
        "ours": 0.25,
        "low": 0.1,
        "high": 0.3,
        "baseline": None,
        "baseline_name": "",
        "target": 0.25,
        "better": "lower",
        "met": True,
    }


def test_a_single_value_has_the_interval_it_is_given():
    got = row("gap", "share", np.float32(0.5), baseline=np.int64(1), name="theirs", low=0.25)
    assert (got["ours"], got["low"], got["high"], got["baseline"]) == (0.5, 0.25, None, 1.0)
    assert json.loads(json.dumps(got)) == got


@pytest.mark.parametrize(
    ("ours", "better", "met"),
    [
        (1.0, "lower", True),
        (1.1, "lower", False),
        (1.0, "higher", True),
        (0.9, "higher", False),
        (np.nan, "lower", False),
        (np.nan, "higher", False),
    ],
)
def test_targets_are_met_on_their_side(ours, better, met):
    assert row("a", "s", ours, 1, better)["met"] is met
    assert row("a", "s", ours, better=better)["met"] is None


def test_what_is_no_row_is_refused():
    with pytest.raises(ValueError, match=r"better must be 'lower' or 'higher'; got 'less'"):
        row("a", "s", 1, 1, "less")
    with pytest.raises(ValueError, match=r"'a' has several values, whose extremes"):
        row("a", "s", [1, 2], low=0)


def test_the_table_shows_what_is_met(capsys):
    show([row("quick", "s", [1, 2, 3], 2), row("slow", "s", 5.0, 2), row("context", "s", 7.0)])
    head, *lines = capsys.readouterr().out.splitlines()
    assert head.split() == ["figure", "unit", "ours", "low", "high", "baseline", "target", "met"]
    assert [line.split() for line in lines] == [
        ["quick", "s", "2", "1", "3", "2", "met"],
        ["slow", "s", "5", "2", "MISSED"],
        ["context", "s", "7"],
    ]


def test_every_module_beside_the_report_is_a_benchmark():
    assert names() == sorted(
        path.stem
        for path in (ROOT / "benchmarks").glob("[a-z]*.py")
        if path.stem not in NO_BENCHMARKS
    )
    for name in names():
        assert callable(importlib.import_module(f"benchmarks.{name}").main)


@pytest.mark.parametrize("name", ["report", "law", "../metrics"])
def test_what_is_no_benchmark_is_refused(name):
    with pytest.raises(SystemExit, match=f"no benchmark {name!r}; there are .*laws"):
        main([name])


@pytest.mark.parametrize(
    "file", sorted((ROOT / "outputs/bench").glob("*.json")), ids=lambda file: file.stem
)
def test_committed_figures_have_the_one_form(file):
    for line in json.loads(file.read_text())["rows"]:
        assert line.keys() == KEYS
        assert line["better"] in ("lower", "higher") and line["met"] in (True, False, None)
