"""Reports: verdicts that follow from the numbers, a summary that any reader can parse."""

import json
import os
import re
import struct
import subprocess
import sys

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.text import Text

from lib.infra import locks
from lib.notebook import staging
from lib.notebook.report import LIKE_SYSTEM, THIS_SYSTEM, Report, put_in_place, read_summary
from tests import ROOT


@pytest.fixture
def report(tmp_path):
    return Report("02_bnsl_fitting", tmp_path / "quick" / "02_bnsl_fitting")


def summary(report):
    report.write()
    return json.loads((report.output / "summary.json").read_text())


@pytest.mark.parametrize(
    ("value", "given", "verdict"),
    [
        # published 0.9 (0.8 to 1.0), ours 0.7 (0.6 to 0.8): they differ by 0.2 +- 0.141
        (0.7, {"interval": (0.6, 0.8), "margin": 0.3}, "does not hold"),
        # ours 0.8 (0.7 to 0.9): 0.1 +- 0.141 holds 0; the errors alone leave room for 0.141
        (0.8, {"interval": (0.7, 0.9), "margin": 0.15}, "reproduces"),
        (0.8, {"interval": (0.7, 0.9), "margin": 0.14}, "cannot be tested"),
        # published without an error of its own counts as exact
        (
            0.8,
            {"interval": (0.7, 0.89), "margin": 0.1, "published_interval": None},
            "does not hold",
        ),
        # an exact value: 0.15 +- 0.1
        (0.75, {"margin": 0.2}, "does not hold"),
        (0.85, {"margin": 0.11}, "reproduces"),
        # a certain difference that does not matter: 0.05 +- 0.014
        (
            0.85,
            {"interval": (0.84, 0.86), "margin": 0.07, "published_interval": (0.89, 0.91)},
            "reproduces",
        ),
        (np.nan, {"margin": 0.1}, "cannot be tested"),
        (0.90, {"interval": (np.nan, np.nan), "margin": 0.1}, "cannot be tested"),
        (np.inf, {"interval": (0.7, np.inf), "margin": 9.0}, "cannot be tested"),
    ],
)
def test_what_reproduces_is_neither_another_value_nor_any_value(report, value, given, verdict):
    given = {"published_interval": (0.8, 1.0)} | given
    claim = report.claim("R²", value, published=0.9, covers=LIKE_SYSTEM, source="Figure 3", **given)
    assert claim.verdict == verdict


def test_unequal_bounds_add_in_squares_on_their_side(report):
    """0.3 less 0.4 (0.1 towards ours) + 0.3 (ours towards it): 0.5 against 0.6, then 0.4."""
    ours = {"interval": (0.0, 0.6), "covers": THIS_SYSTEM, "margin": 5.0, "source": "here"}
    for published, verdict in ((0.79, "reproduces"), (0.81, "does not hold")):
        bounds = (published - 0.4, published + 9)
        got = report.claim("a", 0.3, published=published, published_interval=bounds, **ours)
        assert got.verdict == verdict


@pytest.mark.parametrize(
    ("value", "given", "verdict"),
    [
        (0.03, {"holds": True}, "holds"),
        (0.03, {"holds": np.bool_(False)}, "does not hold"),
        (0.03, {"holds": True, "interval": (0.01, 0.05), "covers": THIS_SYSTEM}, "holds"),
        (None, {}, "cannot be tested"),
    ],
)
def test_without_a_published_value_the_run_decides(report, value, given, verdict):
    assert report.claim("R/R* grows", value, source="here", **given).verdict == verdict
    (claim,) = summary(report)["claims"]
    assert (claim["name"], claim["verdict"], claim["source"]) == ("R/R* grows", verdict, "here")
    assert claim["value"] == value and claim["covers"] == given.get("covers")


@pytest.mark.parametrize(
    ("interval", "margin", "verdict"),
    [
        ((0.01, 0.05), None, "holds"),
        ((-0.05, -0.01), None, "does not hold"),
        ((-0.01, 0.01), None, "cannot be tested"),
        ((-0.017, 0.017), 0.02, "no difference"),
        ((0.001, 0.017), 0.02, "no difference"),
        ((0.011, 0.051), 0.02, "holds"),
        ((-0.017, 0.021), 0.02, "cannot be tested"),
        ((np.nan, 0.01), 0.02, "cannot be tested"),
    ],
)
def test_a_difference_is_there_or_not_or_not_known(report, interval, margin, verdict):
    claim = report.difference(
        "a", np.mean(interval), interval, margin=margin, covers=THIS_SYSTEM, source="here"
    )
    assert claim.verdict == verdict and claim.margin == margin


