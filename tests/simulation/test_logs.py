"""Simulated logs: the format, the places of ads, the losers."""

import ast
from itertools import islice

import numpy as np
import pyarrow as pa
import pytest

from lib.logs import reader
from lib.logs.features import Features
from lib.simulation import (
    cascade,
    install_pre_ranking,
    keyed_random,
    match,
    oracle_system,
    sample_logs,
    truth,
    world,
)
from lib.simulation.cascade import visit
from lib.simulation.logs import usual_counts
from tests.fresh_process import printed
from tests.simulation.helpers import all_digests, columns, log_of, noisy, perturb, small

FIXED = {"pre_ranking": 4, "ranking": 4, "mix_ranking": 2}


@pytest.fixture(scope="module")
def table(matched):
    counts = {"matching": (0, 2), "pre_ranking": (3, 5), "ranking": (3, 5), "mix_ranking": (2, 2)}
    return log_of(noisy(matched, 0.5), 1500, counts=counts)


def test_log_columns(table, world):
    head = {
        "impression_id": "int64",
        "timestamp": "timestamp[ms, tz=UTC]",
        "v": "float",
        "ecpm": "float",
        "exposed": "bool",
    }
    assert {name: str(table.schema.field(name).type) for name in head} == head
    assert table.column_names == [*head, "stage", *(f["name"] for f in world.features)]
    assert pa.types.is_dictionary(table.schema.field("stage").type)
    assert str(table.schema.field("ad_embedding").type) == "fixed_size_list<item: float>[12]"
    assert str(table.schema.field("clicked_categories").type) == "list<item: int32>"


def test_v_is_the_relative_place_in_the_system_queue(table):
    """0..n-1 in each impression; later stages above earlier ones, by eCPM within Ranking."""
    number, v, ecpm, exposed = columns(table, "impression_id", "v", "ecpm", "exposed")
    stage = table["stage"].combine_chunks().indices.to_numpy()
    assert (np.diff(number) >= 0).all() and len(np.unique(number)) == 1500
    lengths = np.bincount(number)
    assert lengths.min() == 8 and lengths.max() == 14
    for rows in np.split(np.arange(len(v)), np.cumsum(lengths)[:-1]):
        rows = rows[np.argsort(v[rows])]
        assert v[rows].tolist() == list(range(len(rows)))
        assert (np.diff(stage[rows]) >= 0).all()
        assert (np.diff(ecpm[rows][stage[rows] == 2]) > 0).all()
        assert (np.diff(exposed[rows].astype(int)) >= 0).all() or exposed[rows].sum() < 2
    np.testing.assert_array_equal(ecpm > 0, stage >= 2)
    assert not exposed[stage < 3].any()


def test_rows_of_an_impression_do_not_give_the_order_away(table):
    number, v = columns(table, "impression_id", "v")
    first, last = (np.searchsorted(number, number, side) for side in ("left", "right"))
    middle = (last - first - 1) / 2
    place = np.arange(len(v)) - first
    assert abs(np.corrcoef(place - middle, v - middle)[0, 1]) < 4 / np.sqrt(len(v))


def test_each_ad_is_logged_where_it_got(table, matched):
    number, user, ad, ecpm = columns(table, "impression_id", "user_id", "ad_id", "ecpm")
    stage = table["stage"].combine_chunks().indices.to_numpy()
    system = noisy(matched, 0.5)
    for i in range(0, 1500, 150):
        here = number == i
        row = user[here][0]
        got = visit(system, np.array([row]), np.array([i]), seed=0)
        ranked = dict(zip(matched.ads[row, got.columns[0]], got.ecpm[0], strict=True))
        mixed = set(matched.ads[row, got.columns[0, got.queue[0, :10]]])
        present = set(matched.ads[row, ~got.absent[0]])
        assert len(set(ad[here])) == here.sum()
        for a, e, s in zip(ad[here], ecpm[here], stage[here], strict=True):
            assert s == (3 if a in mixed else 2 if a in ranked else 1 if a in present else 0)
            assert e == ranked.get(a, 0)


def test_ads_of_a_stage_are_drawn_evenly(oracle):
    """2 of the 10 ads of Mix-ranking: exposed ones come as often as they are exposed."""
    table = log_of(oracle, 3000, counts=FIXED)
    number, user, exposed = columns(table, "impression_id", "user_id", "exposed")
    first = np.unique(number, return_index=True)[1]
    shown = visit(oracle, user[first], number[first], seed=0).exposed.sum()
    assert exposed.sum() == pytest.approx(shown * 2 / 10, rel=0.08)


def test_log_does_not_depend_on_how_it_is_cut(matched):
    system = install_pre_ranking(matched)
    whole = log_of(system, 700)
    assert whole.equals(log_of(system, 700, impressions_per_table=300).combine_chunks())
    later = log_of(system, 200, first_impression=500)
    assert whole.slice(whole.num_rows - later.num_rows).combine_chunks().equals(later)
    assert not whole.equals(log_of(system, 700, seed=1))


