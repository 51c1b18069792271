"""How metrics agree with revenue: by hand, by SciPy, by loop, and how often intervals hold."""

import itertools

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from lib.validation.metric_comparison import (
    STATISTICS,
    _by_world,
    changes_of_all,
    compare_metrics,
    leave_two_out,
    paired_changes,
    sensitivity,
    sensitivity_by_lift,
)


def population(seed, worlds=3, models=12, scatter=0.8):
    """Models of quality q in worlds of different slopes; b is a with noise."""
    rng, rows = np.random.default_rng(seed), []
    for world in range(worlds):
        q = rng.normal(size=models)
        lift = (1 + world) * (q + scatter * rng.normal(size=models))
        rows.append(
            pd.DataFrame(
                {
                    "world": f"w{world}",
                    "model": [f"m{i}" for i in range(models)],
                    "a": q,
                    "b": q + rng.normal(size=models),
                    "revenue_lift": lift,
                    "revenue_lift_se": 0.1,
                }
            )
        )
    return pd.concat(rows, ignore_index=True)


@pytest.fixture(scope="module")
def table():
    return population(0)


@pytest.fixture(scope="module")
def found(table):
    return compare_metrics(table, ["a", "b"], draws=500)


def test_one_world_is_scipys(table, found):
    for column, (world, of) in enumerate(table.groupby("world")):
        assert found.worlds[column] == world
        for row, metric in enumerate(found.metrics):
            line = stats.linregress(of[metric], of.revenue_lift)
            off = np.abs(of.revenue_lift - line.slope * of[metric] - line.intercept)
            want = {
                "r_squared": line.rvalue**2,
                "slope": line.slope,
                "mean_deviation": off.mean(),
                "max_deviation": off.max(),
                "spearman": stats.spearmanr(of[metric], of.revenue_lift).statistic,
                "kendall": stats.kendalltau(of[metric], of.revenue_lift).statistic,
                "lift_of_selected": of.set_index(metric).revenue_lift[of[metric].max()],
            }
            want["regret"] = of.revenue_lift.max() - want["lift_of_selected"]
            for name in STATISTICS:
                assert found.values[name][row, column] == pytest.approx(want[name]), name


def test_the_mean_over_worlds(found):
    for name in STATISTICS:
        assert found.value("a", name) == pytest.approx(found.values[name][0].mean())


def test_weights_are_repeated_rows_ties_included():
    rng = np.random.default_rng(1)
    a, b = rng.integers(0, 5, 9).astype(float), rng.integers(0, 5, 9) + rng.normal(size=9)
    b[4] = b[2]
    weights = rng.multinomial(9, np.full(9, 1 / 9), 20).astype(float)
    got = _by_world(a[None, None], b[None], weights)
    for draw, weight in enumerate(weights):
        x, y = (np.repeat(z, weight.astype(int)) for z in (a, b))
        assert got["spearman"][draw, 0, 0] == pytest.approx(stats.spearmanr(x, y).statistic)
        assert got["kendall"][draw, 0, 0] == pytest.approx(stats.kendalltau(x, y).statistic)
        assert got["slope"][draw, 0, 0] == pytest.approx(stats.linregress(x, y).slope)
        off = np.abs(y - np.polyval(np.polyfit(x, y, 1), x))
        assert got["max_deviation"][draw, 0, 0] == pytest.approx(off.max())


def test_a_world_may_lack_a_model(table):
    lacking = compare_metrics(table.drop(index=5), ["a"], draws=50)
    assert lacking.models.tolist() == [11, 12, 12]
    of = table.drop(index=5)[lambda t: t.world == "w0"]
    assert lacking.values["r_squared"][0, 0] == pytest.approx(
        np.corrcoef(of.a, of.revenue_lift)[0, 1] ** 2
    )