@pytest.mark.parametrize(
    ("published", "source"), [(0.109, "here; excludes the published 0.109"), (0.01, "here")]
)
def test_a_published_difference_outside_is_called_excluded(report, published, source):
    claim = report.difference(
        "a", 0.0, (-0.017, 0.017), published=published, covers=THIS_SYSTEM, source="here"
    )
    assert (claim.source, claim.published) == (source, published)


@pytest.mark.parametrize(
    ("value", "given", "match"),
    [
        (
            0.9,
            {"published": 0.902},
            "needs a value and the margin .* got value 0.9 and margin None",
        ),
        (None, {"published": 0.902, "margin": 0.1}, "got value None and margin 0.1"),
        (0.9, {"published": 0.9, "margin": 0.1, "holds": True}, "published or holds, not both"),
        (
            0.9,
            {"holds": True, "interval": (0, 1)},
            "covers must say .* 'another system .* got None",
        ),
        (0.9, {"holds": True, "interval": (0, 1), "covers": "all"}, "got 'all'"),
    ],
)
def test_claims_without_a_reference_are_refused(report, value, given, match):
    with pytest.raises(ValueError, match=f"claim 'slope': .*{match}"):
        report.claim("slope", value, source="here", **given)
    assert report.claims == []


def test_what_is_true_by_construction_is_no_claim(report):
    report.check("the gap is proven", True)
    with pytest.raises(AssertionError, match="02_bnsl_fitting: it is not so: the gap is proven"):
        report.check("the gap is proven", False)
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
        published_interval=np.array([0.25, 0.75]),
        margin=np.float32(0.25),
        covers=THIS_SYSTEM,
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
            "verdict": "cannot be tested",
            "published_interval": [0.25, 0.75],
            "margin": 0.25,
            "covers": "this system measured again",
        }
    ]


def test_a_verdict_comes_from_the_number_and_not_from_its_rounding(report):
    ours = {"interval": (1.0000004, 2), "margin": 0.1, "covers": THIS_SYSTEM, "source": "here"}
    got = report.claim("a", 1.0000004, published=1.0, **ours)
    assert got.interval == [1.0, 2] and got.verdict == "does not hold"


@pytest.mark.filterwarnings("error")
def test_the_claims_are_shown_without_gaps(report):
    report.claim("one", 0.5, holds=True, source="here")
    two = {"published": 3, "margin": 1, "covers": LIKE_SYSTEM, "source": "paper"}
    report.claim("two", 1.5, interval=[1, 2], **two)
    table = report.write()
    assert table.name.tolist() == ["one", "two"]
    assert table.value.tolist() == [0.5, 1.5]
    assert table.covers.tolist() == ["", "another system like it"]
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
    report.write()
    assert table.size_parameters[1] == (1, 2)  # only the file has text
    back = pd.read_csv(report.output / "measurements.csv")
    assert [json.loads(text) for text in back.size_parameters] == [[3328, 1], [1, 2]]
    assert [json.loads(text) for text in back.weights] == [[0.1, 0.2], ["x"]]
    assert back.flops.tolist() == [7602688, 2]
    assert back.r[0] == 1 / 3 and np.isnan(back.r[1])
    assert report.table("rows", [{"a": 1}, {"a": 2}]).a.tolist() == [1, 2]


def drawn(label="clicks", points=2):
    figure, ax = plt.subplots(figsize=(2, 2))
    ax.scatter(np.arange(points), np.arange(points), label=label)
    ax.set(title=label, xscale="log", xlim=(1, 1000))
    ax.set_yticks([0, 1], [label, "b"])
    ax.legend()
    return figure


def test_figures_are_the_same_files_twice(tmp_path):
    for folder in ("one", "two"):
        report, figure = Report("02_bnsl_fitting", tmp_path / folder, pdf=True), drawn()
        report.figure("figure", figure)
        plt.close(figure)
        report.write()
    for kind, start in (("png", b"\x89PNG"), ("svg", b"<?xml"), ("pdf", b"%PDF")):
        content, again = ((tmp_path / f / f"figure.{kind}").read_bytes() for f in ("one", "two"))
        assert content.startswith(start) and content == again
        assert b"matplotlib" not in content[:200].lower() or kind == "svg"
        assert not re.search(rb"CreationDate|<dc:date>|20\d\d-\d\d-\d\dT", content)
    width, height = struct.unpack(">II", (tmp_path / "one/figure.png").read_bytes()[16:24])
    assert width >= 2 * 160 and height >= 2 * 160


