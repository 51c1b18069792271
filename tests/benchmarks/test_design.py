"""The made case of the benchmark, and its loop beside the arrays."""

import numpy as np

from benchmarks.design import BASE, decide, made_economics, regret_by_loop
from lib.design.decision import Decision


def test_the_loop_and_the_arrays_agree():
    economics = made_economics("input", draws=6)
    assert economics.sizes.size_parameters[economics.base].tolist() == BASE
    np.testing.assert_allclose(
        regret_by_loop(economics, 6), Decision(economics).regret, rtol=1e-9, atol=1e-9
    )


def test_a_decision_holds_all_its_parts():
    choice, table, frontier, ranked = decide(made_economics("input", draws=40))
    assert 0 <= choice < len(table) == 1553
    assert len(frontier) == 7 and len(ranked) == 32
