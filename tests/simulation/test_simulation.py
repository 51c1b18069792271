"""The simulated ad system: keyed luck, world, cascade, logs, A/B tests, closed loop."""

import subprocess
import sys
import zlib
from dataclasses import replace
from itertools import islice

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from lib.logs import reader
from lib.logs.features import Features
from lib.simulation import (
    Arm,
    System,
    World,
    ab_test,
    closed_loop,
    install_pre_ranking,
    match,
    oracle_matching,
    oracle_system,
    run_arm,
    run_arms,
    sample_logs,
    world_parameters,
)
from lib.simulation.cascade import fuse, visit
from lib.simulation.keyed_random import integers, normal, uniform, visit_keys

FIXED = {"pre_ranking": 4, "ranking": 4, "mix_ranking": 2}


@pytest.fixture(scope="module")
def world():
    return World(world_parameters("small"))


@pytest.fixture(scope="module")
def matched(world):
    return match(world)


@pytest.fixture(scope="module")
def oracle(matched):
    return oracle_system(matched)


def noisy(matched, sd):
    """A Pre-ranking that knows the truth up to noise: a model of a known quality."""
    noise = normal(visit_keys(0, "noise", matched.users, 0), matched.ads)
    return System(matched, (matched.log_ecpm + sd * noise).astype(np.float32))


def log_of(system, count, seed=0, **options):
    return pa.concat_tables(sample_logs(system, count, seed=seed, **options))


def numpy(table, *names):
    return [table[name].to_numpy() for name in names]


# ---- luck -----------------------------------------------------------------


def splitmix(x):
    x = (x + 0x9E3779B97F4A7C15) % 2**64
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
    x = (x ^ (x >> 27)) * 0x94D049BB133111EB % 2**64
    return x ^ (x >> 31)


def test_keys_equal_plain_integer_arithmetic():
    assert splitmix(0) == 0xE220A8397B1DCDAF  # published first output of SplitMix64, seed 0
    key = zlib.crc32(b"mix")
    for part in (5, 6, 7):
        key = splitmix((key + part) % 2**64)
    assert visit_keys(5, "mix", 6, 7) == key


def test_luck_is_uniform_and_normal():
    keys = visit_keys(1, "test", np.arange(300), 2)
    ads = np.arange(400)
    assert stats.kstest(uniform(keys, ads).ravel(), "uniform").pvalue > 0.01
    assert stats.kstest(normal(keys, ads).ravel(), "norm").pvalue > 0.01
    assert stats.chisquare(np.bincount(integers(visit_keys(1, "i", 0, ads), 0, 8))).pvalue > 0.01
    assert 0 < uniform(keys, ads).min() and uniform(keys, ads).max() < 1


@pytest.mark.parametrize(
    "other",
    [(2, "test", 3, 4), (1, "tesu", 3, 4), (1, "test", 4, 4), (1, "test", 3, 5), (1, "test", 4, 3)],
)
def test_luck_of_neighbouring_keys_is_independent(other):
    ads = np.arange(20_000)
    first, second = (
        normal(np.atleast_1d(visit_keys(*key)), ads)[0] for key in ((1, "test", 3, 4), other)
    )
    for lag in (0, 1, 2):
        assert abs(np.corrcoef(first, np.roll(second, lag))[0, 1]) < 4 / np.sqrt(20_000)


def test_luck_belongs_to_the_ad_not_to_its_place():
    keys = visit_keys(1, "test", [3, 8], 4)
    ads = np.array([[5, 9, 2], [1, 9, 7]])
    np.testing.assert_array_equal(uniform(keys, ads)[:, ::-1], uniform(keys, ads[:, ::-1]))
    np.testing.assert_array_equal(uniform(keys, ads)[1:], uniform(keys[1:], ads[1:]))


# ---- world ----------------------------------------------------------------