def test_a_pdf_is_written_where_it_is_asked_for(report):
    report.figure("figure", drawn())
    report.write()
    assert files(report) == {"figure.png", "figure.svg", "summary.json"}


def test_many_points_make_no_large_file(report):
    for points in (100, 20_000):
        figure, ax = plt.subplots()
        ax.scatter(np.arange(points), np.sin(np.arange(points)))
        ax.plot(np.arange(points), np.sin(np.arange(points)))
        report.figure(f"of_{points}", figure)
        plt.close(figure)
    report.write()
    assert b"<image" not in (report.output / "of_100.svg").read_bytes()
    assert b"<image" in (report.output / "of_20000.svg").read_bytes()
    assert (report.output / "of_20000.svg").stat().st_size < 200_000


@pytest.mark.parametrize("label", ["CTR $& CVR^$", "$5 to $10", r"\$x_{", "$a$", "1 $"])
def test_dollars_in_names_are_shown_as_they_stand(report, label):
    figure = drawn(label)
    report.figure("figure", figure)
    texts = [text for text in figure.findobj(Text) if text.get_text() == label]
    assert len(texts) >= 3  # title, legend, tick
    assert not any(text.get_parse_math() for text in texts)
    exponents = [text for text in figure.findobj(Text) if "mathdefault" in text.get_text()]
    assert exponents and all(text.get_parse_math() for text in exponents)
    plt.close(figure)


def files(report):
    return {str(path.relative_to(report.output)) for path in report.output.rglob("*")}


def test_what_an_earlier_run_wrote_and_this_one_did_not_is_deleted(report):
    report.table("dials", [{"a": 1}])
    report.table("models", [{"a": 1}])
    report.figure("dials", drawn())
    report.write()
    (report.output / "cache").mkdir()
    for name in ("cache/dials.csv", "readers.csv", "readers.png"):
        (report.output / name).write_text("the reader's")
    again = Report(report.notebook, report.output)
    again.table("models", [{"a": 2}])
    again.write()
    again.write()  # as often as one likes
    mine = {"models.csv", "summary.json"}
    assert files(again) == {*mine, "cache", "cache/dials.csv", "readers.csv", "readers.png"}
    assert (again.output / "models.csv").read_text() == "a\n2\n"
    assert json.loads((again.output / "summary.json").read_text())["files"] == ["models.csv"]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "not JSON",
        "[1, 2]",
        "{}",
        '{"claims": 3, "files": ["readers.csv"]}',
        '{"notebook": "a", "answer": "", "values": {}, "claims": [{}], "files": ["readers.csv"]}',
        '{"notebook": "a", "answer": "", "values": {}, "claims": [], "files": 7}',
        '{"notebook": "a", "answer": "", "values": {}, "claims": [], "files": [7, null, ["a"]]}',
        '{"notebook": "a", "answer": "", "values": {}, "claims": [], '
        '"files": ["../readers.csv", "cache/x.csv", "readers.parquet", "/readers.csv", ""]}',
    ],
)
def test_nothing_is_deleted_by_another_s_summary(report, text):
    kept = ["readers.csv", "readers.parquet", "../readers.csv", "cache/x.csv", "cache"]
    (report.output / "cache").mkdir(parents=True)
    for name in kept[:-1]:
        (report.output / name).write_text("the reader's")
    (report.output / "summary.json").write_text(text)
    report.write()
    assert all((report.output / name).exists() for name in kept)
    assert json.loads((report.output / "summary.json").read_text())["claims"] == []


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"notebook": "a", "claims": []}', b"\xff\xfe", "[" * 100_000]
)
def test_another_s_summary_is_none(tmp_path, text):
    path = tmp_path / "summary.json"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    assert read_summary(path) is None
    assert read_summary(tmp_path / "absent.json") is None


def test_a_report_s_summary_is_read_back(report):
    report.claim("one", 0.5, holds=True, source="here")
    report.say("So.", x=1)
    assert summary(report) == read_summary(report.output / "summary.json")


