"""Which sentences make up a step: a pure function of the seed, the step and a few counters, and of
the curriculum where there is one.

Nothing random is carried from step to step, so a resumed run draws the same batches.
"""

import zlib
from collections.abc import Collection, Mapping

import numpy as np

from hyperloader.config import Recipe
from hyperloader.training.curriculum import Curriculum, Pacing, Windows, length_order

Draw = tuple[str, int]


class TaskSampler:
    """Temperature sampling over tasks (paper, section 4.2) and sentences within a task.

    Args:
        sizes: number of training windows of each task.
        batch_size: windows per step.
        temperature: p_task is proportional to n^(1/temperature); 1 is proportional, large uniform.
        mixed: each row draws its own task; else the batch shares one.
        replacement: draw sentences with replacement; else all sentences of a task come once, in
            a new order each epoch, before any comes again.

    While ``curriculum`` is set and leaves something out, the tasks in the pool keep their weights
    (by their whole size), and sentences are drawn uniformly from the pool with replacement (as
    Platanios et al. do); they do not count as drawn.
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
        self.temperature = temperature
        self.probabilities = self._weigh(self.tasks)
        self.drawn = dict.fromkeys(self.tasks, 0)
        self.curriculum: Curriculum | None = None
        self._orders: dict[str, tuple[int, np.ndarray]] = {}

    def step(self, number: int, at: float | None = None) -> list[Draw]:
        """The batch of step ``number`` as (task, index) pairs. Call it for 1, 2, 3, … in order.

        ``at``: the step that the curriculum takes it for; default: ``number``.
        """
        random = np.random.default_rng([self.seed, number])
        rows = self.batch_size if self.mixed else 1
        pool = self.curriculum.pool(number if at is None else at) if self.curriculum else None
        shares = self.probabilities if pool is None else self._weigh(pool)
        chosen = random.choice(len(self.tasks), size=rows, p=shares)
        tasks = [self.tasks[i] for i in chosen] * (self.batch_size // rows)
        if pool is not None:
            return [(task, int(random.choice(pool[task]))) for task in tasks]
        if self.replacement:
            return [(task, int(random.integers(self.sizes[task]))) for task in tasks]
        return [(task, self._next(task)) for task in tasks]

    def _weigh(self, tasks: Collection[str]) -> np.ndarray:
        """The probability of each task, 0 of those that are not among ``tasks``."""
        counts = np.array([self.sizes[t] if t in tasks else 0 for t in self.tasks], dtype=float)
        # As shares of the largest, so that no temperature overflows.
        weights = (counts / counts.max()) ** (1 / self.temperature)
        return weights / weights.sum()

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
        """Continue from :meth:`state`."""
        self.drawn = {task: int(state[task]) for task in self.tasks}


def build_sampler(recipe: Recipe, windows: Windows) -> TaskSampler:
    """The recipe's sampler over the training windows of each task.

    A curriculum by the model's own loss is not in it yet: that is measured during training.

    Raises:
        ConfigError: the recipe's curriculum would begin after the last step.
    """
    sampler = TaskSampler(
        {task: len(mine) for task, mine in windows.items()},
        batch_size=recipe.training.batch_size,
        temperature=recipe.data.temperature,
        mixed=recipe.data.batches == "mixed",
        replacement=recipe.data.draw == "replacement",
        seed=recipe.seed,
    )
    if recipe.data.curriculum != "none":
        pacing = Pacing.of(recipe)
        if recipe.data.curriculum == "length":
            sampler.curriculum = Curriculum(length_order(windows, recipe.seed), pacing)
    return sampler
