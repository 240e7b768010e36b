"""How often something may happen: so many a second, and a few more at once. Time is an argument."""

from __future__ import annotations

from collections import OrderedDict

from realtime.clock import NS_PER_S


class TokenBucket:
    """
    Args:
        rate_per_s: in the long run.
        burst: at once, after a rest.
    """

    def __init__(self, rate_per_s: float, burst: float) -> None:
        self._rate_per_s, self._burst = rate_per_s, burst
        self._left = burst
        self._counted_ns = 0

    def take(self, now_ns: int) -> float:
        """0 where it may happen now; else the seconds until it may."""
        rested_s = (now_ns - self._counted_ns) / NS_PER_S
        self._counted_ns = now_ns
        self._left = min(self._burst, self._left + rested_s * self._rate_per_s)
        if self._left >= 1:
            self._left -= 1
            return 0.0
        return (1 - self._left) / self._rate_per_s


class Buckets:
    """One bucket for each holder, so that nobody uses up another's.

    Args:
        most: holders that are told apart; of one more, the one who was silent the longest is
            forgotten, and has rested when it comes again.
    """

    def __init__(self, rate_per_s: float, burst: float, most: int) -> None:
        self._rate_per_s, self._burst, self._most = rate_per_s, burst, most
        self._buckets: OrderedDict[str, TokenBucket] = OrderedDict()

    def __len__(self) -> int:
        return len(self._buckets)

    def take(self, holder: str, now_ns: int) -> float:
        """0 where it may happen now; else the seconds until it may."""
        bucket = self._buckets.get(holder)
        if bucket is None:
            bucket = self._buckets[holder] = TokenBucket(self._rate_per_s, self._burst)
        self._buckets.move_to_end(holder)
        if len(self._buckets) > self._most:
            self._buckets.popitem(last=False)
        return bucket.take(now_ns)
