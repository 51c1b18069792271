"""Figures are drawn on axes without a screen."""

import matplotlib

matplotlib.use("agg")

import matplotlib.pyplot as plt
import pytest

from lib.notebook import plots


@pytest.fixture
def ax():
    with plt.rc_context():
        plots.use_style()
        figure, axes = plt.subplots()
        yield axes
        plt.close(figure)
