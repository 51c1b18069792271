"""Figures are drawn on axes without a screen."""

import matplotlib

matplotlib.use("agg")

import matplotlib.pyplot as plt
import pytest

from lib.notebook import plots


@pytest.fixture(autouse=True)
def style():
    with plt.rc_context():
        plots.use_style()
        yield
        plt.close("all")


@pytest.fixture
def ax():
    return plt.subplots()[1]