def test_log_is_drawn_lazily(oracle):
    first, second = islice(sample_logs(oracle, 10**12, seed=0, impressions_per_table=10), 2)
    assert first["impression_id"][0].as_py() == 0 and second["impression_id"][0].as_py() == 10


def test_log_is_accepted_by_the_log_reader(table, world, tmp_path):
    features = Features(features=world.features)
    reader.write_logs(tmp_path / "log.parquet", [table])
    summary = reader.check(tmp_path / "log.parquet", features)
    assert summary.impressions == 1500 and summary.ads == table.num_rows


@pytest.mark.parametrize(
    "counts, message",
    [
        ({"mix_ranking": 11, "ranking": 4}, r"counts\['mix_ranking'\] must lie in 0..10; got 11"),
        ({"ranking": (4, 3)}, r"counts\['ranking'\] must lie in 0..10; got \(4, 3\)"),
        ({"prerank": 4}, "counts has stage 'prerank'; stages are"),
        ({"mix_ranking": 1}, "counts must give 2 ads or more"),
    ],
)
def test_counts_out_of_range_are_refused(oracle, counts, message):
    with pytest.raises(ValueError, match=message):
        next(sample_logs(oracle, 10, seed=0, counts=counts))


def test_empty_log_is_refused(oracle):
    with pytest.raises(ValueError, match=r"impressions must be at least 1; got 0"):
        next(sample_logs(oracle, 0, seed=0))


@pytest.mark.parametrize(
    ("losers", "counts"),
    [
        (0, {"pre_ranking": (0, 0), "ranking": (7, 9)}),
        (4, {"pre_ranking": (3, 5), "ranking": (3, 5)}),
        (8, {"pre_ranking": (7, 9), "ranking": (0, 0)}),
    ],
)
def test_logged_losers(losers, counts):
    world = small(logged_losers=losers)
    assert usual_counts(world.parameters) == {**counts, "mix_ranking": (2, 2)}
    log = pa.concat_tables(sample_logs(oracle_system(match(world)), 300, seed=0))
    assert log.num_rows / 300 == pytest.approx(10, abs=0.3)
    assert np.mean(log["ecpm"].to_numpy() == 0) == pytest.approx(losers / 10, abs=0.03)


# Whoever changes these has to draw the tables of the full profile anew.
COMMITTED = {
    "impression_id": "bf504f15",
    "timestamp": "0dddc501",
    "v": "eb5b7c1c",
    "ecpm": "d068860b",
    "exposed": "53674b4b",
    "stage": "bd0f5138",
    "user_id": "e441435d",
    "age_group": "f0c97dd4",
    "region": "8a0447dc",
    "clicked_categories": "caf25ac7",
    "user_embedding": "6fc7fbc0",
    "user_impressions": "fd2df794",
    "user_clicks": "05c6bd7e",
    "ad_id": "3f7f691f",
    "advertiser_id": "72b433fb",
    "category_id": "3c13b0ec",
    "ad_embedding": "a1fa3619",
    "bid": "8a9c7d6e",
    "ad_impressions": "e3280e32",
    "ad_clicks": "c4a06171",
    "ad_conversions": "731e0572",
    "organic": "0x1.06a2400000000p+2",
    "A/B test": "97cb17c9",
}


def test_the_log_is_the_committed_one_to_the_last_bit():
    assert all_digests() == COMMITTED


@pytest.mark.parametrize("seed", range(3))
def test_errors_of_functions_do_not_reach_the_log(seed, monkeypatch):
    perturb(monkeypatch, seed, error=1e-12)  # a thousand times what processors differ by
    assert all_digests() == COMMITTED


@pytest.mark.parametrize("module", [truth, world, cascade, keyed_random], ids=lambda m: m.__name__)
def test_they_would_without_a_rounding(module, monkeypatch):
    for name in {"on_grid", "significant"} & set(vars(module)):
        monkeypatch.setattr(module, name, lambda x, bits: np.asarray(x, float))
    exact = all_digests()
    perturb(monkeypatch, 0, error=1e-9)  # float32 is a grid too, if a fine one
    assert all_digests() != exact


@pytest.mark.parametrize(
    "environment",
    [
        {"NPY_DISABLE_CPU_FEATURES": "X86_V3"},  # NumPy's functions of older processors
        {"OPENBLAS_CORETYPE": "Nehalem"},  # another kernel of matrix products
        {"OPENBLAS_NUM_THREADS": "2"},
    ],
    ids=lambda environment: next(iter(environment)),
)
def test_the_log_is_the_same_on_another_processor(environment):
    code = "from tests.simulation.helpers import all_digests; print(all_digests())"
    assert ast.literal_eval(printed(code, **environment)) == COMMITTED
