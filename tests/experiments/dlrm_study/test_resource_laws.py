"""Laws of made curves: known exponents, whatever the level of a draw; what they have not seen."""

import numpy as np
import pandas as pd
import pytest

from lib.experiments.dlrm_study.resource_laws import (
    COMPUTE,
    HeldOut,
    beyond,
    joint_laws,
    resource_laws,
)
from tests.experiments.dlrm_study.made_table import grid, sized, table

MARKS = [2**i for i in range(10, 18)]
ROWS = [1 / 16, 1 / 8, 1 / 4, 1 / 2, 1, 2]
SHIFTS = [0.004, -0.001, -0.003]


def falling(way, factor, samples, draw, seed):
    """E + A rows^-.6 + B samples^-.4, with a level of its own for each draw; exact."""
    rows = sized(way, factor)["rows"]
    return 0.5 + 0.3 * (rows / 4) ** -0.6 + 2.0 * samples**-0.4 + SHIFTS[draw]


@pytest.fixture(scope="module")
def measured():
    return grid({"rows": ROWS}, MARKS, falling)


@pytest.fixture(scope="module")
def laws(measured):
    return resource_laws(measured)


def test_known_exponents_and_constants_are_recovered(laws):
    """The constant of one resource holds what the other leaves at its fixed amount."""
    data, rows = laws["data"], laws["rows"]
    assert data.law.exponent_ == pytest.approx(0.4, abs=1e-4)
    assert rows.law.exponent_ == pytest.approx(0.6, abs=1e-4)
    assert data.law.constant_ == pytest.approx(0.5 + 0.3 * 16**-0.6, abs=1e-4)
    assert rows.law.constant_ == pytest.approx(0.5 + 2 * MARKS[-1] ** -0.4, abs=1e-4)
    assert data.x.tolist() == MARKS and data.loss.shape == (3, len(MARKS))
    assert rows.x.tolist() == [4, 8, 16, 32, 64, 128]
    for law in (data, rows):
        assert law.evidence.follows() is True
        assert law.intervals.exponent.identified
        # Draws differ in level alone: the exponent's interval is not widened by it.
        assert law.intervals.exponent.high - law.intervals.exponent.low < 0.01
        assert law.held_out.held


def test_draws_that_share_their_rows_decide_nothing(measured, laws):
    one_log = resource_laws(measured.assign(data="one"))["data"]
    assert one_log.rows_shared and one_log.follows is None
    worlds = resource_laws(measured.assign(data=measured.draw.map(str)))["data"]
    assert not worlds.rows_shared and worlds.follows is True


def test_a_level_of_each_draw_moves_no_exponent(measured):
    more = measured.assign(
        expected_normalised_entropy=measured.expected_normalised_entropy + 0.05 * measured.draw
    )
    for resource, law in resource_laws(more).items():
        if resource != COMPUTE:
            assert law.law.exponent_ == pytest.approx(
                {"data": 0.4, "rows": 0.6}[resource], abs=1e-3
            )


def test_a_law_s_row_holds_its_numbers(laws):
    row = laws["data"].row()
    assert row["resource"] == "samples" and (row["smallest"], row["largest"]) == (2**10, 2**17)
    assert row["next_doubling"] == pytest.approx(2 * (2**17) ** -0.4 * (1 - 0.5**0.4), rel=1e-3)
    assert row["left_low"] <= 1 - 0.5**0.4 <= row["left_high"]
    assert row["follows"] is True and row["held_out"] is True


def test_the_law_of_data_begins_where_it_is_told(measured):
    assert resource_laws(measured, least_samples=4096)["data"].x[0] == 4096


def test_few_sizes_have_no_law():
    got = resource_laws(grid({"rows": [1, 2, 4]}, MARKS[:4], falling))
    assert "rows" not in got and got["data"].held_out is None  # 4 sizes: none to leave out
    assert got["data"].row()["held_out"] is None


