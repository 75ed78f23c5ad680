"""Which sentences make up a step: a pure function of the seed, the step and a few counters.

Nothing random is carried from step to step, so a resumed run draws the same batches.
"""

import zlib
from collections.abc import Mapping

import numpy as np

Draw = tuple[str, int]


class TaskSampler:
    """Temperature sampling over tasks (paper, section 4.2) and sentences within a task.

    Args:
        sizes: number of training windows of each task.
        batch_size: windows a step.
        temperature: p_task is proportional to n^(1/temperature); 1 is proportional, large uniform.
        mixed: each row draws its own task; else the batch shares one.
        replacement: draw sentences with replacement; else a task's sentences all come once, in
            a new order each epoch, before any comes again.
    """

    def __init__(
        self,
        sizes: Mapping[str, int],
        *,
        batch_size: int,
        temperature: float = 10.0,
        mixed: bool = False,
        replacement: bool = False,
        seed: int = 42,
    ) -> None:
        self.tasks = list(sizes)
        self.sizes = dict(sizes)
        self.batch_size, self.mixed, self.replacement, self.seed = (
            batch_size,
            mixed,
            replacement,
            seed,
        )
        counts = np.array([sizes[task] for task in self.tasks], dtype=float)
        # As shares of the largest, so that no temperature overflows.
        weights = (counts / counts.max()) ** (1 / temperature)
        self.probabilities = weights / weights.sum()
        self.drawn = dict.fromkeys(self.tasks, 0)
        self._orders: dict[str, tuple[int, np.ndarray]] = {}

    def step(self, number: int) -> list[Draw]:
        """The batch of step ``number`` as (task, index) pairs. Call it for 1, 2, 3, … in order."""
        random = np.random.default_rng([self.seed, number])
        rows = self.batch_size if self.mixed else 1
        chosen = random.choice(len(self.tasks), size=rows, p=self.probabilities)
        tasks = [self.tasks[i] for i in chosen] * (self.batch_size // rows)
        if self.replacement:
            return [(task, int(random.integers(self.sizes[task]))) for task in tasks]
        return [(task, self._next(task)) for task in tasks]

    def _next(self, task: str) -> int:
        epoch, place = divmod(self.drawn[task], self.sizes[task])
        self.drawn[task] += 1
        if self._orders.get(task, (-1,))[0] != epoch:
            random = np.random.default_rng([self.seed, zlib.crc32(task.encode()), epoch])
            self._orders[task] = (epoch, random.permutation(self.sizes[task]))
        return int(self._orders[task][1][place])

    def state(self) -> dict[str, int]:
        """How many sentences of each task have been drawn: all that a resumed run needs."""
        return dict(self.drawn)

    def restore(self, state: Mapping[str, int]) -> None:
        """Go on from :meth:`state`."""
        self.drawn = {task: int(state[task]) for task in self.tasks}
