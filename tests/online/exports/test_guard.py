import numpy as np
import pytest

from lib.online.exports.guard import Guard

BEFORE = [{"loss": 2.0, "r_over_r_star": 0.80 + 0.001 * i} for i in range(5)]


def now(**changes):
    usual = {"loss": 2.0, "loss_se": 0.01, "r_over_r_star": 0.80, "r_over_r_star_se": 0.002}
    return usual | changes


def test_what_moves_little_is_published():
    assert Guard().refusal(now(loss=2.04, r_over_r_star=0.79), BEFORE) is None


def test_a_jump_is_refused_with_its_reason():
    assert "loss 2.05 is above 2 by more than 0.04" in Guard().refusal(now(loss=2.05), BEFORE)
    assert "R/R* 0.78 is below 0.802 by more than 0.02" in Guard().refusal(
        now(r_over_r_star=0.78), BEFORE
    )


def test_few_impressions_prove_no_jump():
    assert Guard().refusal(now(r_over_r_star=0.7, r_over_r_star_se=0.05), BEFORE) is None


def test_better_is_never_refused():
    assert Guard().refusal(now(loss=0.1, r_over_r_star=0.99), BEFORE) is None


@pytest.mark.parametrize("name", ["loss", "r_over_r_star"])
def test_what_is_not_finite_is_refused_from_the_first(name):
    assert Guard().refusal(now(**{name: np.nan}), []) == f"{name} is nan"


def test_only_the_newest_count():
    old = [{"loss": 1.0, "r_over_r_star": 0.9}] * 20
    assert Guard(history=5).refusal(now(), [*old, *BEFORE]) is None
    assert Guard(history=5).refusal(now(), old) is not None


def test_the_first_versions_are_free():
    assert Guard(least=3).refusal(now(loss=99), BEFORE[:2]) is None


def test_bad_settings():
    with pytest.raises(ValueError, match="least = 9"):
        Guard(least=9)