def test_waves_equal_the_sum_of_cosines(world):
    waves = world.truth.ctr_waves
    users, ads = [3, 250], [0, 1, 799]
    cos, sin = waves.user_factors[users, ::2], -waves.user_factors[users, 1::2]
    strength, user_phase = np.hypot(cos, sin), np.arctan2(sin, cos)
    ad_phase = np.arctan2(waves.ad_factors[ads, 1::2], waves.ad_factors[ads, ::2])
    terms = strength[:, None] * np.cos(user_phase[:, None] + ad_phase)
    assert (np.diff(strength) < 0).all()
    for strongest in (None, 5):
        got = waves.all_ads(users, strongest)[:, ads]
        np.testing.assert_allclose(got, terms[..., :strongest].sum(axis=-1), rtol=1e-4, atol=1e-4)


def test_spread_of_the_logits_is_as_asked():
    world = World(world_parameters("small", latents=24, roughness=3.0))  # phases well mixed
    logits = world.truth.ctr_waves.all_ads(np.arange(300))
    assert logits.std() == pytest.approx(world.parameters.ctr_sd, rel=0.1)


def test_ranking_predicts_ecpm_with_its_error(world):
    truth, users, ads = world.truth, np.array([7, 7, 299]), np.array([[1, 2], [2, 1], [790, 0]])
    predicted = np.exp(truth.ranking_log_ecpm(users, ads))
    for row, user in enumerate(users):
        for column, ad in enumerate(ads[row]):
            bid = world.ad_features(ad)["bid"]
            ecpm = 1000 * truth.ctr([user], [ad])[0, 0] * truth.cvr([user], [ad])[0, 0] * bid
            error = truth.error_waves.all_ads([user])[0, ad]
            assert predicted[row, column] == pytest.approx(ecpm * np.exp(error), rel=1e-3)


def test_features_are_what_they_declare(world):
    p = world.parameters
    values = {**world.user_features(np.arange(p.users)), **world.ad_features(np.arange(p.ads))}
    assert list(values) == [feature["name"] for feature in world.features]
    for feature in world.features:
        value = values[feature["name"]]
        assert value.shape[0] == (p.users if feature["side"] == "user" else p.ads)
        if feature["kind"] in ("sparse", "multi_valued"):
            assert value.dtype == np.int32 and 0 <= value.min() and value.max() < feature["buckets"]
        else:
            assert value.dtype == np.float32 and np.isfinite(value).all()
        shape = {"multi_valued": (feature.get("length"),), "dense": (feature["width"],)}
        assert value.shape[1:] == shape.get(feature["kind"], ())
        if feature["kind"] == "statistical":
            assert (value >= 0).all() and stats.skew(value) > 2  # heavy-tailed
    assert Features(features=world.features).width("ad") == 3 * 8 + 12 + 4


def test_recent_clicks_follow_the_truth(world):
    """Categories a user clicked hold ads that they click more often than others."""
    clicked = world.user_features(np.arange(300))["clicked_categories"]
    ctr = world.truth.ctr(np.arange(300))
    mean = np.stack([ctr[:, world.category == c].mean(axis=1) for c in range(12)], axis=1)
    assert np.take_along_axis(mean, clicked, axis=1).mean() > 1.2 * mean.mean()


def test_few_advertisers_hold_most_ads_and_bids_are_heavy_tailed(world):
    ads_of = np.sort(np.bincount(world.advertiser, minlength=60))[::-1]
    assert ads_of[:6].sum() > 0.5 * ads_of.sum()
    bid = np.sort(world.ad_features(np.arange(800))["bid"])[::-1]
    assert bid[:80].sum() > 0.3 * bid.sum()


