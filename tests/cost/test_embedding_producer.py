"""Costs and savings, worked by hand."""

import pytest

from lib.cost.embedding_producer import cache_savings, producer_machines


def test_the_cache_saves_what_requests_no_longer_compute():
    saved = cache_savings(
        [10, 8, 4, 1],
        6,
        candidates=5,
        ads=50,
        requests_per_second=2,
        export_minutes=1,
        part_bytes=2,
    )
    first, upper = 2 * 4 * 8, 2 * (8 * 4 + 4)
    assert saved["ad_part"] == 5 * first
    assert saved["request"] == 2 * 6 * 8 + 5 * (first + upper)
    assert saved["producer"] == 50 * first
    assert saved["producer_share"] == pytest.approx(50 * first / (5 * first * 120))
    assert saved["break_even"] == pytest.approx(50 / 5 / 60)
    assert saved["memory"] == 50 * 8 * 2


def test_machines_by_hand():
    need = producer_machines(
        [10, 8, 1], 6, ads=100, minutes=1, flops_per_second=50, memory=1000, part_bytes=2
    )
    assert need["seconds"] == 100 * 2 * 4 * 8 / 50
    assert need["computing"] == 3  # 128 seconds in minutes
    assert need["memory"] == 2 * 100 * 8 * 2 and need["holding"] == 4


def test_no_time():
    with pytest.raises(ValueError, match="minutes, flops_per_second and memory"):
        producer_machines([10, 8, 1], 6, ads=1, minutes=0, flops_per_second=1, memory=1)
