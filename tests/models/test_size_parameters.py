"""Size parameters: what describes a model, and what does not."""

import numpy as np
import pytest

from lib.models.size_parameters import check_size_parameters


def test_sizes_are_plain_integers_whatever_holds_them():
    for sizes in ([12, 8, 1], (12, 8, 1), np.array([12, 8, 1], np.int16), iter([12, 8, 1])):
        checked = check_size_parameters(sizes)
        assert checked == (12, 8, 1) and all(type(a) is int for a in checked)
    assert check_size_parameters([12, 8, 4], "twin_tower") == (12, 8, 4)


@pytest.mark.parametrize(
    ("sizes", "family", "match"),
    [
        ([3, 0, 1], "mlp", "whole numbers"),
        ([3, 4, 2], "mlp", "the last of them 1"),
        ([3], "twin_tower", "two or more"),
        ([3, 4.5, 1], "mlp", r"4\.5"),
        ([3, 4, 1], "dnn", "family must be one of mlp"),
    ],
)
def test_what_is_no_model_is_refused(sizes, family, match):
    with pytest.raises(ValueError, match=match):
        check_size_parameters(sizes, family)
