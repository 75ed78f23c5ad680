"""A run that ends when its time is used up, instead of after a number of steps."""

from collections.abc import Callable

# Evaluations wait until training has taken this many times as long as the last one did.
PATIENCE = 3.0


class Budget:
    """How much of the allotted time is used: training and evaluations, not loading.

    Time for one more evaluation, as long as the longest so far, is kept for the end.

    Args:
        seconds: the time to use.
        used: what earlier sessions of the run have used of it.
        clock: seconds since any moment.
    """

    def __init__(self, seconds: float, used: float, clock: Callable[[], float]) -> None:
        self.seconds, self._clock = seconds, clock
        self._started = clock() - used
        self._evaluated, self._longest, self._last = clock(), 0.0, 0.0

    @property
    def used(self) -> float:
        """Seconds used, in this process and before."""
        return self._clock() - self._started

    def share(self, used: float) -> float:
        """What ``used`` seconds are of the time to train, from 0 to 1."""
        return min(1.0, used / max(self.seconds - self._longest, 1e-9))

    def evaluated(self, seconds: float) -> None:
        """Tell that an evaluation has just ended that took so long."""
        self._evaluated, self._last = self._clock(), seconds
        self._longest = max(self._longest, seconds)

    @property
    def may_evaluate(self) -> bool:
        """Whether training has had its share of the time since the last evaluation."""
        return self._clock() - self._evaluated >= PATIENCE * self._last