def test_a_run_that_stops_leaves_the_earlier_results(report):
    report.table("models", [{"a": 1}])
    report.say("old")
    report.write()
    stopped = Report(report.notebook, report.output)
    stopped.table("models", [{"a": 2}])
    stopped.figure("new", drawn())
    assert (report.output / "models.csv").read_text() == "a\n1\n"
    assert not (report.output / "new.png").exists()
    finished = Report(report.notebook, report.output)  # what stopped is cleared away
    finished.table("models", [{"a": 3}])
    finished.write()
    assert files(finished) == {"models.csv", "summary.json"}
    assert (report.output / "models.csv").read_text() == "a\n3\n"


@pytest.mark.parametrize(
    ("text", "lies"),
    [
        ('{"notebook": "03_cost", "answer": "", "values": {}, "claims": []}', "results of 03_cost"),
        ("{}", "a summary.json of no notebook"),
        ("", "a summary.json of no notebook"),
    ],
)
def test_a_folder_of_something_else_is_refused(tmp_path, text, lies):
    (tmp_path / "summary.json").write_text(text)
    with pytest.raises(ValueError, match=f"02_bnsl_fitting: the folder '{tmp_path}' holds {lies}"):
        Report("02_bnsl_fitting", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["summary.json"]


@pytest.mark.skipif(locks.fcntl is None, reason="a system without locks")
def test_another_process_that_reports_is_kept_out_until_all_is_in_place(report):
    code = (
        "import sys; from lib.notebook.report import Report; Report('02_bnsl_fitting', sys.argv[1])"
    )

    def other():
        command = [sys.executable, "-c", code, report.output]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        return done.stderr.strip().splitlines()

    said = f"InUseError: 02_bnsl_fitting: {report.output}: process {os.getpid()} on"
    assert said in other()[-1]
    report.write()
    assert other() == []


def test_a_report_of_the_runner_s_waits_for_it(tmp_path, monkeypatch):
    report = Report("02_bnsl_fitting", tmp_path)
    report.table("models", [{"a": 1}])
    report.write()
    monkeypatch.setenv(staging.RUNNER, str(tmp_path))
    monkeypatch.setattr(staging, "end_with_parent", lambda **_: None)  # the tests' own would end
    report = Report("02_bnsl_fitting", tmp_path)
    report.table("models", [{"a": 2}])
    report.table("sizes", [{"a": 2}])
    report.write()
    report.write()
    elsewhere = Report("02_bnsl_fitting", tmp_path / "mine")
    elsewhere.write()  # of which the runner knows nothing
    assert (tmp_path / "mine/summary.json").exists()
    assert (tmp_path / "models.csv").read_text() == "a\n1\n"
    put_in_place(tmp_path, "02_bnsl_fitting")
    assert (tmp_path / "models.csv").read_text() == "a\n2\n"
    assert (tmp_path / "sizes.csv").exists()
    put_in_place(tmp_path, "02_bnsl_fitting")  # nothing to do


def test_a_summary_that_cannot_be_written_leaves_the_old_one(report):
    report.say("old")
    report.write()
    report.say("new", value=object())
    with pytest.raises(TypeError):
        report.write()
    assert json.loads((report.output / "summary.json").read_text())["answer"] == "old"
    assert [file.name for file in report.output.glob("[!.]*")] == ["summary.json"]


def test_a_claim_made_twice_stands_once(report):
    """As where a notebook's cell is run again, perhaps after other values."""
    report.claim("a", 1.0, holds=True, source="here")
    report.claim("b", 2.0, holds=True, source="here")
    report.claim("a", 3.0, holds=False, source="here")
    assert [(claim["name"], claim["value"]) for claim in summary(report)["claims"]] == [
        ("b", 2.0),
        ("a", 3.0),
    ]


def test_arrays_are_read_as_they_were_given(tmp_path):
    report = Report("04_roi_design", tmp_path)
    report.arrays("draws", lift=np.arange(3, dtype=np.float32), base=1)
    report.write()
    with np.load(tmp_path / "draws.npz") as arrays:
        assert arrays["lift"].tolist() == [0, 1, 2] and int(arrays["base"]) == 1
    report = Report("04_roi_design", tmp_path)
    report.write()  # an earlier run's file that this one has not written
    assert not (tmp_path / "draws.npz").exists()
