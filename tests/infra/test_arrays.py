"""Numbers from outside: columns, and what is no number."""

import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_array

from lib.infra.arrays import real_array, single_column


@pytest.mark.parametrize("shape", [(), (3,), (2, 3), (1, 3), (2, 1, 1), (0,)])
def test_other_shapes_than_one_column_stay(shape):
    assert single_column(np.ones(shape)).shape == shape


def test_one_column_of_any_kind_is_a_list():
    table = pd.DataFrame({"flops": [1, 2, 3]})
    for column in (table, table.flops, [[1], [2], [3]], np.arange(1, 4)[:, None]):
        assert single_column(column).tolist() == [1.0, 2.0, 3.0]


@pytest.mark.parametrize(
    ("values", "kind", "message"),
    [
        (None, ValueError, "got None"),
        (csr_array(np.eye(2)), TypeError, "sparse data is not supported; got a csr_array"),
        ([1.0, 1j], ValueError, "Complex data not supported"),
        (["a", "b"], ValueError, "could not convert string to float: .*'a'"),
        ([[1, 2], [3]], ValueError, "inhomogeneous"),
        ([{}, 1], TypeError, "not 'dict'"),
    ],
)
def test_what_is_no_real_number_is_named(values, kind, message):
    with pytest.raises(kind, match=f"^law: x: .*{message}"):
        real_array(values, "law: x")
