"""Reports: verdicts that follow from the numbers, a summary that any reader can parse."""

import json

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from lib.notebook.report import Report


@pytest.fixture
def report(tmp_path):
    return Report("02_bnsl_fitting", tmp_path / "quick" / "02_bnsl_fitting")


def summary(report):
    report.write()
    return json.loads((report.output / "summary.json").read_text())


@pytest.mark.parametrize(
    ("value", "given", "verdict"),
    [
        (0.90, {"published": 0.902, "tolerance": 0.01}, "reproduces"),
        (0.85, {"published": 0.902, "tolerance": 0.01}, "does not hold"),
        (0.892, {"published": 0.902, "tolerance": 0.0101}, "reproduces"),
        (0.80, {"published": 0.902, "interval": (0.7, 0.95)}, "reproduces"),
        (0.80, {"published": 0.902, "interval": (0.7, 0.9)}, "does not hold"),
        (0.80, {"published": 0.902, "interval": np.array([0.7, 0.902])}, "reproduces"),
        (None, {"published": 0.902, "interval": (0.7, 0.95)}, "reproduces"),
        (0.90, {"published": 0.902, "interval": (0.7, 0.9), "tolerance": 0.01}, "reproduces"),
        (0.80, {"published": 0.902, "interval": (0.7, 0.9), "tolerance": 0.01}, "does not hold"),
        (np.nan, {"published": 0.902, "tolerance": 0.01}, "cannot be tested"),
        (0.90, {"published": 0.902, "interval": (np.nan, np.nan)}, "cannot be tested"),
        (np.inf, {"published": 0.902, "interval": (0.7, np.inf)}, "cannot be tested"),
        (0.03, {"holds": True}, "holds"),
        (0.03, {"holds": np.bool_(False)}, "does not hold"),
        (0.03, {"holds": True, "interval": (0.01, 0.05)}, "holds"),
        (None, {}, "cannot be tested"),
    ],
)
def test_verdicts(report, value, given, verdict):
    assert report.claim("R² of R/R*", value, source="paper, Figure 3", **given).verdict == verdict
    (claim,) = summary(report)["claims"]
    assert claim["verdict"] == verdict
    assert (claim["name"], claim["source"]) == ("R² of R/R*", "paper, Figure 3")
    assert claim["value"] == (value if value is not None and np.isfinite(value) else None)


@pytest.mark.parametrize(
    ("value", "given", "match"),
    [
        (0.9, {"published": 0.902}, "needs an interval, or a value and its tolerance"),
        (None, {"published": 0.902, "tolerance": 0.1}, "needs an interval, or a value"),
        (
            0.9,
            {"published": 0.902, "tolerance": 0.1, "holds": True},
            "published or holds, not both",
        ),
    ],
)
def test_claims_without_a_yardstick_are_refused(report, value, given, match):
    with pytest.raises(ValueError, match=f"claim 'slope': .*{match}"):
        report.claim("slope", value, source="here", **given)
    assert report.claims == []


def test_the_summary_is_plain_json(report, capsys):
    report.say(
        "It is **so**.",
        models=np.int64(3),
        slope=np.float32(0.25),
        best="ndcg",
        third=1 / 3,
        undefined=np.nan,
        found=np.bool_(True),
        sizes=[np.int64(8), (1, 2)],
        low={"A": np.float64(0.1), "B": None},
        interval=np.array([0.1, 0.2]),
    )
    report.claim(
        "first",
        1 / 3,
        interval=(0, np.float64(2 / 3)),
        published=np.float32(0.5),
        tolerance=np.float32(0.25),
        source="here",
    )
    got = summary(report)
    assert got["notebook"] == "02_bnsl_fitting"
    assert got["answer"] == "It is **so**."
    assert got["values"] == {
        "models": 3,
        "slope": 0.25,
        "best": "ndcg",
        "third": 0.333333,
        "undefined": None,
        "found": True,
        "sizes": [8, [1, 2]],
        "low": {"A": 0.1, "B": None},
        "interval": [0.1, 0.2],
    }
    assert got["claims"] == [
        {
            "name": "first",
            "value": 0.333333,
            "interval": [0, 0.666667],
            "published": 0.5,
            "source": "here",
            "tolerance": 0.25,
            "verdict": "reproduces",
        }
    ]


def test_a_verdict_comes_from_the_number_and_not_from_its_rounding(report):
    got = report.claim("a", 1.0, interval=(1.0000004, 2), published=1.0, source="here")
    assert got.interval == [1.0, 2] and got.verdict == "does not hold"


@pytest.mark.filterwarnings("error")
def test_the_claims_are_shown_without_gaps(report):
    report.claim("one", 0.5, holds=True, source="here")
    report.claim("two", published=3, interval=[1, 2], source="paper")
    table = report.write()
    assert table.name.tolist() == ["one", "two"]
    assert table.value.tolist() == [0.5, ""]
    assert table.interval.tolist() == ["", [1, 2]]
    assert table.verdict.tolist() == ["holds", "does not hold"]
    assert len(Report("empty", report.output / "empty").write()) == 0


def test_tables_come_back(report):
    frame = pd.DataFrame(
        {
            "model": ["a", "b"],
            "flops": [7602688, 2],
            "size_parameters": [[3328, 1], (1, 2)],
            "r": [1 / 3, np.nan],
            "weights": [np.array([0.1, 0.2]), ["x"]],
        }
    )
    table = report.table("measurements", frame)
    assert table.size_parameters[1] == (1, 2)  # only the file has text
    back = pd.read_csv(report.output / "measurements.csv")
    assert [json.loads(text) for text in back.size_parameters] == [[3328, 1], [1, 2]]
    assert [json.loads(text) for text in back.weights] == [[0.1, 0.2], ["x"]]
    assert back.flops.tolist() == [7602688, 2]
    assert back.r[0] == 1 / 3 and np.isnan(back.r[1])
    assert report.table("rows", [{"a": 1}, {"a": 2}]).a.tolist() == [1, 2]


def test_figures_are_the_same_file_twice(report):
    figure, ax = plt.subplots(figsize=(1, 1))
    ax.plot([1, 2])
    file = report.output / "figure.png"
    assert report.figure("figure", figure) is figure
    first = file.read_bytes()
    report.figure("figure", figure)
    plt.close(figure)
    assert first[1:4] == b"PNG" and file.read_bytes() == first


def test_a_summary_that_cannot_be_written_leaves_the_old_one(report):
    report.say("old")
    report.write()
    report.say("new", value=object())
    with pytest.raises(TypeError):
        report.write()
    assert json.loads((report.output / "summary.json").read_text())["answer"] == "old"
    assert [file.name for file in report.output.iterdir()] == ["summary.json"]
