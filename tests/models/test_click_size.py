"""Sizes of click models: what follows from them, and what is refused."""

import pytest

from lib.models.click_size import CLICK_FAMILIES, ClickSize, Field

FIELDS = [Field("user", 1000), Field("genres", 20, 3)]


def test_tables_shrink_by_one_row_and_never_exceed_the_values():
    size = ClickSize("dlrm", FIELDS, ["age"], rows=22, tables_per_field=3)
    assert size.table_rows == (22, 20, 21, 20, 20, 20)
    assert (size.slots, size.embedded, size.vectors) == (4, 6, 7)
    assert ClickSize("mlp", FIELDS, ["age"]).vectors == 2


def test_sizes_of_the_layers():
    size = ClickSize("dlrm", FIELDS, ["age", "hour"], width=8, bottom=(5,), top=(9,))
    assert size.bottom_sizes == (2, 5, 8) and size.top_sizes == (3 + 8, 9, 1)
    bare = ClickSize("dlrm", FIELDS, width=8, top=())
    assert bare.bottom_sizes == () and bare.top_sizes == (1, 1)
    for family in ("mlp", "dcn_v2"):
        assert ClickSize(family, FIELDS, ["age"], width=8).top_sizes == (17, 64, 32, 1)
    for family in ("logistic_regression", "factorisation_machine"):
        assert ClickSize(family, FIELDS).top_sizes == ()


@pytest.mark.parametrize("family", CLICK_FAMILIES)
def test_its_config_makes_it_again(family):
    size = ClickSize(family, FIELDS, ("age",), rows=7, bottom=[3], cross_layers=0)
    assert ClickSize(**size.config()) == size


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"family": "deepfm"}, "family must be one of logistic_regression, .*; got 'deepfm'"),
        ({"rows": 0}, r"rows must be a whole number in 1..2147483647; got 0"),
        ({"width": 2.5}, "width must be a whole number .* got 2.5"),
        ({"tables_per_field": True}, "tables_per_field must be a whole number .* got True"),
        ({"rows": 2, "tables_per_field": 3}, "tables_per_field must be at most rows = 2"),
        ({"top": (4, 0)}, r"top\[1\] must be a whole number .* got 0"),
        ({"cross_layers": -1}, "cross_layers must be a whole number in 0"),
        ({"fields": []}, "fields must hold at least one Field"),
        ({"fields": [Field("a", 2**31)]}, "values of field 'a' must .* got 2147483648"),
        ({"fields": [Field("a", 2, 0)]}, "slots of field 'a' must .* got 0"),
        ({"fields": [Field("a", 2), Field("a", 3)]}, r"fields must have unique names"),
        ({"dense": ["x", "x"]}, r"dense must have unique names"),
        ({"fields": [Field("a", 2)]}, "a dlrm needs two vectors"),
        ({"family": "factorisation_machine", "width": 1}, "width of a factorisation_machine"),
        (
            {"fields": [Field(f"{i}", 2**31 - 1) for i in range(2)], "rows": 2**31 - 1},
            "rows: all tables together may have 2147483647 rows; got 4294967294",
        ),
    ],
)
def test_what_is_refused(changed, message):
    with pytest.raises(ValueError, match=message):
        ClickSize(**{"family": "dlrm", "fields": FIELDS, **changed})