def test_a_seed_is_a_world():
    first, again, other = (World(world_parameters("small", users=50, seed=s)) for s in (0, 0, 1))
    for name, values in first.user_features(np.arange(50)).items():
        np.testing.assert_array_equal(values, again.user_features(np.arange(50))[name])
    assert first.organic == again.organic != other.organic


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"user": 5}, "user"),
        ({"users": 0}, "users"),
        ({"bid_sd": float("nan")}, "bid_sd"),
        ({"matching_ads": 900}, "matching_ads must not exceed ads = 800; got 900"),
        ({"pre_ranking_ads": 5}, "mix_queue must not exceed pre_ranking_ads = 5; got 10"),
        ({"pre_ranking_ads": 50}, "pre_ranking_ads must be at most .* 40; got 50"),
        ({"matching_random_share": 0.8}, "must be at most 1; got 0.27"),
    ],
)
def test_parameters_out_of_range_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        world_parameters("small", **changes)


def test_unknown_preset_is_refused():
    with pytest.raises(ValueError, match=r"preset must be in .*'A'.*; got 'Z'"):
        world_parameters("Z")


# ---- cascade --------------------------------------------------------------


def test_fusion_by_hand():
    by_revenue, by_interest = np.array([[5, 4, 3, 2, 1.0]]), np.array([[9, 1, 2, 8, 7.0]])
    # Revenue takes ads 0 and 1; interest would take 0, which is gone, so 3.
    assert set(fuse([by_revenue, by_interest], [2, 1])[0]) == {0, 1, 3}


@given(st.integers(0, 10_000), st.integers(1, 4))
def test_fusion_equals_a_loop(seed, pathways):
    rng = np.random.default_rng(seed)
    scores = [rng.permuted(np.tile(np.arange(12.0), (3, 1)), axis=1) for _ in range(pathways)]
    slots = rng.integers(0, 4, pathways).tolist()
    for row, got in enumerate(fuse(scores, slots)):
        taken = []
        for score, count in zip(scores, slots, strict=True):
            left = [c for c in np.argsort(-score[row]) if c not in taken]
            taken += left[:count]
        assert sorted(got) == sorted(taken)


def test_matching_hands_on_distinct_ads_and_keeps_a_sample_of_losers(matched):
    everyone = np.sort(np.concatenate([matched.ads, matched.lost_ads], axis=1), axis=1)
    assert (np.diff(everyone, axis=1) > 0).all()
    assert matched.ads.shape == (300, 200) and matched.lost_ads.shape == (300, 200)


def test_a_matching_model_replaces_the_revenue_pathway(world, oracle):
    best = match(world, oracle_matching(world), users=np.arange(40))
    values = world.truth.ranking_log_ecpm(np.arange(40), np.broadcast_to(np.arange(800), (40, 800)))
    for ads, value in zip(best.ads, values, strict=True):
        assert set(np.argsort(-value)[:120]) <= set(ads)  # 60 % of 200
    nothing = match(world, lambda users: np.random.default_rng(0).normal(size=(len(users), 800)))
    loss = ab_test(oracle, oracle_system(nothing), visits=2)
    assert loss.revenue_lift < -3 * loss.revenue_lift_se


@pytest.mark.parametrize(
    "model, message",
    [
        (
            lambda users, ads: np.zeros(3),
            r"pre_ranking: scores must have shape \(256, 200\); got \(3,",
        ),
        (
            lambda users, ads: np.full(ads.shape, np.nan),
            "pre_ranking: scores must be finite; got nan",
        ),
    ],
)
def test_bad_scores_are_refused(matched, model, message):
    with pytest.raises(ValueError, match=message):
        install_pre_ranking(matched, model)


def test_bad_matching_scores_are_refused(world):
    with pytest.raises(ValueError, match=r"matching: scores must have shape \(9, 800\)"):
        match(world, lambda users: np.zeros((len(users), 5)), users=np.arange(9))


