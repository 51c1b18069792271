"""Random requests of the asked shapes and types."""

import numpy as np
import pytest

from lib.serving.load.load_tests import random_inputs


def test_requests_differ_but_share_the_corpus():
    shapes = {"user": (1, 3), "ad_vectors": ("candidates", 2)}
    first, second = random_inputs(shapes, 5, seed=0, requests=2)
    assert first["ad_vectors"] is second["ad_vectors"]
    assert (first["user"] != second["user"]).all()
    first, second = random_inputs({"ad_parts": ("candidates", 2)}, 5, seed=0, requests=2)
    assert (first["ad_parts"] != second["ad_parts"]).all()


def test_random_inputs_have_the_asked_types():
    shapes = {"ids": ("batch", 4), "mask": ("batch",), "half": (2,)}
    types = {"ids": np.int32, "mask": np.bool_, "half": np.float16}
    drawn = random_inputs(shapes, 50, seed=0, requests=1, input_types=types, ids=3)[0]
    assert {name: x.dtype for name, x in drawn.items()} == {
        k: np.dtype(v) for k, v in types.items()
    }
    assert set(np.unique(drawn["ids"])) == {0, 1, 2}
    assert drawn["mask"].all()
    with pytest.raises(ValueError, match="input 'text' must hold floats, whole numbers or truth"):
        random_inputs({"text": (1,)}, 5, seed=0, input_types={"text": np.dtype("O")})


@pytest.mark.parametrize(
    ("ids", "dtype", "message"),
    [
        (None, np.int64, "holds int64: give ids >= 1"),
        (0, np.int64, "holds int64: give ids >= 1"),
        (2.5, np.int64, "holds int64: give ids >= 1"),
        (True, np.uint8, "holds uint8: give ids >= 1"),
        (257, np.uint8, "holds uint8, up to 255; got ids = 257"),
        (1 << 32, np.int32, "holds int32, up to 2147483647"),
    ],
)
def test_ids_that_do_not_fit(ids, dtype, message):
    with pytest.raises(ValueError, match=f"input 'ids' {message}"):
        random_inputs({"ids": ("n",)}, 5, seed=0, input_types={"ids": dtype}, ids=ids)


def test_the_largest_ids_that_fit():
    (request,) = random_inputs(
        {"ids": ("n",)}, 4000, seed=0, requests=1, input_types={"ids": np.uint8}, ids=256
    )
    assert request["ids"].max() == 255
