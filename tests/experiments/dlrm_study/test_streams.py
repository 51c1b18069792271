"""Streams prepared once; their rows and auctions are the simulation's; bad input is named."""

import numpy as np
import pytest

from lib.experiments.dlrm_study import streams as module
from lib.experiments.dlrm_study.streams import load_auctions, open_streams
from lib.logs.click_data import ClickData, Clicks, ClickWriter
from lib.metrics.clicks import normalised_entropy
from lib.models.click_size import Field
from lib.simulation.click_stream import ClickStream, ClickStreamParameters
from tests.experiments.dlrm_study.small_streams import ROWS, STREAM, simulated


def test_a_stream_holds_the_simulation_s_rows_and_auctions(streams):
    for seed, stream in zip((0, 7), streams, strict=True):
        world = ClickStream(ClickStreamParameters(**STREAM, seed=seed))
        data = ClickData.open(stream.data)
        assert data.fields == world.fields and data.dense == world.dense and len(data) == ROWS
        for got, want in zip(data.rows(0, ROWS), world.rows(0, ROWS), strict=True):
            np.testing.assert_array_equal(got, want)
        got, want = load_auctions(stream.auctions), world.auctions(20, 3, ROWS)
        np.testing.assert_array_equal(got.bids, want.bids)
        for one, other in zip(got.impressions, want.impressions, strict=True):
            np.testing.assert_array_equal(one, other)
    assert [stream.draw for stream in streams] == [0, 1]


def test_without_requests_there_are_no_auctions(tmp_path):
    (stream,) = simulated(tmp_path)
    assert stream.auctions == "" and not list(tmp_path.glob("*auctions*"))


def test_every_parameters_has_a_stream_of_each_seed(tmp_path):
    noisy = {**STREAM, "noise": 0.5}
    got = module.simulated_streams([STREAM, noisy], [3, 4], ROWS, tmp_path)
    assert [[stream.draw for stream in of] for of in got] == [[0, 1], [0, 1]]
    origins = [[ClickData.open(stream.data).origin["parameters"] for stream in of] for of in got]
    assert origins == [[{**p, "seed": seed} for seed in (3, 4)] for p in (STREAM, noisy)]


def test_what_is_prepared_is_not_drawn_again(tmp_path, monkeypatch):
    first = simulated(tmp_path)

    def drawn(*_):
        raise AssertionError("drawn again")

    monkeypatch.setattr(module, "ClickStream", drawn)
    assert simulated(tmp_path) == first


@pytest.fixture(scope="module")
def opened(tmp_path_factory):
    folder = tmp_path_factory.mktemp("opened")
    given = STREAM | {"drift_rows": 2000.0, "noise": 0.25}
    return open_streams("simulated", "", given, [0, 1], rows=ROWS, folder=folder)


def test_what_a_reader_is_told(opened):
    data = [ClickData.open(stream.data) for stream in opened.streams]
    assert opened.rows == ROWS
    assert opened.base_rate == pytest.approx(np.mean([d.clicks / len(d) for d in data]))
    truths = [d.rows(0, ROWS).probability for d in data]
    floor = np.mean([normalised_entropy(truth, truth) for truth in truths])
    assert opened.floor == pytest.approx(floor) and 0 < floor < 1
    for text in (
        "**Simulated.**",
        "turn within 2,000 rows",
        "25% of the clicks",
        "2 draws of 1,000 rows",
        "4 fields of ids and 2 dense",
        f"normalised entropy of {floor:.4f}",
    ):
        assert text in opened.description


def test_a_real_log_in_its_own_order_has_a_draw_a_seed_and_no_floor(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)

    def read(path, folder):
        with ClickWriter(folder, "criteo", [Field("ad", 9)]) as writer:
            ids = rng.integers(0, 9, (40, 1))
            writer.write(Clicks(np.arange(40) % 4 == 0, ids, np.zeros((40, 0), np.float32)))

    monkeypatch.setattr(module, "criteo", read)
    got = open_streams("criteo", "train.txt", {}, [0, 1, 2], rows=40, folder=tmp_path)
    assert (
        [stream.draw for stream in got.streams] == [0, 1, 2]
        and got.floor is None
        and got.base_rate == 0.25
    )
    assert len({stream.data for stream in got.streams}) == 1
    assert "Criteo's log, in its own order" in got.description and "3 draws of" in got.description
    with pytest.raises(ValueError, match=r"need 41 rows; .*criteo holds 40"):
        open_streams("criteo", "train.txt", {}, [0], rows=41, folder=tmp_path / "again")


def test_movielens_has_an_order_a_seed(tmp_path, monkeypatch):
    seeds = []

    def read(path, folder, *, seed):
        seeds.append(seed)
        with ClickWriter(folder, "movielens", [Field("movie", 9)]) as writer:
            writer.write(Clicks([0, 1], [[seed], [2]], np.zeros((2, 0), np.float32)))

    monkeypatch.setattr(module, "movielens_clicks", read)
    got = open_streams("movielens", "ml-1m", {}, [5, 3], rows=2, folder=tmp_path)
    assert seeds == [5, 3] and [stream.draw for stream in got.streams] == [0, 1]
    assert [ClickData.open(s.data).rows(0, 1).ids.item() for s in got.streams] == [5, 3]


def test_an_unknown_data_set_is_named(tmp_path):
    with pytest.raises(
        ValueError,
        match="dataset must be one of simulated, movielens, criteo, avazu; got 'netflix'",
    ):
        open_streams("netflix", "", {}, [0], rows=10, folder=tmp_path)