def visit_by_loop(system, row, number, seed):
    """One visit, ad by ad: revenue, second-price revenue, exposed ads."""
    matched, p = system.matched, system.matched.world.parameters
    user = matched.users[row]

    def luck(draw, stream, item):
        return draw(visit_keys(seed, stream, [user], [number]), [[item]])[0, 0]

    there = [
        c for c, ad in enumerate(matched.ads[row]) if luck(uniform, "absent", ad) >= p.drop_rate
    ]
    kept = sorted(there, key=lambda c: -system.scores[row, c])[:15]
    others = [c for c in there if c not in kept]
    kept += sorted(others, key=lambda c: -matched.interest[row, c])[:5]

    value = {
        c: matched.log_ecpm[row, c] + 0.2 * luck(normal, "ranking", matched.ads[row, c])
        for c in kept
    }
    order = sorted(kept, key=lambda c: -value[c])
    worth = {c: value[c] + 0.3 * luck(normal, "mix", matched.ads[row, c]) for c in order[:10]}
    queue = sorted(worth, key=lambda c: -worth[c])
    revenue, second, shown = 0.0, 0.0, []
    for slot, discount in enumerate((1, 0.8, 0.65)):
        organic = matched.world.organic + 0.5 * luck(normal, "organic", slot)
        if worth[queue[slot]] + np.log(discount) > organic:
            next_best = order[order.index(queue[slot]) + 1]
            revenue += discount * np.exp(value[queue[slot]]) / 1000
            second += discount * np.exp(value[next_best]) / 1000
            shown.append(matched.ads[row, queue[slot]])
    return revenue, second, shown


def test_visits_equal_a_loop(matched):
    system = noisy(matched, 1.0)
    rows, numbers = np.arange(0, 300, 12), np.arange(25) * 3
    got = visit(system, rows, numbers, seed=4)
    shown = np.take_along_axis(got.columns, got.queue[:, :3], axis=1)
    for i, (row, number) in enumerate(zip(rows, numbers, strict=True)):
        revenue, second, ads = visit_by_loop(system, row, number, seed=4)
        assert got.revenue[i] == pytest.approx(revenue, rel=1e-4)
        assert got.revenue_gsp[i] == pytest.approx(second, rel=1e-4)
        assert matched.ads[row, shown[i][got.exposed[i]]].tolist() == ads


def test_second_price_never_exceeds_first_price(oracle):
    got = visit(oracle, np.arange(300), 0, seed=1)
    assert (got.revenue_gsp <= got.revenue).all() and got.exposed.mean() > 0.5


def test_absent_candidates_stay_out(oracle):
    got = visit(oracle, np.arange(300), 0, seed=1)
    assert not np.take_along_axis(got.absent, got.columns, axis=1).any()
    assert got.absent.mean() == pytest.approx(0.2, abs=0.01)


# ---- logs -----------------------------------------------------------------


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
    number, v, ecpm, exposed = numpy(table, "impression_id", "v", "ecpm", "exposed")
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
    number, v = numpy(table, "impression_id", "v")
    first, last = (np.searchsorted(number, number, side) for side in ("left", "right"))
    middle = (last - first - 1) / 2
    place = np.arange(len(v)) - first
    assert abs(np.corrcoef(place - middle, v - middle)[0, 1]) < 4 / np.sqrt(len(v))


def test_each_ad_is_logged_where_it_got(table, matched):
    number, user, ad, ecpm = numpy(table, "impression_id", "user_id", "ad_id", "ecpm")
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
    number, user, exposed = numpy(table, "impression_id", "user_id", "exposed")
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


# ---- A/B tests ------------------------------------------------------------


def arm(revenue, **changes):
    revenue = np.array(revenue, dtype=float)
    return Arm(
        **{
            "revenue": revenue,
            "revenue_gsp": revenue / 2,
            "revenue_true": revenue,
            "users": np.arange(len(revenue)),
            "visits": 4,
            "seed": 0,
            **changes,
        }
    )


def test_lift_by_hand():
    # 10 -> 12 is +20 %. Residuals variant - 1.2 base: -.2, .8, -.6; the ratio's variance is
    # n / (n - 1) x sum of squares / (total of the base)^2.
    result = ab_test(arm([1, 2, 2]), arm([1, 3.2, 1.8]), model="wide")
    assert result.revenue_lift == pytest.approx(0.2)
    assert result.revenue_lift_se == pytest.approx(np.sqrt(3 / 2 * (0.04 + 0.64 + 0.36)) / 5)
    assert result.as_row()["model"] == "wide" and result.impressions == 12 and result.users == 3


