"""Streams as they are drawn, whoever drew another before; a table that grows by each training."""

import numpy as np
import pandas as pd
import pytest
import yaml

from benchmarks import one_more_decade
from lib.logs.click_data import ClickData
from lib.simulation.click_stream import ClickStream, ClickStreamParameters
from tests.experiments.dlrm_study.small_streams import BASE, STREAM


@pytest.fixture(autouse=True)
def small_and_in_this_process(monkeypatch):
    monkeypatch.setattr(one_more_decade, "ROWS", 128)
    monkeypatch.setattr(one_more_decade, "cores", lambda: 1)
    monkeypatch.setattr(one_more_decade, "_STREAM", None)


def test_each_world_is_its_own(tmp_path):
    """The same process draws one after the other, as a worker does."""
    for seed in (0, 1):
        given = {**STREAM, "seed": seed}
        one_more_decade.write(given, 300, tmp_path / str(seed))
        data = ClickData.open(tmp_path / str(seed))
        want = ClickStream(ClickStreamParameters(**given)).rows(0, 300)
        assert len(data) == 300 and data.origin == given
        for got, expected in zip(data.rows(0, 300), want, strict=True):
            np.testing.assert_array_equal(got, expected)


@pytest.fixture
def profile(tmp_path):
    path = tmp_path / "06.yaml"
    given = {
        **{"stream": STREAM, "seeds": [0, 1, 2], "tuning_seed": 9, "tuning_samples": 32},
        **{"marks": [32, 64], "longest": [128], "validation_rows": 100, "batches": [[0, 32]]},
        **{"base": BASE, "learning_rates": [[0.2, 0.1], [0.1, 0.1]]},
    }
    path.write_text(yaml.safe_dump(given))
    return path


def test_every_size_goes_on_ten_times_as_far(profile, tmp_path, monkeypatch):
    """The second rates suit wide models; without Keras, whose training has its own tests."""
    asked = []

    def trained(given, folder, size, rates, marks):
        asked.append((folder.name, marks))
        loss = 0.5 - 0.1 * ((rates == [0.1, 0.1]) == (size["width"] > 4))
        names = ("expected_log_loss", "expected_normalised_entropy")
        return [{"samples": mark, **dict.fromkeys(names, loss)} for mark in marks]

    monkeypatch.setattr(one_more_decade, "trained", trained)
    one_more_decade.main(profile, tmp_path, worlds=2)
    table = pd.read_csv(tmp_path / "one_more_decade.csv")
    assert table.groupby(["way", "factor"], sort=False).size().to_dict() == {
        ("base", 1): 12,
        ("rows", 4): 12,
        ("width", 4): 12,
        ("all_mlps", 4): 12,
    }
    assert table.samples.unique().tolist() == [32, 64, 128, 320, 640, 1280]
    assert table.groupby("way").learning_rates.unique().map(list).to_dict() == {
        "base": ["[0.2, 0.1]"],
        "rows": ["[0.2, 0.1]"],
        "width": ["[0.1, 0.1]"],
        "all_mlps": ["[0.2, 0.1]"],
    }
    # Rates are chosen on a world that is used for nothing else.
    assert {tuple(marks) for name, marks in asked if name == "tuning"} == {(32,)}
    assert {name for name, _ in asked} == {"tuning", "clicks-0", "clicks-1"}


def test_what_does_not_fit_into_the_time_is_left_out(profile, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(
        one_more_decade, "trained", lambda *_: [{"samples": 1, "expected_log_loss": 1.0}]
    )
    one_more_decade.main(profile, tmp_path, seconds=40.0, worlds=1)
    assert "no time is left for base on the world of seed 0" in capsys.readouterr().out
    assert not (tmp_path / "one_more_decade.csv").exists()


def test_a_training_goes_through_the_marks(profile, tmp_path):
    given = yaml.safe_load(profile.read_text())
    one_more_decade.write({**STREAM, "seed": 0}, 200, tmp_path / "clicks")
    rows = one_more_decade.trained(given, tmp_path / "clicks", BASE, [0.2, 0.1], [32, 64])
    assert [row["samples"] for row in rows] == [32, 64]
    assert np.isfinite([row["expected_normalised_entropy"] for row in rows]).all()