def test_a_better_metric_wins(found):
    wins = found.wins()
    assert wins.worlds_won.sum() == 3 and wins.probability_best.sum() == pytest.approx(1)
    assert wins.probability_best[0] > 0.9
    value, low, high = found.difference("a", "b")
    assert low < value < high
    assert value == pytest.approx(found.value("a") - found.value("b"))


def test_paired_differences_are_surer_than_two_intervals(found):
    _, low, high = found.difference("a", "b")
    apart = sum(np.subtract(*found.interval(name)[::-1]) for name in ("a", "b"))
    assert high - low < apart


def test_the_ceiling_is_what_noise_leaves():
    table = population(2).assign(revenue_lift_se=0.0)
    assert compare_metrics(table, ["a"], draws=5).ceiling.tolist() == [1, 1, 1]
    noisy = table.assign(revenue_lift_se=table.groupby("world").revenue_lift.transform("std") / 2)
    # Half of the noise is the base's, common to all lifts: 1/4 / 2 of the variance.
    np.testing.assert_allclose(compare_metrics(noisy, ["a"], draws=5).ceiling, 0.875)
    assert np.isnan(
        compare_metrics(table.drop(columns="revenue_lift_se"), ["a"], draws=5).ceiling
    ).all()


def test_noise_that_all_models_share_does_not_lower_the_ceiling():
    """The base's noise moves all lifts alike: only what differs between models does."""
    table = population(2, worlds=1, models=4).assign(revenue_lift_se=9.0)
    own = table.assign(revenue_lift_own_se=[0.0, 0.3, 0.0, 0.0])
    expected = 1 - 0.3**2 / 3 / table.revenue_lift.var()
    assert compare_metrics(own, ["a"], draws=5).ceiling[0] == pytest.approx(expected)
    assert compare_metrics(table, ["a"], draws=5).ceiling[0] == 0


def test_what_is_chosen_has_the_jackknife_s_interval():
    """By hand: without c (of 4) a chooses b, 3 % less; without d the regret of 1 % is gone."""
    table = pd.DataFrame(
        {"model": list("abcd"), "a": [0, 1, 3, 0.5], "revenue_lift": [0.0, 0.01, 0.04, 0.05]}
    )
    found, t = compare_metrics(table, ["a"], draws=50), stats.t(3).ppf(0.95)
    low, high = found.interval("a", "lift_of_selected")
    half = t * np.sqrt(3 * np.var([0.04, 0.04, 0.01, 0.04]))
    assert (low, high) == pytest.approx((0.04 - half, 0.04 + half))
    half = t * np.sqrt(3 * np.var([0.01, 0.01, 0.04, 0.0]))
    assert found.interval("a", "regret") == pytest.approx((0.0, 0.01 + half))


def test_three_worlds_have_student_s_t(table):
    found = compare_metrics(table, ["a", "b"], draws=5)
    for statistic in ("slope", "lift_of_selected"):
        a, b = (found.values_by_world(metric, statistic) for metric in "ab")
        half = stats.t(2).ppf(0.95) * stats.sem(a)
        assert found.interval("a", statistic) == pytest.approx((a.mean() - half, a.mean() + half))
        half = stats.t(2).ppf(0.95) * stats.sem(a - b)
        expected = (np.mean(a - b), np.mean(a - b) - half, np.mean(a - b) + half)
        assert found.difference("a", "b", statistic) == pytest.approx(expected)
    low, high = found.interval("a", interval=0.9999)
    assert (low, high) == (0, 1)  # no R² lies beyond


def test_worlds_add_to_the_jackknife(table):
    found = compare_metrics(table[table.world != "w2"], ["a", "b"], draws=5)
    lifts = found.values_by_world("a", "lift_of_selected")
    without = [np.delete(lifts, world).mean() for world in range(2)]
    _, of_worlds = found.left_out["lift_of_selected"]
    np.testing.assert_allclose(of_worlds[:, 0], without)
    _, low, high = found.difference("a", "b", "lift_of_selected")
    apart = [values[:, 0] - values[:, 1] for values in found.left_out["lift_of_selected"]]
    variance = sum((len(values) - 1) * np.var(values) for values in apart)
    assert high - low == pytest.approx(2 * stats.t(11).ppf(0.95) * np.sqrt(variance))


