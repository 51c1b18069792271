"""The analytic model: by hand, by loop, invariants, fits."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lib.cost.device import CPU_CORE, T4
from lib.cost.roofline import TERMS, Roofline, request_operators
from lib.models.flop_count import matrix_flops

BASE, SOLVED = [3328, 1024, 256, 256, 256, 1], [16128, 1024, 512, 512, 512, 1]


FORMS = ("naive", "first_layer_optimised", "twin_tower")


SIZES = [
    [3328, 256, 128, 128, 128, 1],
    BASE,
    [3328, 1024, 1024, 1024, 1024, 1],
    SOLVED,
    [9728, 512, 512, 256, 128, 1],
    [6528, 768, 768, 384, 128, 1],
    [19328, 1024, 128, 128, 128, 1],
    [12928, 640, 640, 512, 256, 1],
]


# 1 GFLOP/s, 1 GB/s from memory, 2 GB/s from a cache of 100 bytes, 0.5 GB/s from the host.
HAND = dataclasses.replace(
    CPU_CORE,
    flops=1e9,
    memory_bandwidth=1e9,
    cache_bandwidth=2e9,
    cache_bytes=100,
    transfer_bandwidth=5e8,
    launch_ms=1.0,
    request_ms=10.0,
    fused=True,
)


widths = st.lists(st.integers(1, 400), min_size=2, max_size=5).map(lambda a: [*a, 1])


def test_operators_by_hand():
    """6 inputs, 4 of them the user's; 10 ads; units 4 and 1; 4 bytes a value."""
    work = request_operators([6, 4, 1], "first_layer_optimised", 10, 4, fused=True)
    assert work.names == ["user part", "sum of parts", "layer 2"]
    assert work.flops.tolist() == [2 * 4 * 4, 0, 2 * 10 * 4]
    assert work.weights.tolist() == [4 * 4 * 4, 0, 4 * 4]
    assert work.activations.tolist() == [4 * (4 + 4), 4 * 10 * 2 * 4, 4 * 10 * (4 + 1)]
    assert work.transfer == 4 * (4 + 10 * 4)
    # Not fused: Mul and Max read and write five values of each hidden unit.
    apart = request_operators([6, 4, 1], "first_layer_optimised", 10, 4)
    assert apart.activations.tolist() == [4 * (4 + 4), 4 * 10 * 7 * 4, 4 * 10 * (4 + 1)]


def test_time_by_hand():
    """A twin tower of 10 ads: 2 x 3 and 3 x 2 weights, then inner products of 2 values."""
    work = request_operators([4, 3, 2], "twin_tower", 10, fused=True)
    assert work.flops.tolist() == [12, 12, 40]
    moved = [4 * (6 + 5), 4 * (6 + 5), 4 * (10 + 20)]
    assert (work.weights + work.activations).tolist() == moved
    share = 100 / (4 * 12 + 120)  # of the weights and the largest other traffic, in the cache
    ns_per_byte = share / 2 + (1 - share)
    operators = [max(flops, x * ns_per_byte) for flops, x in zip([12, 12, 40], moved)]  # ns
    ms = 10 + 3 * 1 + 1e-6 * (sum(operators) + 4 * 2 / 0.5)
    assert Roofline(HAND).predict([4, 3, 2], "twin_tower", 10) == pytest.approx(ms, rel=1e-12)


@pytest.mark.parametrize("form", FORMS)
def test_equals_a_loop_over_operators(form):
    model = Roofline(T4, dict(zip(TERMS, (2.0, 3.0, 1.5, 2.5, 1.2, 4.0), strict=True)))
    for size, ms in zip(SIZES, model.predict(SIZES, form, 700), strict=True):
        table = model.explain(size, form, 700)
        longer = np.maximum(table["compute_ms"], table["memory_ms"]) + table["overhead_ms"]
        np.testing.assert_allclose(table["ms"], longer)
        assert table["ms"].sum() == pytest.approx(ms)
        assert set(table["bound_by"]) <= {"compute", "memory", "overhead", "transfer"}


