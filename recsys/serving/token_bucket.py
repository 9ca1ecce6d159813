"""How often somebody may ask: a token for each request."""


class TokenBucket:
    """Holds ``burst`` tokens at most and gets ``rate_per_s`` of them each second; starts full."""

    def __init__(self, rate_per_s: float, burst: int) -> None:
        self._rate_per_s, self._burst = rate_per_s, burst
        self._tokens, self._updated_at = float(burst), float("-inf")

    def take(self, now: float) -> float:
        """Take a token at ``now`` (seconds); return 0 or, where there is none, the seconds until there is."""
        gained = (now - self._updated_at) * self._rate_per_s
        self._tokens, self._updated_at = min(self._burst, self._tokens + gained), now
        if self._tokens < 1:
            return (1 - self._tokens) / self._rate_per_s
        self._tokens -= 1
        return 0.0