def test_sizes_are_compared_after_the_samples_that_all_have(measured):
    """The base went on for longer than the others."""
    longer = table({("rows", 1, 2**18, draw, 0): 0.1 for draw in range(3)})
    more = pd.concat([measured, longer], ignore_index=True)
    np.testing.assert_allclose(
        resource_laws(more)["rows"].loss, resource_laws(measured)["rows"].loss
    )


def test_compute_is_the_cheapest_of_all_sizes():
    """By a loop over options: no size within the budget is better on the mean over draws."""
    made = grid({"rows": ROWS, "width": [0.5, 1, 2]}, MARKS, falling)
    law = resource_laws(made)[COMPUTE]
    mean = made.groupby(["rows", "width", "samples"])[
        ["training_flops", "expected_normalised_entropy"]
    ].mean()
    for flops, loss in zip(law.x, law.loss.mean(axis=0), strict=True):
        within = mean[mean.training_flops <= flops]
        assert loss == pytest.approx(within.expected_normalised_entropy.min())
    assert law.x[-1] <= mean.training_flops.max() and len(set(law.x)) == len(law.x)


def test_sizes_of_equal_flops_are_not_averaged(laws):
    """More rows cost no FLOPs: with the largest table each budget buys the least loss."""
    law = laws[COMPUTE]
    samples = law.x / (3 * sized("rows", 1)["flops"])
    want = [[falling("rows", 2, n, draw, 0) for n in samples] for draw in range(3)]
    np.testing.assert_allclose(law.loss, want)


@pytest.mark.parametrize(("measured", "held"), [(0.5, True), (0.51, True), (0.52, False)])
def test_an_interval_holds_what_lies_in_it(measured, held):
    assert HeldOut(8, 0.5, 0.49, 0.51, measured).held is held


def test_a_bend_is_not_foreseen():
    def bent(way, factor, samples, draw, seed):
        noise = 1e-4 * np.random.default_rng([samples, draw]).normal()
        return 0.5 + 2.0 * samples**-0.4 + SHIFTS[draw] + noise - 0.05 * (samples == MARKS[-1])

    law = resource_laws(grid({"rows": [1]}, MARKS, bent))["data"]
    assert not law.held_out.held and law.evidence.follows() is False
    # Said without a look at the largest size.
    assert law.held_out.predicted == pytest.approx(0.5 + 2.0 * MARKS[-1] ** -0.4, abs=2e-3)
    assert law.held_out.measured == pytest.approx(0.45 + 2.0 * MARKS[-1] ** -0.4, abs=2e-3)


def test_what_does_not_fall_follows_no_law():
    def flat(way, factor, samples, draw, seed):
        return 0.7 + 1e-3 * np.random.default_rng([samples, draw]).normal()

    assert resource_laws(grid({"rows": [1]}, MARKS, flat))["data"].evidence.follows() is False


def further(ways=("base",), samples=(2**17, 2**18, 2**20), seeds=(0, 1), fall=0.0):
    """Worlds of other levels on the same law, `fall` below it where it has not been seen."""
    return pd.DataFrame(
        [
            {"way": way, "seed": seed, "samples": n}
            | {"expected_normalised_entropy": 0.5 + 0.3 * 16**-0.6 + 2.0 * n**-0.4}
            | {"level": 0.02 * seed - 0.01 * (way != "base") - fall * (n > 2**17)}
            for way in ways
            for seed in seeds
            for n in samples
        ]
    ).assign(expected_normalised_entropy=lambda t: t.expected_normalised_entropy + t.level)


def test_beyond_moves_worlds_to_the_law_s_level(laws):
    unseen, curves = beyond(laws["data"], further(["base", "rows"]))
    assert unseen.samples.tolist() == [2**18, 2**20] and set(unseen.worlds) == {2}
    np.testing.assert_allclose(unseen.measured, unseen.predicted, atol=1e-6)
    np.testing.assert_allclose(
        unseen.predicted, laws["data"].law.predict(unseen.samples.to_numpy(float))
    )
    assert (unseen.low <= unseen.predicted).all() and (unseen.predicted <= unseen.high).all()
    base, rows = (curves[curves.way == way].loss.to_numpy() for way in ("base", "rows"))
    np.testing.assert_allclose(rows, base - 0.01)  # by the base's shift, their own kept
    assert base[0] == pytest.approx(float(laws["data"].law.predict(2.0**17)))