@pytest.mark.parametrize("form", ["naive", "twin_tower"])
def test_flops_are_those_of_the_size(form):
    """Naive: those of a pair, for each ad. Twin tower: the user's side and the products."""
    flops = request_operators(SIZES, form, 50).flops.sum(axis=-1)
    sizes = np.array(SIZES)
    user = 2 * (sizes[:, 0] // 2 * sizes[:, 1] + (sizes[:, 1:-1] * sizes[:, 2:]).sum(axis=1))
    expected = 50 * matrix_flops(SIZES) if form == "naive" else user + 50 * 2 * sizes[:, -1]
    np.testing.assert_array_equal(flops, expected)


def test_what_binds():
    """On a T4, the user's part is bound by memory, the layers above by arithmetic."""
    free = Roofline(T4, {"launch": 0.0})
    bound = free.explain(SOLVED, "first_layer_optimised", 1500).set_index("operator")["bound_by"]
    assert bound[["user part", "sum of parts", "layer 2", "layer 5"]].tolist() == [
        "memory",
        "memory",
        "compute",
        "memory",
    ]


@settings(max_examples=60, deadline=None)
@given(widths, st.sampled_from(FORMS), st.integers(1, 3000), st.sampled_from([CPU_CORE, T4, HAND]))
def test_more_work_takes_longer(size, form, candidates, device):
    model = Roofline(device)
    ms = model.predict(size, form, candidates)
    assert ms > 0
    assert model.predict(size, form, candidates + 1) >= ms
    for i in range(len(size)):
        wider = [*size[:i], size[i] + 2, *size[i + 1 :]]
        assert model.predict(wider, form, candidates) >= ms
    shared = model.predict(size, form, candidates, requests=4)
    assert shared <= 1.0000001 * ms or device is not T4  # T4: nothing is lost by a batch


@given(st.floats(0.1, 10))
def test_units(times):
    """A machine that is `times` as fast in everything takes as much less time."""
    faster = dataclasses.replace(
        HAND,
        launch_ms=HAND.launch_ms / times,
        request_ms=HAND.request_ms / times,
        **{
            name: times * getattr(HAND, name)
            for name in ("flops", "memory_bandwidth", "cache_bandwidth", "transfer_bandwidth")
        },
    )
    for form in FORMS:
        np.testing.assert_allclose(
            times * Roofline(faster).predict(SIZES, form, 300),
            Roofline(HAND).predict(SIZES, form, 300),
        )


def measured(factors, noise=0.0, seed=0, forms=FORMS[:2]):
    """Rows of a machine that is what the model says, but for noise."""
    rng, model = np.random.default_rng(seed), Roofline(CPU_CORE, factors)
    return pd.DataFrame(
        [
            {
                "size_parameters": size,
                "form": form,
                "candidates": candidates,
                "service_ms": float(
                    model.predict(size, form, candidates) * np.exp(rng.normal(0, noise))
                ),
            }
            for form in forms
            for size in SIZES
            for candidates in (100, 1500)
        ]
    )


TRUE = dict(zip(TERMS, (2.0, 1.5, 1.1, 0.6, 1.4, 1.0), strict=True))


def test_fit_recovers_a_machine():
    """Overheads of operators and requests only together: all sizes have as many operators."""
    rows = measured(TRUE)
    fitted = Roofline(CPU_CORE).fit(rows, prior=100.0)
    for name in ("compute", "weights", "activations"):
        assert fitted.factors[name] == pytest.approx(TRUE[name], rel=0.02)
    np.testing.assert_allclose(
        fitted.predict_nominal(fitted.nominal_of(rows)), rows["service_ms"], rtol=0.01
    )


def test_fit_predicts_other_sizes_and_ignores_an_outlier():
    rows = measured(TRUE, noise=0.03)
    rows.loc[5, "service_ms"] *= 4
    fitted = Roofline(CPU_CORE).fit(rows)
    others = [[6528, 384, 384, 384, 384, 1], [12928, 1024, 1024, 512, 256, 1]]
    np.testing.assert_allclose(
        fitted.predict(others, "first_layer_optimised", 300),
        Roofline(CPU_CORE, TRUE).predict(others, "first_layer_optimised", 300),
        rtol=0.06,
    )


def test_few_rows_keep_the_shape_of_the_device():
    """Three rows of another machine, twice as slow: all factors near 2."""
    twice = {name: 2.0 for name in TERMS}
    fitted = Roofline(CPU_CORE).fit(measured(twice)[::11])
    assert list(fitted.factors.values()) == pytest.approx([2.0] * len(TERMS), rel=0.01)


def test_an_unknown_form_is_refused():
    with pytest.raises(ValueError, match=r"form must be 'naive'.* got 'slow'"):
        Roofline(T4).predict(BASE, "slow", 10)