def test_bootstrap_agrees_with_the_delta_method():
    rng = np.random.default_rng(0)
    base = rng.lognormal(size=400)
    variant = base * rng.lognormal(0.1, 0.3, 400)
    plain, boot = (ab_test(arm(base), arm(variant), bootstrap=b) for b in (0, 2000))
    assert boot.revenue_lift == plain.revenue_lift
    assert boot.revenue_lift_se == pytest.approx(plain.revenue_lift_se, rel=0.1)


def test_standard_error_is_the_spread_between_worlds_of_users(matched):
    """z-scores of disjoint groups of users against the lift over all: unit spread."""
    base, variant = (run_arm(noisy(matched, sd), visits=4, seed=0) for sd in (0.5, 1.0))
    whole = ab_test(base, variant).revenue_lift
    z = []
    for part in np.array_split(np.random.default_rng(0).permutation(300), 15):
        pair = (arm(a.revenue[part], users=part) for a in (base, variant))
        result = ab_test(*pair)
        z.append((result.revenue_lift - whole) / result.revenue_lift_se)
    assert 0.5 < np.std(z) < 2


def test_a_system_against_itself_is_exactly_level(matched):
    base = run_arm(noisy(matched, 0.5), visits=2, seed=3)
    result = ab_test(base, noisy(matched, 0.5))
    assert result.revenue_lift == 0 and result.revenue_lift_se == 0
    assert result.impressions == 600


def test_scale_and_shift_of_scores_are_irrelevant(matched):
    system = noisy(matched, 0.5)
    assert ab_test(system, System(matched, 4 * system.scores - 64), visits=2).revenue_lift == 0


def test_pairing_saves_traffic(matched):
    first, second = (run_arm(noisy(matched, sd), visits=4, seed=0) for sd in (0.5, 0.7))
    paired = ab_test(first, second).revenue_lift_se
    unpaired = np.sqrt(2 * np.var(first.revenue) / 300) / first.revenue.mean()
    assert paired < unpaired / 5


def test_arms_by_blocks_of_users_are_the_arms(world):
    models = [lambda users, ads: -np.abs(ads - 400.0 - users[:, None]), None]
    whole = [
        run_arm(install_pre_ranking(match(world), model), visits=2, seed=1, users=250)
        for model in models
    ]
    parts = run_arms(world, models, visits=2, seed=1, users=250, block_users=64)
    for one, other in zip(whole, parts, strict=True):
        np.testing.assert_array_equal(one.users, other.users)
        np.testing.assert_allclose(one.revenue, other.revenue, rtol=1e-4)
    with pytest.raises(ValueError, match=r"users must lie in 1..300; got 301"):
        run_arms(world, models, visits=1, seed=0, users=301)
    with pytest.raises(ValueError, match=r"a world with budgets needs all users at once"):
        run_arms(World(world_parameters("small", budget_tightness=1.0)), models, visits=1, seed=0)


def test_arms_that_cannot_be_paired_are_refused(matched):
    for changes, message in [
        ({"seed": 1}, "same seed; got 0 and 1"),
        ({"visits": 3}, "same visits; got 4 and 3"),
        ({"users": np.array([0, 2])}, "same users"),
    ]:
        with pytest.raises(ValueError, match=message):
            ab_test(arm([1, 2]), arm([1, 2], **changes))
    with pytest.raises(ValueError, match=r"base must earn something"):
        ab_test(arm([0, 0]), arm([1, 2]))
    with pytest.raises(ValueError, match=r"users must lie in 1..300; got 301"):
        run_arm(install_pre_ranking(matched), visits=1, seed=0, users=301)
    with pytest.raises(ValueError, match=r"visits must be at least 1; got 0"):
        run_arm(install_pre_ranking(matched), visits=0, seed=0)


