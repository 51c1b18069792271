"""What the launcher refuses before any process starts."""

import pytest

from lib.training.distributed.launcher import train_distributed
from tests.training.distributed.small_work import make_work


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"way": "by pigeon"}, "way must be one of synchronous, asynchronous, hybrid"),
        ({"workers": 0}, "workers and servers must be >= 1; got 0 and 1"),
        ({"way": "hybrid", "servers": 0}, "workers and servers must be >= 1; got 2 and 0"),
        ({"hosts": ["a", "b"], "host": "c"}, "host must be one of"),
        ({"parts": 3}, "parts must be a multiple of 2 workers; got 3"),
        ({"ahead": 1}, "a synchronous training takes no 'ahead'"),
    ],
)
def test_what_is_refused(log, arguments, message):
    with pytest.raises(ValueError, match=message):
        train_distributed(**{"way": "synchronous", "work": make_work(log), **arguments})
