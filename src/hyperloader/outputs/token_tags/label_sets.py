"""Label sets that change from step to step, so that a model learns to read what it is asked for.

A head of label texts that always sees the same labels may learn them by heart. Here a step leaves
labels out (their words are then outside), shortens their texts, and asks for two of them as one.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from hyperloader.codec.labels import label_text
from hyperloader.codec.windows import EncodedWindow
from hyperloader.outputs.token_tags.chain import NO_SPAN

# How often a text loses some of its words, and how often a label is asked for with another as one.
SHORTENED, TOGETHER = 0.3, 0.1
# At least so many of the labels are asked for.
FEWEST = 0.3
# Of a task with more labels those that a batch has are asked for, and a few others: were all asked
# for, hardly any would ever be there.
MANY, OTHERS = 100, 10


@dataclass(frozen=True, slots=True)
class LabelSet:
    """What is asked for in place of a task's labels.

    Attributes:
        texts: the labels of the set.
        place: of each label of the task which of ``texts`` it now is; None: it is not asked for.
    """

    texts: tuple[str, ...]
    place: tuple[int | None, ...]

    def tags(self, target: Sequence[int]) -> list[int]:
        """The tag numbers ``target`` of the task as those of the set."""
        return [self._tag(tag) for tag in target]

    def _tag(self, tag: int) -> int:
        if tag <= NO_SPAN:  # none, or not known
            return tag
        label, inside = divmod(tag - 1, 2)
        place = self.place[label]
        return NO_SPAN if place is None else 1 + 2 * place + inside


def labels_in(windows: Iterable[EncodedWindow], task: str) -> set[int]:
    """The indices of the labels of ``task`` that ``windows`` have."""
    tags = (tag for window in windows if window.task == task for tag in window.target)
    return {(tag - 1) // 2 for tag in tags if tag > NO_SPAN}


def asked(window: EncodedWindow, labels: LabelSet) -> EncodedWindow:
    """``window`` with the answer that is right for ``labels``."""
    return replace(window, target=labels.tags(window.target))


def random_set(
    labels: Sequence[str], random: np.random.Generator, met: Collection[int] = ()
) -> LabelSet:
    """A set drawn from the ``labels`` of a task (at least one): some are left out, some texts lose
    words, some stand for two; labels whose texts have become alike are one.

    Args:
        met: indices of the labels that the batch has; of a task with very many, the set is drawn
            from these and some others.
    """
    drawn = np.arange(len(labels))
    if len(labels) > MANY:
        drawn = np.union1d(random.permutation(len(labels))[:OTHERS], np.array([*met], dtype=int))
    kept = drawn[random.random(len(drawn)) < random.uniform(FEWEST, 1.0)]
    if not len(kept):
        kept = random.choice(drawn, size=1)
    texts = {i: _shortened(label_text(labels[i], "readable"), random) for i in kept.tolist()}
    for one in list(texts):
        if len(texts) > 1 and random.random() < TOGETHER:
            other = int(random.choice(list(texts)))
            both = " or ".join(dict.fromkeys((texts[one], texts[other])))
            texts = {i: both if t in (texts[one], texts[other]) else t for i, t in texts.items()}
    found = tuple(dict.fromkeys(texts.values()))
    place = [found.index(texts[i]) if i in texts else None for i in range(len(labels))]
    return LabelSet(found, tuple(place))


def _shortened(text: str, random: np.random.Generator) -> str:
    """``text``, or (if it has several words) some of its words, in their order."""
    words = text.split()
    if len(words) < 2 or random.random() >= SHORTENED:
        return text
    kept = random.permutation(len(words))[: random.integers(1, len(words))]
    return " ".join(words[i] for i in sorted(kept))
