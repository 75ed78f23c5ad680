"""Easy tasks and easy sentences first: the part of the data that a step may draw from.

The share that may be drawn grows as the square root of the steps (Platanios et al. 2019,
https://aclanthology.org/N19-1119). Tasks and sentences follow one rule: the easiest share of the
tasks, and of each of them the easiest share of its sentences.
"""

import math
import zlib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Self

import numpy as np
from accelerate import Accelerator
from accelerate.utils import broadcast_object_list

from hyperloader.codec.windows import EncodedWindow
from hyperloader.config import Recipe
from hyperloader.errors import ConfigError
from hyperloader.outputs.loss import WindowLoss
from hyperloader.training.interrupt import Abandoned, Interrupt
from hyperloader.training.processes import autocast

Windows = Mapping[str, Sequence[EncodedWindow]]
Order = dict[str, list[int]]
"""The tasks, easiest first, each with the indices of its windows, easiest first."""


@dataclass(frozen=True, slots=True)
class Pacing:
    """How fast the pool grows: from the share ``start`` after step ``after`` to everything within
    ``steps`` steps."""

    start: float
    steps: int
    after: int = 0

    @classmethod
    def of(cls, recipe: Recipe) -> Self:
        """The recipe's pacing. By default it takes half of all steps, beginning after the warm-up
        where the model's own loss is the measure.

        Raises:
            ConfigError: it would begin after the last step.
        """
        data, training = recipe.data, recipe.training
        after = data.curriculum_after
        if after is None:
            after = training.warmup_steps if data.curriculum == "loss" else 0
        if after >= training.steps:
            raise ConfigError(
                f"the curriculum would begin after step {after} of {training.steps}; lower "
                "data.curriculum_after"
            )
        return cls(data.curriculum_start, data.curriculum_steps or -(-training.steps // 2), after)

    def share(self, step: float) -> float:
        """The share of the data that ``step`` (from 1) may draw from, in (0, 1]."""
        done = step - 1 - self.after
        if not 0 <= done < self.steps:
            return 1.0  # before the curriculum begins, or after its end
        return math.sqrt(done / self.steps * (1 - self.start**2) + self.start**2)


class Curriculum:
    """What each step may draw: a function of the step and of a fixed order."""

    def __init__(self, order: Order, pacing: Pacing) -> None:
        self.pacing = pacing
        self.order = {task: np.array(indices) for task, indices in order.items()}

    def pool(self, step: float) -> dict[str, np.ndarray] | None:
        """The indices that ``step`` may draw for each task in the pool; None: all of every task.

        Shares are rounded up, so there is always a task, and always a sentence of it.
        """
        share = self.pacing.share(step)
        if share >= 1:
            return None
        tasks = list(self.order)[: _count(share, len(self.order))]
        return {task: self.order[task][: _count(share, len(self.order[task]))] for task in tasks}


def length_order(windows: Windows, seed: int) -> Order:
    """Short sentences first (each window by its number of words), tasks by their mean."""
    words = {task: np.array([window.words for window in mine]) for task, mine in windows.items()}
    return _easiest_first(words, seed)


def loss_order(
    objective: WindowLoss, windows: Windows, seed: int, *, batch_size: int = 32
) -> Order:
    """Sentences that the model finds easy first: by their mean loss per term, tasks by theirs."""
    objective.eval()
    losses = {
        task: np.concatenate(
            [
                objective.mean_of_each(mine[start : start + batch_size]).numpy()
                for start in range(0, len(mine), batch_size)
            ]
        )
        for task, mine in windows.items()
    }
    return _easiest_first(losses, seed)


def shared_loss_order(
    objective: WindowLoss,
    windows: Windows,
    recipe: Recipe,
    accelerator: Accelerator,
    interrupt: Interrupt,
) -> Order | None:
    """:func:`loss_order` as the main process finds it, in all processes.

    One decides for all: processes that order equals differently would train on different batches.
    None: a signal broke it off.
    """
    found: list[Order | None] = [None]
    if accelerator.is_main_process:
        with (
            suppress(Abandoned),
            interrupt.abandonable(),
            autocast(accelerator, recipe.training.precision),
        ):
            size = recipe.training.batch_size
            found = [loss_order(objective, windows, recipe.seed, batch_size=size)]
    broadcast_object_list(found)
    return found[0]


def _easiest_first(difficulty: Mapping[str, np.ndarray], seed: int) -> Order:
    """Sort by ``difficulty``, which has a number for each window of each task.

    Ties are broken at random by ``seed``: the order of a file may mean something.
    """
    order = {}
    for task in sorted(difficulty, key=lambda task: difficulty[task].mean()):
        measured = difficulty[task]
        ties = np.random.default_rng([seed, zlib.crc32(task.encode())]).random(len(measured))
        order[task] = np.lexsort((ties, measured)).tolist()
    return order


def _count(share: float, size: int) -> int:
    return min(size, math.ceil(share * size))
