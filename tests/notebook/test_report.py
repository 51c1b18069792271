"""Reports: verdicts that follow from the numbers, a summary that any reader can parse."""

import json
import re
import struct

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.text import Text

from lib.notebook.report import Report, read_summary


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
def test_claims_without_a_reference_are_refused(report, value, given, match):
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
        assert report.figure("figure", figure) is figure
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


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"notebook": "a", "claims": []}', b"\xff\xfe"])
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
