from __future__ import annotations

from realtime.buckets import Buckets, TokenBucket
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


def test_holders_have_buckets_of_their_own() -> None:
    buckets = Buckets(rate_per_s=1, burst=1, most=8)
    assert [buckets.take(name, NS_PER_S) for name in ("a", "b", "a", "b")] == [0, 0, 1, 1]
    assert buckets.take("a", 2 * NS_PER_S) == 0


def test_so_many_holders_are_told_apart_and_the_silent_one_goes() -> None:
    buckets = Buckets(rate_per_s=1, burst=1, most=2)
    assert [buckets.take(name, NS_PER_S) for name in ("a", "b", "a", "c", "a")] == [0, 0, 1, 0, 1]
    assert len(buckets) == 2
    assert buckets.take("b", NS_PER_S) == 0, "it had gone"
