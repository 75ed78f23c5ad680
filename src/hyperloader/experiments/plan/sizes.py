"""How many training sentences a share of a corpus is."""

import math
from fractions import Fraction

from hyperloader.experiments.analyse.study import Study


def training_sentences(study: Study, task: str, fraction: float) -> int | None:
    """The sentences of ``task`` that systems were trained on; None where the folder has no count.

    As :func:`hyperloader.corpora.splits.subsample` draws them.
    """
    whole = study.about.training_sentences.get(task)
    return whole and max(1, math.floor(whole * Fraction(str(fraction))))