def test_the_bottleneck_bites(matched, oracle):
    """Worse Pre-ranking earns visibly less, random Pre-ranking much less than the oracle."""
    base = run_arm(oracle, visits=4, seed=0)
    results = [ab_test(base, noisy(matched, sd)) for sd in (0.5, 0.75, 1.0, 1.5)]
    lifts = np.array([r.revenue_lift for r in results])
    errors = np.array([r.revenue_lift_se for r in results])
    assert (np.diff(lifts) < -3 * errors[1:]).all()
    assert lifts[2] < -0.03
    assert ab_test(base, install_pre_ranking(matched)).revenue_lift < -0.5


# ---- closed loop ----------------------------------------------------------


class Ridge:
    """A small learner: v on bid and products of embeddings, from all logs so far."""

    def __init__(self, world):
        self.world, self.gram, self.moment = world, 1e-3, 0.0
        self.rounds = []

    def inputs(self, users, ads):
        u, a = self.world.user_features(users), self.world.ad_features(ads)
        left = np.concatenate([u["user_embedding"], np.ones((len(users), 1))], axis=1)
        statistics = ("bid", "ad_impressions", "ad_clicks", "ad_conversions")
        logs = np.log1p(np.stack([a[name] for name in statistics], axis=-1))
        right = np.concatenate([a["ad_embedding"], logs], axis=-1)
        return (left[:, :, None] * right[:, None, :]).reshape(len(users), -1)

    def train(self, tables, previous, number):
        self.rounds.append((number, previous))
        for table in tables:
            x = self.inputs(*numpy(table, "user_id", "ad_id"))
            x = x - x.mean(axis=0)
            v = table["v"].to_numpy()
            self.gram = self.gram + x.T @ x
            self.moment = self.moment + x.T @ (v - v.mean())
        weight = np.linalg.solve(self.gram + 0.1 * np.eye(len(self.moment)), self.moment)
        return lambda users, ads: (
            self.inputs(np.repeat(users, ads.shape[1]), ads.ravel()) @ weight
        ).reshape(ads.shape)


def test_the_order_of_candidates_changes_nothing(matched):
    """A partition leaves it to the processor: logs and tests must not depend on it."""
    order = np.argsort(uniform(visit_keys(1, "order", matched.users, 0), matched.ads), axis=1)
    per_candidate = ("ads", "interest", "log_ecpm", "true_log_ecpm")
    other = replace(
        matched,
        **{
            name: np.take_along_axis(getattr(matched, name), order, axis=1)
            for name in per_candidate
        },
    )
    first, second = (noisy(m, 0.5) for m in (matched, other))
    assert log_of(first, 300).equals(log_of(second, 300))
    assert ab_test(first, second).revenue_lift == 0


def test_closed_loop_learns(world, matched):
    learner = Ridge(world)
    rounds = list(
        closed_loop(
            world,
            learner.train,
            rounds=2,
            impressions_per_round=1000,
            first_impressions=500,
            seed=0,
            matched=matched,
        )
    )
    gaps = [r.oracle_gap.revenue_lift for r in rounds]
    blind = ab_test(oracle_system(matched), install_pre_ranking(matched)).revenue_lift
    assert blind + 0.1 < gaps[0] < 0 and gaps[1] < 0
    assert [r.next_impression for r in rounds] == [500, 1500]
    assert learner.rounds[0] == (0, None) and learner.rounds[1] == (1, rounds[0].model)
    assert rounds[0].change is None
    ratio = (1 + gaps[1]) / (1 + gaps[0])
    assert rounds[1].change.revenue_lift == pytest.approx(ratio - 1)


def test_closed_loop_without_rounds_is_refused(world):
    with pytest.raises(ValueError, match=r"rounds must be at least 1; got 0"):
        next(closed_loop(world, None, rounds=0, impressions_per_round=10, seed=0))


def test_the_simulation_needs_no_deep_learning_library():
    code = "import sys, lib.simulation; print({'keras', 'tensorflow'} & {*sys.modules})"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "set()"
