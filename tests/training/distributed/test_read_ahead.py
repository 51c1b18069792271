"""Reading ahead changes when batches are read, not which."""

import threading
import time

import pytest

from lib.training.distributed.read_ahead import ReadAhead
from tests.training.small_training import make_source


class Numbers:
    """A source of numbers that knows how far it was read."""

    steps, read = 100, 0

    def batches(self, offset=None):
        for number in range(offset or 0, self.steps):
            self.read = number
            if number == 50:
                raise OSError("the disk is gone")
            yield number, number + 1


def test_the_batches_are_the_source_s(log):
    source = make_source(log)
    ahead = ReadAhead(source, ahead=2)
    assert [end for _, end in ahead.batches(100)] == [end for _, end in source.batches(100)]
    assert (ahead.steps, ahead.description()) == (source.steps, source.description())


def test_an_error_of_the_source_comes_behind_its_batches():
    got, batches = [], ReadAhead(Numbers()).batches(45)
    with pytest.raises(OSError, match="the disk is gone"):
        for batch, _ in batches:
            got.append(batch)
    assert got == list(range(45, 50))


def test_it_reads_no_further_than_told_and_ends_when_left():
    source, before = Numbers(), threading.active_count()
    batches = ReadAhead(source, ahead=3).batches()
    assert next(batches) == (0, 1)
    time.sleep(0.2)
    assert source.read <= 5
    batches.close()
    assert threading.active_count() == before