@pytest.mark.parametrize("world", ["w0", "w2"])
def test_leave_two_out_is_a_loop(table, world):
    row = leave_two_out(table, "a").set_index("world").loc[world]
    of = table[table.world == world].set_index("model")
    left = {
        pair: of.drop(list(pair)).a.corr(of.drop(list(pair)).revenue_lift) ** 2
        for pair in itertools.combinations(of.index, 2)
    }
    assert row.lowest == pytest.approx(min(left.values()))
    assert row["median"] == pytest.approx(np.median(list(left.values())))
    assert row.without_for_highest == ", ".join(max(left, key=left.get))
    assert row.without_for_lowest == ", ".join(min(left, key=left.get))


def test_leave_two_out_needs_five_models(table):
    with pytest.raises(ValueError, match="needs 5 or more models in world 'w0'; got 4"):
        leave_two_out(table[:4], "a")


def test_scale_and_direction(table):
    other = table.assign(a=3 - 2 * table.a)
    first, second = (compare_metrics(t, ["a"], draws=50) for t in (table, other))
    assert second.value("a") == pytest.approx(first.value("a"))
    assert second.value("a", "kendall") == pytest.approx(-first.value("a", "kendall"))
    assert second.interval("a") == pytest.approx(first.interval("a"))


def test_without_worlds_a_table_is_one(table):
    one = table[table.world == "w1"]
    bare = compare_metrics(one.drop(columns="world"), ["a"], draws=50)
    assert bare.value("a") == compare_metrics(one, ["a"], draws=50).value("a")
    assert bare.worlds == ("",)


def test_the_table_has_every_statistic(found):
    table = found.table()
    assert table.metric.tolist() == ["a", "b"]
    for name in STATISTICS:
        assert (table[f"{name}_low"] <= table[name]).all() and (
            table[name] <= table[f"{name}_high"]
        ).all()


def test_regret_of_equal_scores_is_that_of_the_worst_choice():
    table = pd.DataFrame(
        {"model": list("abcd"), "a": [1.0, 2.0, 2.0, 0.0], "revenue_lift": [0.05, 0.04, 0.01, 0.0]}
    )
    found = compare_metrics(table, ["a"], draws=200)
    assert found.value("a", "lift_of_selected") == pytest.approx(0.01)
    assert found.value("a", "regret") == pytest.approx(0.05 - 0.01)
    assert (found.draws["regret"] >= 0).all()


@pytest.mark.slow
@pytest.mark.parametrize("worlds", [1, 6])
def test_how_often_a_90_percent_interval_holds_r_squared(worlds):
    """Over samples of the same kind of worlds; 0.9 would be right, more is cautious."""
    truth, inside = 1 / (1 + 0.8**2), []
    for seed in range(150):
        low, high = compare_metrics(
            population(seed, worlds, 25), ["a"], draws=300, seed=seed
        ).interval("a")
        inside.append(low <= truth <= high)
    assert 0.82 <= np.mean(inside) <= 0.99


def test_along_dials(table):
    dials = pd.concat(
        [
            table.assign(dial="", value=np.nan),
            table.assign(dial="drift", value=0.0),
            population(3, scatter=5.0).assign(dial="drift", value=1.0),
        ]
    )
    found = sensitivity(dials, ["a", "b"], draws=100)
    assert found[["dial", "value", "metric", "worlds"]].values.tolist() == [
        ["drift", 0.0, "a", 3],
        ["drift", 0.0, "b", 3],
        ["drift", 1.0, "a", 3],
        ["drift", 1.0, "b", 3],
    ]
    assert found.r_squared[0] == pytest.approx(compare_metrics(table, ["a"], draws=2).value("a"))
    assert found.r_squared[2] < found.r_squared[0]
    (change,) = paired_changes(dials, "drift", "a", draws=200).itertuples(index=False)
    assert change.value == 1.0 and change.low < change.change < change.high
    assert change.change == pytest.approx(found.r_squared[2] - found.r_squared[0])
    same = dials.assign(revenue_lift=table.revenue_lift.tolist() * 3)  # nothing changes
    same["a"] = table.a.tolist() * 3
    assert paired_changes(same, "drift", "a", draws=200).values.tolist() == [[1, 0, 0, 0]]