def test_beyond_can_miss(laws):
    unseen, _ = beyond(laws["data"], further(fall=0.03))
    assert ((unseen.measured < unseen.low) | (unseen.measured > unseen.high)).all()
    np.testing.assert_allclose(unseen.measured, unseen.predicted - 0.03, atol=1e-6)


def test_a_world_that_was_not_finished_is_not_counted(laws):
    unfinished = further().query("not (seed == 1 and samples > 2**18)")
    unseen, _ = beyond(laws["data"], unfinished)
    assert unseen.worlds.tolist() == [2, 1]
    np.testing.assert_allclose(unseen.measured, unseen.predicted, atol=1e-6)


def test_beyond_needs_the_law_s_last_amount(laws):
    with pytest.raises(
        ValueError, match=r"needs the base after 131,072 samples, .* it holds 262,144, 1,048,576"
    ):
        beyond(laws["data"], further(samples=(2**18, 2**20)))


def test_a_joint_law_of_size_and_data(measured):
    """E, alpha and beta as made; the best split is where the made loss is least."""
    (found,) = joint_laws(measured, 0).itertuples()
    assert [found.constant, found.alpha, found.beta] == pytest.approx([0.5, 0.6, 0.4], abs=2e-3)
    for name in ("constant", "alpha", "beta", "best_size"):
        assert getattr(found, f"{name}_low") <= getattr(found, name)
    # Levels of draws are levels of the constant: the jackknife knows them there, and nowhere else.
    assert found.constant_high - found.constant_low > 10 * (found.alpha_high - found.alpha_low)
    budget = 64 * MARKS[-1]
    rows = np.geomspace(1, 1e5, 100_001)
    made = 0.3 * (rows / 4) ** -0.6 + 2.0 * (budget / rows) ** -0.4
    assert found.best_size == pytest.approx(rows[made.argmin()] / 64, rel=0.02)
    # Made without an interaction: leaving points out, one more term says no more.
    assert found.error_with_interaction == pytest.approx(found.error, abs=1e-4)


def test_an_interaction_is_seen():
    def loss(way, factor, samples, draw, seed):
        rows = sized(way, factor)["rows"]
        both = (rows / 4) ** -0.6 * (samples / 1024) ** -0.4
        noise = 1e-4 * np.sin(1.7 * factor + 3.1 * samples + draw)
        return falling(way, factor, samples, draw, seed) + 0.2 * both + noise

    (found,) = joint_laws(grid({"rows": ROWS}, MARKS, loss, draws=3), 0).itertuples()
    assert found.interaction < 0.05 and found.error_with_interaction < found.error / 2


def test_a_part_that_does_not_help_has_no_exponent():
    def loss(way, factor, samples, draw, seed):
        return 0.5 + 0.01 * np.log2(4 * factor + 1) + 2.0 * samples**-0.4 + SHIFTS[draw]

    (found,) = joint_laws(grid({"rows": ROWS}, MARKS, loss), 0).itertuples()
    assert np.isnan([found.alpha, found.alpha_high, found.best_size, found.best_size_low]).all()
    assert found.beta == pytest.approx(0.4, abs=0.01)


def test_a_joint_law_needs_four_sizes():
    assert joint_laws(grid({"rows": [0.25, 1, 2]}, MARKS, falling), 0).empty


def test_without_three_draws_a_joint_law_has_no_interval():
    sizes = {"rows": [0.125, 0.25, 1, 2]}
    (found,) = joint_laws(grid(sizes, MARKS, falling, draws=2), 0).itertuples()
    assert found.alpha == pytest.approx(0.6, abs=0.01)
    assert np.isnan([found.alpha_low, found.alpha_high, found.best_size_low]).all()
