"""Whether a task with so many labels fits the memory, asked before anything is made."""

import os

from hyperloader.errors import ConfigError
from hyperloader.modeling.attached import AttachedModel

# Of a head and its gradient, the two moments of the optimiser, a copy of it and of its states.
COPIES, NUMBER = 6, 4


def check_room(model: AttachedModel, labels: int) -> None:
    """Raise ConfigError where a tagging head for so many ``labels`` cannot be held and trained."""
    if model.output != "token_tags":
        return
    width, tasks = model.family.width(model.backbone), len(model.config.tasks) + 1
    needed = (1 + 2 * labels) * (width + 1) * NUMBER * (COPIES + tasks)
    if (free := free_memory()) is not None and needed > free:
        raise ConfigError(
            f"{labels:,} labels need {needed / 2**30:.1f} GiB for their head alone, and "
            f"{free / 2**30:.1f} GiB of memory are free; give data with fewer labels (are they "
            "labels, or texts?)"
        )


def free_memory() -> int | None:
    """Bytes; None where the system does not say."""
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError, AttributeError):
        return None
