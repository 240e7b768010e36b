from __future__ import annotations

from realtime.buckets import TokenBucket
from realtime.clock import NS_PER_S


def test_a_burst_is_let_through_and_then_the_rate() -> None:
    bucket = TokenBucket(rate_per_s=2, burst=3)
    assert [bucket.take(NS_PER_S) for _ in range(3)] == [0, 0, 0]
    assert bucket.take(NS_PER_S) == 0.5
    assert bucket.take(NS_PER_S + NS_PER_S // 2) == 0
    assert bucket.take(NS_PER_S + NS_PER_S // 2) == 0.5


def test_a_long_rest_gives_no_more_than_the_burst() -> None:
    bucket = TokenBucket(rate_per_s=10, burst=2)
    assert [bucket.take(NS_PER_S) > 0 for _ in range(3)] == [False, False, True]
    assert [bucket.take(1000 * NS_PER_S) > 0 for _ in range(3)] == [False, False, True]