def test_changes_start_where_the_reference_says():
    dials = pd.concat(
        [
            population(3, scatter=s).assign(dial="width", value=v)
            for v, s in ((3.0, 2.0), (1.0, 0.1), (2.0, 0.5))
        ]
    )
    found = paired_changes(dials, "width", "a", 2.0, draws=50)
    assert found.value.tolist() == [1.0, 3.0]
    assert found.change[0] > 0 > found.change[1]
    with pytest.raises(ValueError, match=r"'width' must stand at its reference 9.0 among"):
        paired_changes(dials, "width", "a", 9.0, draws=5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.drop(columns="a"), "column 'a' is missing; got world, model"),
        (lambda t: t.assign(model="m"), "model 'm' stands twice in world 'w0'; average"),
        (lambda t: t.assign(a=np.inf), "a must be finite; got inf"),
        (lambda t: t.assign(a=1.0), "a needs 3 or more models that differ in world 'w0'"),
        (lambda t: t[:2], "revenue_lift needs 3 or more models"),
    ],
)
def test_what_cannot_be_compared_is_refused(table, change, message):
    with pytest.raises(ValueError, match=message):
        compare_metrics(change(table), ["a"])


def test_values_of_the_worlds(found):
    np.testing.assert_array_equal(found.values_by_world("b"), found.values["r_squared"][1])


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda c: c.value("typo"), "metric 'typo' is not known; expected one of a, b"),
        (lambda c: c.value("a", "chosen"), "statistic 'chosen' is not known; .*lift_of_selected"),
        (lambda c: c.interval("typo"), "metric 'typo' is not known"),
        (lambda c: c.interval("a", "typo"), "statistic 'typo' is not known"),
        (lambda c: c.difference("a", "typo"), "metric 'typo' is not known"),
        (lambda c: c.wins("typo"), "statistic 'typo' is not known"),
        (lambda c: c.interval("a", interval=90), "interval must lie between 0 and 1; got 90"),
        (lambda c: c.table(interval=1.0), "interval must lie between 0 and 1; got 1.0"),
    ],
)
def test_what_was_not_compared_is_named(found, ask, message):
    with pytest.raises(ValueError, match=message):
        ask(found)


def test_changes_of_all_parameters_from_their_plain_values():
    dials = pd.concat(
        [
            population(3, scatter=scatter).assign(dial=dial, value=value)
            for dial, value, scatter in (
                ("drift", 0.0, 0.1),
                ("drift", 1.0, 5.0),
                ("width", 1.0, 1.0),
                ("width", 2.0, 0.1),
            )
        ]
    )
    table = changes_of_all(dials, "a", {"width": 2.0}, draws=50)
    assert table[["dial", "value"]].values.tolist() == [["drift", 1.0], ["width", 1.0]]
    (drift,) = paired_changes(dials, "drift", "a", draws=50).change
    assert table.change[0] == drift < table.change[1] < 0


def test_sensitivity_of_each_lift_that_there_is(table):
    dials = table.assign(dial="drift", value=1.0, revenue_lift_true=table.a)
    lifts = {"revenue_lift": "billed", "revenue_lift_true": "true", "revenue_lift_gsp": "gsp"}
    along = sensitivity_by_lift(dials, ["a"], lifts, draws=20)
    assert along.revenue.tolist() == ["billed", "true"]
    assert along.r_squared[1] == pytest.approx(1)
    assert along.r_squared[0] < 0.99
